"""Runs the real clients of other servers against this one: `make test-clients`.

Each script of this folder runs in its clients' own environment, asks the server by its client and by POST /forecast,
and compares; it shares nothing with the service but the address.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from service.store.pretrained import publish_pretrained
from tests.api.server import running
from tests.engines.versions import add_fast_version
from tests.serving.models import add_kinds

ROOT = Path(__file__).parents[2]
# Scripts by the environment that they run in.
SCRIPTS = {
    "inference": ("triton_client.py", "kserve_client.py"),
    "mlserver": ("mlserver_client.py",),
    "timegpt": ("timegpt_client.py",),
}
PATIENCE_SECONDS = 300


@contextmanager
def training(store: Path, state_dir: Path) -> Iterator[None]:
    """A worker beside the server, for the client that fine-tunes."""
    places = {"OUTFIELDER_MODELS_STORE": str(store), "OUTFIELDER_STATE_DIR": str(state_dir)}
    command = [str(Path(sys.executable).with_name("outfielder")), "worker"]
    worker = subprocess.Popen(command, env=os.environ | places)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(60)


def main() -> int:
    failed = []
    with TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        add_kinds(store)
        add_fast_version(store, "gru")
        publish_pretrained(store)
        with running(store, Path(folder) / "state") as url, training(store, Path(folder) / "state"):
            for environment, scripts in SCRIPTS.items():
                python = ROOT / f".venv-clients-{environment}" / "bin" / "python"
                for script in scripts:
                    print(f"{script}:", flush=True)
                    command = [str(python), str(Path(__file__).parent / script), url]
                    if subprocess.run(command, timeout=PATIENCE_SECONDS, check=False).returncode:
                        failed.append(script)
    print("failed: " + ", ".join(failed) if failed else "all clients work")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
