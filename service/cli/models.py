"""The commands on stored models: `models`, `leaderboard` and `check-store`."""

from typing import Annotated, Any

import typer

from service.cli.completion import complete_from
from service.cli.connection import connect, read_settings
from service.cli.options import Json, Key, Url
from service.cli.output import METRICS, print_json, print_leaderboard, print_table
from service.cli.score_words import show_score
from service.storage.finding import SAFE_AGE_SECONDS, Finding, Repair


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


def check_store(
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; nothing is deleted but remains.")
    ] = False,
    hours: Annotated[
        float, typer.Option(help="How old remains are before they are taken for such; 0 if nothing else runs.", min=0)
    ] = SAFE_AGE_SECONDS / 3600,
    as_json: Json = False,
) -> None:
    """Compare all versions and uploads with their checksums, and name whatever else in the store is damaged."""
    from service.datasets.repair import check_datasets
    from service.datasets.shared_store import open_datasets
    from service.store.shared_store import open_store

    settings = read_settings()
    work = Repair(mends=repair, older_than_seconds=hours * 3600)
    checked = open_store(settings.models_store, settings.models_folder).check(work)
    n_uploads = check_datasets(open_datasets(settings.models_store, settings.datasets_dir), work)
    left = [finding for finding in work.findings if not finding.is_mended]
    if as_json:
        print_json(
            {"checked": checked, "uploads": n_uploads, "findings": [_to_json(finding) for finding in work.findings]}
        )
    else:
        for finding in work.findings:
            print(_describe(finding))
        mended = f", {len(work.findings) - len(left)} mended" if repair else ""
        print(f"{checked} versions and {n_uploads} uploads checked, {len(work.findings)} damaged{mended}.")
    if left:
        raise typer.Exit(1)


def _to_json(finding: Finding) -> dict[str, Any]:
    return {
        "entry": finding.entry,
        "model": finding.model,
        "version": finding.version,
        "message": finding.message,
        "remedy": finding.remedy,
        "mended": finding.is_mended,
    }


def _describe(finding: Finding) -> str:
    if finding.is_mended:
        what = f" Mended: --repair {finding.remedy}."
    elif finding.remedy is not None:
        what = f" --repair {finding.remedy}."
    else:
        what = ""
    return f"{finding.entry}: {finding.message.rstrip('.')}.{what}"
