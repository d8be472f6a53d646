"""The command as a person types it: real processes against a real server and worker."""

import json
import re
import signal
import socket
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.cli.first_run import choose_starters
from service.errors import InvalidRequest
from service.settings import Settings
from service.worker import share_of_gpu, shares_of_cores
from tests.api.server import client
from tests.end_to_end.commands import Ran, commands
from tests.end_to_end.processes import Processes

COMMANDS = ("up", "serve", "worker", "train", "forecast", "backtest", "leaderboard", "models", "jobs", "check-store")
# So many epochs that no test sees their end, none of which takes long.
LONG: dict[str, Any] = {"architecture": "vector_rnn", "layers": 1, "epochs": 5000, "data": {"n_series": 500}}
QUICK = ("--scaling", "standard", "--epochs", "2", "--set", 'data={"n_series": 200}')


def seldom(*values: Any) -> list[Any]:
    """For `make test-all`: each is a process, and some others of the same list are tested anyway."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.exhaustive)
        for value in values
    ]


def run(service: Processes | None, *arguments: str, given: bytes = b"", **environment: str) -> Ran:
    return commands().run(
        arguments, {**(service.environment if service else {"PATH": "/usr/bin"}), **environment}, given
    )


def as_json(service: Processes, *arguments: str) -> Any:
    ran = run(service, *arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("command", ["", "train", *seldom(*COMMANDS[:3], *COMMANDS[4:])])
def test_every_command_explains_itself(command: str) -> None:
    arguments = [sys.executable, "-m", "service.cli", *([command] if command else []), "--help"]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0
    assert "Usage" in ran.stdout
    if not command:
        assert all(name in ran.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("train",),
        ("jobs", "--cancel"),
        ("jobs", "--log"),
        ("jobs", "x", "--log", "--retry"),
        ("serve", "--port", "x"),
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: tuple[str, ...]) -> None:
    ran = run(None, *arguments)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr != ""


def test_training_shows_its_progress_and_the_model(service: Processes) -> None:
    ran = run(service, "train", "linear", "--name", "shown", *QUICK, "--wait")
    assert ran.returncode == 0, ran.stderr
    assert "shown" in ran.stdout
    assert "succeeded" in ran.stdout
    assert "version 1" in ran.stdout
    assert "succeeded" in ran.stderr
    assert as_json(service, "train", "naive", "--name", "quiet", "--wait")["result"]["version"] == 1


def test_a_file_is_uploaded_and_trained_on(service: Processes) -> None:
    file = service.folder / "shop.csv"
    rows = [f"a,2024-{1 + i // 28:02}-{1 + i % 28:02},{100 + 10 * (i % 7) + i / 9:.1f}" for i in range(200)]
    file.write_text("\n".join(["unique_id,ds,y", *rows, "b,2024-01-01,5"]))
    arguments = ("--file", str(file), "--horizon", "7", "--epochs", "1", "--name", "shop")
    ran = run(service, "train", "linear", *arguments, "--wait", "--json")
    assert ran.returncode == 0, ran.stderr
    assert "b: It has 1 points" in ran.stderr
    job = json.loads(ran.stdout)
    assert job["request"]["data"]["kind"] == "dataset"
    assert job["result"]["metrics"]["test"]["mase"] > 0


def test_models_and_jobs_are_listed_for_people_and_machines(service: Processes) -> None:
    table = run(service, "models").stdout.splitlines()
    assert table[0].split()[:2] == ["name", "architecture"]
    assert any(line.startswith("linear ") for line in table[1:])
    assert "linear" in [model["name"] for model in as_json(service, "models")["models"]]
    jobs = as_json(service, "jobs", "--limit", "100")["jobs"]
    job = next(job for job in jobs if job["model"] == "linear")
    assert as_json(service, "jobs", job["id"])["status"] == "succeeded"
    assert job["id"] in run(service, "jobs", "--limit", "100").stdout
    assert as_json(service, "jobs", job["id"], "--watch")["id"] == job["id"]
    assert [one["id"] for one in as_json(service, "jobs", "--model", "linear", "--kind", "train")["jobs"]] == [
        job["id"]
    ]
    assert as_json(service, "jobs", "--model", "linear", "--before", "2020-01-01")["jobs"] == []
    assert run(service, "jobs", job["id"], "--log").stdout.splitlines()[-1].endswith("ends well")
    assert as_json(service, "jobs", job["id"], "--log")["log"]
    epochs = as_json(service, "jobs", job["id"], "--history")["history"]
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert run(service, "jobs", job["id"], "--history").stdout.count("\n") == len(epochs) + 1


def test_a_job_is_cancelled(service: Processes) -> None:
    job = as_json(service, "train", "vector_rnn", "--name", "long", "--epochs", "500")
    assert as_json(service, "jobs", job["id"], "--cancel")["status"] in ("running", "cancelled")
    assert service.wait_until(lambda: as_json(service, "jobs", job["id"])["status"] == "cancelled", "cancelled")
    again = run(service, "jobs", job["id"], "--cancel")
    assert again.returncode == 1
    assert "409" in again.stderr


def test_files_are_forecast(service: Processes, tmp_path: Path) -> None:
    file = tmp_path / "loads.csv"
    rows = "".join(f"north,{day},{100 + step}\n" for step, day in enumerate(days(60)))
    file.write_text(f"\ufeffunique_id,ds,y\n{rows}south,2024-01-01,5\n")
    ran = run(service, "forecast", str(file), "--model", "linear", "--horizon", "3", "--freq", "D")
    assert ran.returncode == 0, ran.stderr
    assert "2024-03-01" in ran.stdout
    assert "south: " in ran.stdout
    assert "at least 50 points" in ran.stdout
    assert "south: It has 1 points" in ran.stderr
    answer = as_json(service, "forecast", str(file), "--model", "linear", "--horizon", "3")
    assert len(answer["forecasts"][0]["values"]) == 3
    assert answer["forecasts"][0]["timestamps"] == ["2024-03-01", "2024-03-02", "2024-03-03"]


def days(n: int) -> list[str]:
    return [str(date(2024, 1, 1) + timedelta(step)) for step in range(n)]


def test_one_series_in_any_file_has_one_forecast(service: Processes, tmp_path: Path) -> None:
    values = [100 + 5 * (step % 7) + step / 4 for step in range(60)]
    table = list(zip(days(60), values, strict=True))
    arguments = ("forecast", "--model", "linear", "--horizon", "2")
    plain = "".join(f"{day},{value}\n" for day, value in table)
    files: dict[str, tuple[str | bytes, list[str]]] = {
        "plain.csv": (f"ds,y\n{plain}", []),
        "newest_first.csv": ("ds,y\n" + "".join(f"{day},{value}\n" for day, value in reversed(table)), []),
        "total.csv": (f"ds,y\n{plain}Total,{sum(values)}\n", []),
        "tabs.tsv": (f"ds,y\n{plain}".replace(",", "\t"), []),
        "german.csv": (f"ds,y\n{plain}".replace(",", ";").replace(".", ","), []),
        "utf16.csv": (f"ds,y\n{plain}".encode("utf-16"), []),
        "renamed.csv": (f"Day,Load\n{plain}", []),
        "more.csv": (
            "Day,Load,Price\n" + "".join(f"{day},{value},{value}\n" for day, value in table),
            ["--time-column", "Day", "--target-column", "Load"],
        ),
        "request.json": (json.dumps({"series": values, "freq": "D", "start": "2024-01-01", "horizon": 9}), []),
    }  # fmt: skip
    expected = None
    for name, (content, options) in files.items():
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        [forecast] = as_json(service, *arguments, str(file), *options)["forecasts"]
        expected = expected or forecast
        assert forecast == expected, name
    assert expected is not None
    assert expected["timestamps"] == ["2024-03-01", "2024-03-02"]


def test_a_json_file_is_a_whole_request_and_options_go_before_it(service: Processes, tmp_path: Path) -> None:
    request = {"series": [float(step % 7) for step in range(60)], "model": "linear", "horizon": 4, "freq": "h",
               "start": "2024-01-01T00:00:00"}  # fmt: skip
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request))
    [forecast] = as_json(service, "forecast", str(file))["forecasts"]
    assert len(forecast["values"]) == 4
    assert forecast["timestamps"][0] == "2024-01-03T12:00:00"
    [forecast] = as_json(service, "forecast", str(file), "--horizon", "2", "--freq", "D")["forecasts"]
    assert forecast["timestamps"] == ["2024-03-01T00:00:00", "2024-03-02T00:00:00"]
    assert as_json(service, "backtest", str(file), "--windows", "2")["horizon"] == 4


def test_standard_input_is_a_file_too(service: Processes) -> None:
    arguments = ("forecast", "-", "--model", "linear", "--horizon", "1", "--json")
    words = "\ufeffWert\n" + "".join(f"{step % 7},5\n" for step in range(60))
    ran = run(service, *arguments, given=words.encode("utf-16-le"))
    # Decimal commas in one column may as well be two cells.
    assert "decimal ','" in ran.stderr
    assert ran.returncode == 1
    numbers = "".join(f"{step % 7}.5\n" for step in range(60))
    ran = run(service, *arguments, given=numbers.encode())
    assert ran.returncode == 0, ran.stderr
    assert len(json.loads(ran.stdout)["forecasts"][0]["values"]) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ds,y\n2024-01-01,1\n2024-01-02,inf\n", "line 3 of the file"),
        (b"975\n1.000\n1.025\n", "is it 1000 or 1.000?"),
        *seldom(
            (b"ds,y\n2024-01-01,1\n2024-01-04,4,5\n", "line 3 of the file"),
            (b"[1, Infinity]", "write null"),
            (b"", "empty"),
            (b"PK\x03\x04", "Excel"),
        ),
    ],
)
@pytest.mark.parametrize("command", ["forecast", *seldom("backtest")])
def test_a_file_that_can_not_be_read_is_one_message(tmp_path: Path, content: bytes, words: str, command: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    ran = run(None, command, str(file), "--url", "http://127.0.0.1:9")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_digits_can_be_said_on_the_command_line(service: Processes, tmp_path: Path) -> None:
    file = tmp_path / "sold.csv"
    file.write_text("y\n" + "".join(f"{975 + step:,}\n".replace(",", ".") for step in range(60)))
    for options, low, high in ((("--thousands", "."), 900, 1200), (("--decimal", ","), 900, 1200)):
        [forecast] = as_json(
            service, "forecast", str(file), "--model", "linear", "--horizon", "1", *options
        )["forecasts"]  # fmt: skip
        assert low < forecast["values"][0] < high
    ran = run(service, "forecast", str(file), "--model", "linear", "--decimal", ";")
    assert (ran.returncode, "decimal" in ran.stderr) == (1, True)
    assert run(service, "train", "linear", "--decimal", ",").returncode == 2


def test_a_file_that_is_not_there_is_named() -> None:
    for arguments in (("forecast", "/nowhere.csv"), ("train", "linear", "--file", "/nowhere.csv")):
        ran = run(None, *arguments)
        assert ran.returncode == 2
        assert "nowhere.csv" in ran.stderr


def test_json_files_and_renamed_columns_are_trained_on(service: Processes, tmp_path: Path) -> None:
    values = [100 + 10 * (step % 7) + step / 9 for step in range(200)]
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"series": values, "freq": "D", "start": "2024-01-01", "horizon": 5, "level": [80]}))
    ran = run(service, "train", "linear", "--file", str(request), "--epochs", "1", "--name", "asked", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["request"]["horizon"] == 5
    assert "these fields of the file are not used here: level" in ran.stderr
    renamed = tmp_path / "renamed.txt"
    renamed.write_text("Tag;Menge\n" + "".join(f"{d};{v:.2f}\n" for d, v in zip(days(200), values, strict=True)))
    arguments = ("--file", str(renamed), "--target-column", "Menge", "--horizon", "7", "--epochs", "1")
    ran = run(service, "train", "linear", *arguments, "--name", "renamed", "--json")
    assert ran.returncode == 0, ran.stderr
    assert "'Tag' as the times" in ran.stderr


def test_a_model_is_measured_on_a_file(service: Processes, tmp_path: Path) -> None:
    file = tmp_path / "loads.csv"
    rows = "".join(f"north,{100 + step % 7}\n" for step in range(90))
    file.write_text(f"unique_id,y\n{rows}south,5\n")
    arguments = ("backtest", str(file), "--model", "linear", "--horizon", "3", "--windows", "5", "--season", "7")
    ran = run(service, *arguments)
    assert ran.returncode == 0, ran.stderr
    assert "linear version 1, 5 windows of 3 steps, season 7" in ran.stdout
    table = {line.split()[0]: line.split()[1:] for line in ran.stdout.splitlines()[1:]}
    assert table["forecast"] == ["mse", "rmse", "mae", "smape", "mase"]
    # A season that repeats itself exactly is forecast exactly, and has no scale.
    assert table["seasonal_naive"] == ["0"] * 4
    assert "south: " in ran.stdout
    answer = as_json(service, *arguments)
    assert list(answer["overall"]) == ["model", "naive", "seasonal_naive", "linear"]
    refused = run(service, "backtest", str(file), "--model", "linear", "--windows", "0")
    assert refused.returncode == 1
    assert "/windows" in refused.stderr


def test_models_and_baselines_are_ranked(service: Processes) -> None:
    ran = run(service, "leaderboard", "--metric", "rmse")
    assert ran.returncode == 0, ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert any(line[1:] and line[1] == "linear" and line[3] == "linear" for line in lines)
    assert any(line[1:] and line[1] == "naive" and line[2] == "baseline" for line in lines)
    (group,) = as_json(service, "leaderboard")["leaderboard"][:1]
    assert group["rows"][0]["rank"] == 1
    assert run(service, "leaderboard", "--metric", "luck").returncode == 1


def test_what_the_server_refuses_is_told_on_stderr(service: Processes, tmp_path: Path) -> None:
    file = tmp_path / "short.json"
    file.write_text("[1, 2, 3]")
    for arguments, words in (
        (("forecast", str(file), "--model", "absent"), "absent"),
        (("forecast", str(file), "--model", "linear"), "at least 50 points"),
        (("train", "transformer"), "transformer"),
        (("train", "lstm", "--set", "unitz=3"), "units"),
        (("jobs", "nope"), "nope"),
    ):
        ran = run(service, *arguments)
        assert ran.returncode == 1, ran
        assert words in ran.stderr
        assert ran.stdout == ""
        assert "Traceback" not in ran.stderr


def test_a_server_with_keys_is_sent_the_one_of_the_environment_or_the_option(tmp_path: Path) -> None:
    with client(tmp_path / "store", tmp_path / "state", api_keys="secret") as http:
        url = str(http.base_url)
        assert run(None, "models", "--url", url, OUTFIELDER_API_KEY="secret").returncode == 0
        assert run(None, "models", "--url", url, "--api-key", "secret").returncode == 0
        ran = run(None, "models", "--url", url, "--api-key", "wrong", OUTFIELDER_API_KEY="secret")
        assert (ran.returncode, ran.stdout, "401" in ran.stderr) == (1, "", True)


def test_without_a_server_the_message_says_how_to_start_one(service: Processes) -> None:
    ran = run(service, "models", "--url", "http://127.0.0.1:9")
    assert ran.returncode == 1
    assert "outfielder up" in ran.stderr


def test_the_store_is_checked(service: Processes) -> None:
    assert as_json(service, "check-store")["findings"] == []
    weights = next((service.store / "linear" / "1" / "variables").glob("*.index"))
    content = weights.read_bytes()
    weights.write_bytes(b"damaged")
    try:
        ran = run(service, "check-store", "--json")
        assert ran.returncode == 1
        (finding,) = json.loads(ran.stdout)["findings"]
        assert (finding["model"], finding["version"]) == ("linear", 1)
        assert run(service, "check-store").returncode == 1
    finally:
        weights.write_bytes(content)


def test_a_setting_out_of_range_is_named() -> None:
    ran = run(None, "check-store", OUTFIELDER_MAX_HORIZON="0")
    assert ran.returncode == 1
    assert "OUTFIELDER_MAX_HORIZON" in ran.stderr


@pytest.mark.exhaustive  # The server's own start and the supervisor's end are tested beside it.
def test_a_port_in_use_is_told_and_ends_the_start(tmp_path: Path) -> None:
    service = Processes(tmp_path, OUTFIELDER_STARTER_MODELS="none")
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", service.port))
            taken.listen()
            assert service.start("up").wait(timeout=60) != 0
        assert "in use" in service.logs()
    finally:
        service.close()


def test_up_on_a_free_port_says_which_and_an_interrupt_ends_everything_in_the_middle_of_a_fit(tmp_path: Path) -> None:
    service = Processes(tmp_path, OUTFIELDER_PORT="0", OUTFIELDER_STARTER_MODELS="none")
    try:
        process = service.start("up")
        found = service.wait_until(
            lambda: re.search(r"Open (http://127\.0\.0\.1:[1-9]\d*)", service.logs()), "the address"
        )
        service.client.base_url = found[1]
        service.wait_until_ready()
        job = service.train(**LONG)
        service.wait_until(lambda: (service.job(job["id"])["progress"] or {}).get("epoch", 0) >= 1, "the first epoch")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert "killed" not in service.logs()
    finally:
        service.close()


def test_starters_are_all_none_or_named() -> None:
    assert choose_starters("none") == []
    assert len(choose_starters("all")) == 11
    assert choose_starters("lstm, naive") == ["lstm", "naive"]
    with pytest.raises(InvalidRequest, match="parrot"):
        choose_starters("lstm,parrot")


def test_a_tuned_job_shows_its_trials(service: Processes) -> None:
    assert run(service, "train", "linear", "--name", "tuned", *QUICK, "--trials", "3", "--wait").returncode == 0
    (job,) = [one for one in as_json(service, "jobs")["jobs"] if one["model"] == "tuned"]
    trials = job["result"]["trials"]
    assert [trial["number"] for trial in trials] == [1, 2, 3]
    assert job["progress"]["trials"] == trials
    assert {"state", "options", "epochs", "loss"} <= trials[0].keys()


@pytest.mark.parametrize(("cores", "jobs", "threads"), [(1, 1, "1"), (2, 2, "1"), (8, 2, "4")])
def test_by_default_two_jobs_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, jobs: int, threads: str
) -> None:
    monkeypatch.delenv("OUTFIELDER_JOBS", raising=False)
    for module in ("settings", "worker"):
        monkeypatch.setattr(f"service.{module}.count_cores", lambda: cores)
    assert Settings().jobs == jobs
    assert set(shares_of_cores(jobs).values()) == {threads}


def test_jobs_that_run_at_once_share_a_gpus_memory() -> None:
    assert share_of_gpu(2, {}) == {"XLA_CLIENT_MEM_FRACTION": "0.400"}
    # Alone, JAX' own share; and JAX ends a process that is told two.
    assert share_of_gpu(1, {}) == share_of_gpu(2, {"XLA_PYTHON_CLIENT_MEM_FRACTION": ".3"}) == {}


def test_schedules_are_made_listed_paused_run_and_removed(service: Processes) -> None:
    made = as_json(service, "schedule", "0 3 * * 1", "linear", "--name", "weekly", "--timezone", "Europe/Berlin")
    listed = run(service, "schedules").stdout
    assert all(word in listed for word in (made["id"], "weekly", "0 3 * * 1", "Europe/Berlin", made["next_at"]))
    assert "paused" in run(service, "schedules", made["id"], "--pause").stdout
    ran = as_json(service, "schedules", made["id"], "--run")
    assert len(ran["runs"]) == 1
    assert "removed" in run(service, "schedules", made["id"], "--delete").stdout
    assert as_json(service, "schedules") == {"schedules": []}
    wrong = run(service, "schedule", "whenever", "linear")
    assert wrong.returncode == 1
    assert "five fields" in wrong.stderr
    assert run(service, "schedules", "--run").returncode == 2
