"""What a forecast leaves behind on the machine that makes it."""

import os
import subprocess
import sys
from pathlib import Path

from service.engines.onnx import graph_path
from service.networks.onnx_graph import FLOAT, Builder


def test_the_fast_engine_keeps_no_number_of_the_machine(tmp_path: Path) -> None:
    for call in ("forecast", "rollout"):
        path = tmp_path / graph_path(call)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(Builder().model({"series": (FLOAT, ["batch"])}, {"forecast": ("series", FLOAT)}))
    home = tmp_path / "home"
    home.mkdir()
    script = f"from pathlib import Path; from service.engines.onnx import *; OnnxRuntime(Path({str(tmp_path)!r}), None)"
    kept = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", script], check=True, env={**kept, "HOME": str(home)})
    assert list(home.rglob("deviceid")) == []
