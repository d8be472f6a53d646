"""Compares serving with other model servers: `make bench-serving` prints the tables of docs/benchmarks.md.

All servers have the same weights. The peers serve the SavedModel, and the first model a second time from our fast
graphs, so that only the servers differ; the tutorial calls Keras' `predict`. Measurements take turns, A B C A B C;
figures are medians over the rounds, and while one server is measured the others are paused. The
load comes from `wrk` where it is installed, as it should be, else from `benchmarks.serving.load`, which costs more: at
one connection it adds 50 microseconds to every answer. Triton drops wrk's connections, so it is always asked by the
latter.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.serving.bench import Bench
from benchmarks.serving.comparison import compare, cost, isolation
from benchmarks.serving.endurance import soak, swap
from benchmarks.serving.growth import autoregression, growth

TABLES = ("compare", "cost", "autoregression", "isolation", "growth", "stages", "swap", "soak")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, the LSTM alone, nothing very large")
    parser.add_argument("--processes", type=int, default=1, help="of each server")
    parser.add_argument("--peers", default="tutorial,litserve,mlserver,pytriton", help="names; empty for none")
    parser.add_argument("--tables", default=",".join(TABLES), help="names, separated by commas")
    parser.add_argument("--models", default="", help="names, separated by commas; all where none is given")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--soak-minutes", type=float, default=3.0, help="how long the soak lasts")
    arguments = parser.parse_args()
    from benchmarks.serving.models import ARCHITECTURES, make_models
    from benchmarks.serving.servers import PROTOCOLS
    from benchmarks.serving.stages import print_stages

    tables = arguments.tables.split(",")
    models = arguments.models.split(",") if arguments.models else ARCHITECTURES
    peers = [name for name in arguments.peers.split(",") if name]
    # So that the servers end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    client = "wrk" if shutil.which("wrk") else "benchmarks.serving.load"
    print(f"{describe_machine()}; asked by {client}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as scratch:
        store = Path(scratch, "store")
        store.mkdir()
        make_models(store)
        seconds, rounds = (2.0, 1) if arguments.quick else (arguments.seconds, 3)
        bench = Bench(store, Path(scratch), seconds=seconds, rounds=rounds, processes=arguments.processes)
        if "compare" in tables:
            for model in ARCHITECTURES[:1] if arguments.quick else models:
                # In the peers' hands our graph is as fast as in ours: what is left is the servers' own, once is enough.
                for engine in ("savedmodel", "onnx") if model == ARCHITECTURES[0] else ("savedmodel",):
                    # Keras' own way is the same in both.
                    rivals = [name for name in peers if engine == "savedmodel" or name != "tutorial"]
                    # Where only the servers differ, ours is asked by the protocol of the others too.
                    protocols = PROTOCOLS if engine == "onnx" else ()
                    compare(bench, model, ["outfielder", *protocols, *rivals], engine)
        if "cost" in tables:
            cost(bench)
        if "autoregression" in tables:
            autoregression(bench)
        if "isolation" in tables:
            isolation(bench, ["outfielder", *peers])
        if "growth" in tables:
            growth(bench, arguments.quick)
        if "stages" in tables:
            print_stages(store, describe_machine())
        if "swap" in tables:
            swap(store, Path(scratch), seconds * rounds)
        if "soak" in tables:
            soak(store, Path(scratch), arguments.soak_minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
