"""Forecasts of whole uploads, for the command `forecast`."""

import sys
from typing import TYPE_CHECKING, Any

import typer

from service.cli.output import print_json
from service.cli.output_file import STDOUT, OutputFile

if TYPE_CHECKING:
    from outfielder_client import Client


def check_target(target: OutputFile | None) -> OutputFile:
    """The Parquet file that takes an upload's forecasts; anything else is wrong usage."""
    if target is None or target.path == STDOUT or target.format != "parquet":
        message = "the forecasts of an upload become a Parquet file: name one, such as --output forecasts.parquet."
        raise typer.BadParameter(message, param_hint="--output")
    return target


def forecast_upload(
    client: "Client", dataset: str, target: OutputFile, fields: dict[str, Any], *, as_json: bool
) -> None:
    """Has a job forecast an upload, follows it to its end and writes its result.

    Args:
        fields: of POST /forecast.
        as_json: print the job instead of a bar and a sentence.
    """
    job = client.forecast_dataset(dataset, target.path, progress=not as_json, **fields)
    if as_json:
        print_json(job)
        return
    result = job["result"]
    n, n_refused = result["n_series"], result["n_series"] - result["n_forecasts"]
    refused = f" ({n_refused:,} have no forecast)" if n_refused else ""
    told = f"{target.path}: {result['horizon']:,} steps of {n:,} series{refused}, {result['model']} version"
    print(f"{told} {result['version']}; kept as data set {result['dataset']}", file=sys.stderr)
