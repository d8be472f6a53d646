"""Frames of Spark, Dask and Ray: forecast part by part where they are, through fugue."""

from collections.abc import Callable
from typing import Any

from outfielder_client.connection import Connection
from outfielder_client.effects import InThread, Program
from outfielder_client.errors import UnusableInput
from outfielder_client.frames import Columns, to_percent

# Ray's data sets are none that narwhals knows.
ROOTS = {"pyspark", "dask", "dask_expr", "ray", "fugue", "fugue_spark", "fugue_dask", "fugue_ray"}


def is_distributed(given: Any) -> bool:
    """Whether a frame lies on other machines, or may."""
    return type(given).__module__.partition(".")[0] in ROOTS


def forecast_distributed(
    connection: Connection, frame: Any, columns: Columns, body: dict[str, Any], timeout: float | None
) -> Program[Any]:
    """A frame of the same kind, lazily: each of its parts calls the server from where it is.

    Raises:
        UnusableInput: fugue is not installed, or no horizon is given.
    """
    if body.get("horizon") is None:
        raise UnusableInput("Give a `horizon`: parts that are forecast apart might differ in theirs.")
    try:
        import fugue.api as fugue
    except ImportError as error:
        raise UnusableInput(
            "Frames of Spark, Dask and Ray need fugue: pip install 'outfielder-client[distributed]'."
        ) from error
    # A default or an alias may change while the parts are forecast.
    if body.get("model") is None or not isinstance(body.get("version"), int):
        body = {**body, **(yield from _settle(connection, body))}
    schema = _make_schema(fugue.get_schema(frame), columns, body)
    forecast = _make_forecast(connection, columns, body, timeout, list(schema.names))
    return (
        yield InThread(
            lambda: fugue.transform(
                frame, forecast, schema=schema, partition={"by": columns.id, "algo": "coarse"}, as_fugue=False
            )
        )
    )


def _settle(connection: Connection, body: dict[str, Any]) -> Program[dict[str, Any]]:
    """The model and version that a request without them, or with an alias, gets now."""
    listed = yield from connection.call("GET", "/models")
    name = body.get("model")
    models = [each for each in listed["models"] if (each["is_default"] if name is None else each["name"] == name)]
    if not models:
        raise UnusableInput(
            "The server has no default model: name a `model`." if name is None else f"There is no model {name!r}."
        )
    model = models[0]
    version = body.get("version")
    if version is None:
        return {"model": model["name"], "version": model["current_version"]}
    manifest = yield from connection.call("GET", f"/models/{model['name']}/versions/{version}")
    return {"model": model["name"], "version": manifest["version"]}


def _make_schema(schema: Any, columns: Columns, body: dict[str, Any]) -> Any:
    model = body["model"]
    names = [model]
    for level in body.get("level") or ():
        names += [f"{model}-lo-{level:g}", f"{model}-hi-{level:g}"]
    names += [f"{model}-q-{to_percent(str(quantile))}" for quantile in body.get("quantiles") or ()]
    kept = schema.extract([columns.id, columns.time])
    return kept + ",".join(f"`{name}`:double" for name in names)


def _make_forecast(
    connection: Connection, columns: Columns, body: dict[str, Any], timeout: float | None, names: list[str]
) -> Callable[..., Any]:
    import pandas as pd

    def forecast(part: pd.DataFrame) -> pd.DataFrame:
        from outfielder_client.blocking import Client

        with Client.of(connection) as client:
            asked: dict[str, Any] = {**body, "timeout": timeout}
            answer = client.forecast(part, id_col=columns.id, time_col=columns.time, target_col=columns.target, **asked)
        return answer[names]

    return forecast
