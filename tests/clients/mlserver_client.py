"""MLServer's command line, `mlserver infer`, unmodified: batches from a file."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from native import HOST, SERIES, assert_same, native_values, run

COMMAND = Path(sys.executable).parent / "mlserver"


def infer(*flags: str, model: str = "gru") -> list[dict[str, Any]]:
    """Answers to a request for each of the series, in their order."""
    with TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        lines = [
            {"inputs": [{"name": "series", "shape": [1, 6], "datatype": "FP64", "data": row}]}
            for row in SERIES.tolist()
        ]
        asked.write_text("\n".join(map(json.dumps, lines)) + "\n")
        command = [str(COMMAND), "infer", "-u", HOST, "-m", model, "-i", str(asked), "-o", str(answered), *flags]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        answers = [json.loads(line) for line in answered.read_text().splitlines()]
    return sorted(answers, key=lambda answer: int(answer["parameters"]["batch_index"]))


def it_gets_the_numbers_of_a_forecast_in_batches_of_any_size() -> None:
    expected = native_values(model="gru", series=SERIES.tolist())
    for flags in (("-s", "1"), ("-s", "2"), ("-s", "2", "--binary-data"), ("-s", "1", "--binary-data")):
        answers = infer(*flags)
        assert len(answers) == 2
        for answer, row in zip(answers, expected, strict=True):
            assert_same(answer["outputs"][0]["data"], row)


def it_writes_our_message_where_a_request_fails() -> None:
    for answer in infer("-r", "1", model="nobody"):
        assert "There is no model named 'nobody'" in answer["error"]["msg"]


run(it_gets_the_numbers_of_a_forecast_in_batches_of_any_size, it_writes_our_message_where_a_request_fails)
