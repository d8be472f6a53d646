"""nixtla's client of TimeGPT, unmodified, with nothing changed but the address."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from native import URL, assert_same, native, raised, run
from nixtla import ApiError, NixtlaClient

warnings.filterwarnings("ignore", category=FutureWarning)
CLIENT = NixtlaClient(api_key="any", base_url=URL, retry_interval=1)
MONTHS = {"north": 96, "south": 60}


def make_values(length: int, seed: int) -> Any:
    t = np.arange(length)
    return 100 + 10 * np.sin(t * 2 * np.pi / 12) + np.random.default_rng(seed).normal(size=length)


VALUES = {name: make_values(length, i) for i, (name, length) in enumerate(MONTHS.items())}
FRAME = pd.concat(
    pd.DataFrame({"unique_id": name, "ds": pd.date_range("2015-01-01", periods=len(values), freq="MS"), "y": values})
    for name, values in VALUES.items()
)
# Clients send 32 bits.
POSTED = {name: values.astype(np.float32).astype(float).tolist() for name, values in VALUES.items()}


def it_knows_its_key_and_the_models() -> None:
    assert CLIENT.validate_api_key()
    assert CLIENT.usage()["minute"]["usage"] == 0
    assert {"timegpt-1", "zero-shot"} <= set(CLIENT.list_models())


def it_gets_the_numbers_of_a_forecast_with_levels() -> None:
    frame = CLIENT.forecast(FRAME, h=12, freq="MS", level=[80, 95])
    records = native(series=POSTED, model="zero-shot", freq="MS", horizon=12, level=[80, 95])
    assert_same(frame["TimeGPT"], [value for record in records for value in record["values"]])
    for column, level, bound in (("TimeGPT-lo-80", "80", "lower"), ("TimeGPT-hi-95", "95", "upper")):
        assert_same(frame[column], [value for record in records for value in record["intervals"][level][bound]])
    assert frame["ds"].iloc[0] == pd.Timestamp("2023-01-01")


def it_gets_quantiles_and_history_and_partitions() -> None:
    frame = CLIENT.forecast(FRAME, h=3, freq="MS", quantiles=[0.1, 0.5, 0.9])
    assert list(frame.columns[-3:]) == ["TimeGPT-q-10", "TimeGPT-q-50", "TimeGPT-q-90"]
    assert (frame["TimeGPT-q-10"] < frame["TimeGPT-q-90"]).all()
    fitted = CLIENT.forecast(FRAME, h=3, freq="MS", add_history=True, level=[80])
    assert len(fitted) > 100
    apart = CLIENT.forecast(FRAME, h=3, freq="MS", num_partitions=2)
    assert_same(apart["TimeGPT"], frame["TimeGPT"])
    assert_same(CLIENT.jobs.forecast(FRAME, h=3, freq="MS").wait()["TimeGPT"], frame["TimeGPT"])


def it_cross_validates() -> None:
    frame = CLIENT.cross_validation(FRAME, h=6, freq="MS", n_windows=2, level=[90])
    assert frame.groupby("unique_id").size().to_dict() == {"north": 12, "south": 12}
    cutoffs = frame.loc[frame.unique_id == "north", "cutoff"].unique()
    assert list(cutoffs) == [pd.Timestamp("2021-12-01"), pd.Timestamp("2022-06-01")]
    known = POSTED["north"][:84]
    [record] = native(series=[known], model="zero-shot", freq="MS", horizon=6)
    assert_same(frame["TimeGPT"].iloc[:6], record["values"])


def it_finds_what_nobody_expected() -> None:
    spoiled = FRAME.copy()
    spoiled.iloc[50, 2] += 60
    found = CLIENT.detect_anomalies(spoiled, freq="MS")
    assert pd.Timestamp("2019-03-01") in set(found.loc[found.anomaly & (found.unique_id == "north"), "ds"])
    online = CLIENT.detect_anomalies_online(spoiled, freq="MS", h=1, detection_size=50)
    assert online.groupby("unique_id").size().to_dict() == {"north": 50, "south": 50}
    assert online.loc[online.ds == "2019-03-01", "anomaly"].iloc[0]


def it_fine_tunes_and_uses_and_deletes_the_model() -> None:
    name = CLIENT.finetune(FRAME, freq="MS", finetune_steps=2, output_model_id="months")
    assert name == "months"
    assert [model.id for model in CLIENT.finetuned_models()] == ["months"]
    assert CLIENT.finetuned_model("months").freq == "MS"
    tuned = CLIENT.forecast(FRAME, h=3, freq="MS", finetuned_model_id="months")
    records = native(series=POSTED, model="months", version=1, horizon=3)
    assert_same(tuned["TimeGPT"], [value for record in records for value in record["values"]])
    assert CLIENT.delete_finetuned_model("months")
    assert CLIENT.finetuned_models() == []


def it_raises_its_own_exception_with_our_words() -> None:
    future = FRAME.groupby("unique_id").tail(3).assign(ds=lambda part: part.ds + pd.DateOffset(months=3), x=1.0)
    error = raised(
        lambda: CLIENT.forecast(FRAME.assign(x=1.0), h=3, freq="MS", X_df=future[["unique_id", "ds", "x"]]), ApiError
    )
    assert error.status_code == 422
    assert "exogenous" in error.body["detail"]
    error = raised(lambda: CLIENT.forecast(FRAME, h=3, freq="MS", model="nobody"), ApiError)
    assert error.status_code == 404


run(
    it_knows_its_key_and_the_models,
    it_gets_the_numbers_of_a_forecast_with_levels,
    it_gets_quantiles_and_history_and_partitions,
    it_cross_validates,
    it_finds_what_nobody_expected,
    it_fine_tunes_and_uses_and_deletes_the_model,
    it_raises_its_own_exception_with_our_words,
)
