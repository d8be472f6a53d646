"""Forecasts by statsforecast, in an environment of its own: series on standard input, forecasts on standard output.

Nothing of the service is imported here, and nothing of statsforecast there.
"""

import json
import sys
import time

import numpy as np
import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import AutoETS, Theta


def main() -> None:
    question = json.load(sys.stdin)
    season, horizon = question["season"], question["horizon"]
    model = {"theta": Theta, "auto_ets": AutoETS}[sys.argv[1]](season_length=season)
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(question["series"])), [len(one) for one in question["series"]]),
            "ds": np.concatenate([np.arange(len(one)) for one in question["series"]]),
            "y": np.concatenate([np.asarray(one, float) for one in question["series"]]),
        }
    )
    started = time.monotonic()
    answer = StatsForecast(models=[model], freq=1, n_jobs=-1).forecast(df=frame, h=horizon)
    seconds = time.monotonic() - started
    column = next(name for name in answer.columns if name not in ("unique_id", "ds"))
    forecasts = answer[column].to_numpy().reshape(-1, horizon)
    json.dump({"forecasts": forecasts.tolist(), "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
