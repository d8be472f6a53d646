"""Forecasts a year of airline passengers with nothing but Python's standard library.

    python examples/forecast.py [http://localhost:8000]

`pip install outfielder-client` does all of this, and more, by itself: see forecast_sales.ipynb.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

URL = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
KEY = os.environ.get("OUTFIELDER_API_KEY")
ATTEMPTS = 5


def call(path: str, body: Any = None) -> Any:
    """Sends JSON, if there is any, and gives the JSON of the answer; a server that is busy is asked again."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {KEY}"} if KEY else {})
    content = None if body is None else json.dumps(body).encode()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(urllib.request.Request(URL + path, content, headers), timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in (429, 503) and attempt < ATTEMPTS:
                time.sleep(float(error.headers.get("Retry-After", 1)))
                continue
            # Every error is a problem document that says what was wrong, where, and how to mend it.
            problem = json.load(error)
            sys.exit("\n".join(f"{entry['pointer']}: {entry['message']}" for entry in problem["errors"]))
        except urllib.error.URLError as error:
            sys.exit(f"No server answers at {URL}: {error.reason}")
    raise AssertionError


record = call("/examples/air-passengers")["series"][0]
known, hidden = record["values"][:-12], record["values"][-12:]

answer = call(
    "/forecast", {"series": known, "horizon": 12, "level": [80], "freq": record["freq"], "start": record["start"]}
)
forecast = answer["forecasts"][0]
interval = forecast["intervals"]["80"]

print("month       actual  forecast  80 % interval")
columns = (forecast["timestamps"], hidden, forecast["values"], interval["lower"], interval["upper"])
for month, actual, value, lower, upper in zip(*columns, strict=True):
    print(f"{month[:10]}  {actual:6.0f}  {value:8.0f}  {lower:.0f} to {upper:.0f}")
error = sum(abs(actual - value) for actual, value in zip(hidden, forecast["values"], strict=True)) / 12
print(f"mean absolute error: {error:.1f}")
