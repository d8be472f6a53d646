"""The commands on stored models: `models`, `leaderboard` and `check-store`."""

from typing import Annotated

import typer

from service.cli.completion import complete_from
from service.cli.connection import connect, read_settings
from service.cli.options import Json, Key, Url
from service.cli.output import METRICS, print_json, print_leaderboard, print_table
from service.cli.score_words import show_score


def leaderboard(
    metric: Annotated[
        str | None, typer.Option(help="mse, rmse, mae, smape or mase.", autocompletion=complete_from(METRICS))
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="validation or test.", autocompletion=complete_from(("validation", "test")))
    ] = None,
    url: Url = None,
    api_key: Key = None,
    as_json: Json = False,
) -> None:
    """Rank all versions and the baselines by their stored scores."""
    with connect(url, api_key) as client:
        groups = client.leaderboard(metric=metric, part=part)
    if as_json:
        print_json({"leaderboard": groups})
    else:
        print_leaderboard(groups)


def models(url: Url = None, api_key: Key = None, as_json: Json = False) -> None:
    """List the models of the store."""
    with connect(url, api_key) as client:
        stored = list(client.models())
    if as_json:
        print_json({"models": stored})
        return
    rows = [
        [m["name"], m["architecture"], m["head"], ", ".join(map(str, m["versions"])), str(m["horizon"]), m["scaling"],
         show_score(m["metrics"])]
        for m in stored
    ]  # fmt: skip
    print_table(["name", "architecture", "head", "versions", "horizon", "scaling", "score"], rows)


def check_store(as_json: Json = False) -> None:
    """Compare every version's files with its manifest, and name whatever else in the store is damaged."""
    from service.store.store_check import check_store as check

    checked, findings = check(read_settings().models_folder)
    if as_json:
        print_json({"checked": checked, "findings": findings})
    else:
        for finding in findings:
            print(f"{finding['entry']}: {finding['message']}")
        print(f"{checked} versions checked, {len(findings)} damaged.")
    if findings:
        raise typer.Exit(1)
