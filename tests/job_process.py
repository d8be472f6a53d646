"""A process that performs tasks as the tests say: see tests/test_job_supervisor.py."""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from service.errors import BacktestFailed
from service.job_process import TaskRun, serve_tasks
from service.jobs.job import Progress


def perform(task: dict[str, Any], run: TaskRun) -> dict[str, Any]:
    print("what a library prints is no answer")
    match task["does"]:
        case "tell":
            for epoch in range(task["times"]):
                run.report(Progress(epoch + 1, task["times"], 1.0, 2.0, None))
            return {"process": os.getpid(), "oom_score": int(Path("/proc/self/oom_score_adj").read_text())}
        case "work":
            for epoch in range(task["times"]):
                run.report(Progress(epoch + 1, task["times"], 1.0, 2.0, None))
                time.sleep(task["seconds"])
            run.confirm()
            return {"model": task["model"], "version": run.attempt}
        case "fit":
            logging.getLogger("service.training").info("window %d of a series\nhas 3 points", 1)
            try:
                raise ValueError("/secret/path")
            except ValueError:
                logging.getLogger("service.training").exception("that went wrong")
            run.report(Progress(0, task["times"], None, None, None))
            for epoch in range(1, task["times"] + 1):
                run.report(Progress(epoch, task["times"], 1 / epoch, None, 0.0, None, 1, epoch))
                if run.attempt <= task["kills"]:
                    time.sleep(0.5)
                    os.kill(os.getpid(), signal.SIGKILL)
            return {"model": task["model"], "version": run.attempt}
        case "wait":
            run.report(Progress(0, 1, None, None, None))
            while True:
                run.raise_if_stopped()
                time.sleep(0.01)
        case "publish":
            run.report(Progress(0, 1, None, None, None))
            time.sleep(task["seconds"])
            run.confirm()
            with Path(task["file"]).open("a") as published:
                published.write(f"{run.attempt}\n")
            return {"model": task["model"], "version": run.attempt}
        case "hang":
            run.report(Progress(0, 1, None, None, None))
            # As inside one call of a compiled program: it hears nothing.
            while True:
                sum(range(1_000_000))
        case "mix up":
            for place in ({}, {**run.place, "run": "another"}, {**run.place, "job_id": "another"}):
                run._tell_all({"result": {"model": "another's", "version": 1}, **place})
            return {"model": task["model"], "version": run.attempt}
        case "fail":
            raise BacktestFailed("No series can be forecast.")
        case "break":
            raise ValueError("/secret/path")
        case "run out":
            raise MemoryError
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "take":
            held = []
            while True:
                held.append(b"x" * 2**24)
                time.sleep(0.01)
    raise AssertionError(task)


if __name__ == "__main__":
    logging.getLogger("service").setLevel(logging.INFO)
    serve_tasks(lambda: perform)
    sys.exit()
