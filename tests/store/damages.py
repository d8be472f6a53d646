"""Ways in which people, disks and programs damage a store, each of one version or file."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damaging = Callable[[Path], None]


def put(path: str, content: bytes | str) -> Damaging:
    """Writes a file of a version's or a model's folder anew."""
    return lambda folder: _write(folder / path, content)


def change(**fields: Any) -> Damaging:
    """Changes fields of a manifest; `...` removes one."""

    def damage(folder: Path) -> None:
        values = json.loads((folder / "manifest.json").read_text())
        for name, value in fields.items():
            if value is ...:
                del values[name]
            else:
                values[name] = value
        _write(folder / "manifest.json", json.dumps(values))

    return damage


def replace(path: str, make: Callable[[Path], object]) -> Damaging:
    """Puts something else in the place of a file or folder."""

    def damage(folder: Path) -> None:
        target = folder / path if path else folder
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        make(target)

    return damage


def cut(path: str) -> Damaging:
    def damage(folder: Path) -> None:
        content = (folder / path).read_bytes()
        (folder / path).write_bytes(content[: len(content) // 2])

    return damage


def flip(path: str) -> Damaging:
    def damage(folder: Path) -> None:
        content = bytearray((folder / path).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / path).write_bytes(content)

    return damage


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address is short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_nameless(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff\xfe")).mkdir()


def make_folder(path: Path) -> None:
    (path / "x").mkdir(parents=True)


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def point_at(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def calibrate(**fields: Any) -> Damaging:
    whole = {"season": 4, "window": 10, "residuals": [[0.1, 0.2], [0.3, 0.4]], "still_residuals": [[0.1], [0.2]]}
    return change(calibration={**whole, **fields})


def _write(path: Path, content: bytes | str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


DEEP = '{"name": ' + "[" * 900 + "]" * 900 + "}"
GRAPH = "saved_model.pb"
MANIFEST = "manifest.json"

# By name: what damages a version, and a word of the reason that it must be named with.
OF_VERSIONS: dict[str, tuple[Damaging, str]] = {
    "cut manifest": (cut(MANIFEST), "not JSON"),
    "empty manifest": (put(MANIFEST, ""), "not JSON"),
    "garbled manifest": (put(MANIFEST, bytes(range(256)) * 10), "not JSON"),
    "manifest that is a list": (put(MANIFEST, "[]"), "not a JSON object"),
    "manifest that is null": (put(MANIFEST, "null"), "not a JSON object"),
    "manifest of nothing": (put(MANIFEST, "{}"), "name is missing"),
    "NaN in a manifest": (put(MANIFEST, '{"seconds": NaN}'), "not JSON"),
    "deep manifest": (put(MANIFEST, DEEP), "nested"),
    "deeper manifest": (put(MANIFEST, "[" * 100_000), "not JSON"),
    "deep field": (change(gate={"passed": True, "scores": {"a": json.loads("[" * 90 + "]" * 90)}}), "nested"),
    "huge manifest": (replace(MANIFEST, make_huge), "more than"),
    "missing manifest": (lambda folder: (folder / MANIFEST).unlink(), "has no manifest.json"),
    "gate that is text": (change(gate="x"), "gate: expected an object"),
    "gate that passed as text": (change(gate={"passed": "false"}), "gate.passed: expected true or false"),
    "gate that does not say": (change(gate={"reason": "?"}), "gate.passed is missing"),
    "number as text": (change(horizon="10"), "horizon: expected a whole number"),
    "number as truth": (change(window=True), "window: expected a whole number"),
    "number with a fraction": (change(min_length=1.5), "min_length: expected a whole number"),
    "number below one": (change(horizon=0), "horizon"),
    "huge number": (change(min_length=10**15), "min_length"),
    "modes that are text": (change(modes="vector"), "modes: expected a list"),
    "word that is a book": (change(architecture="lstm" * 1000), "architecture"),
    "no modes": (change(modes=[]), "modes"),
    "modes of numbers": (change(modes=[1]), "modes"),
    "head that nobody knows": (change(head="hydra"), "head"),
    "field that is missing": (change(metrics=...), "metrics is missing"),
    "metrics that are text": (change(metrics={"test": "good"}), "metrics.test: expected an object"),
    "score that is text": (change(metrics={"test": {"mse": "1"}}), "metrics.test.mse: expected a number"),
    "scores by step that are a number": (change(metrics={"test": {"by_step": {"mse": 3}}}), "expected a list"),
    "baselines that are a list": (change(metrics={"baselines": []}), "metrics.baselines: expected an object"),
    "data that are a list": (change(data=[]), "data: expected an object"),
    "hyper-parameters that are text": (change(hyper_parameters="x"), "hyper_parameters: expected an object"),
    "members that are numbers": (change(hyper_parameters={"members": [1]}), "expected an object"),
    "engines of text": (change(engines={"onnx": "fast"}), "engines.onnx: expected an object"),
    "time that is none": (change(created_at="soon"), "created_at: expected a time"),
    "time that is a number": (change(created_at=5), "created_at: expected text"),
    "residuals that are flat": (calibrate(residuals=[0.1, 0.2]), "calibration.residuals.0: expected a list"),
    "residuals too deep": (calibrate(residuals=[[[0.1]]]), "expected a number"),
    "residuals of text": (calibrate(residuals=[["0.1"], [0.2]]), "expected a number"),
    "residuals of null": (calibrate(residuals=[[None], [0.2]]), "expected a number"),
    "no residuals": (calibrate(residuals=[]), "calibration.residuals"),
    "residuals out of order": (calibrate(residuals=[[0.2, 0.1], [0.1]]), "ascending"),
    "residuals of other steps": (calibrate(still_residuals=[[0.1]]), "of 2 steps, but still_residuals of 1"),
    "season that is text": (calibrate(season="4"), "calibration.season"),
    "tuning that is a list": (change(tuning=[]), "tuning: expected an object"),
    "files that are a list": (change(files=[]), "files: expected an object"),
    "no files": (change(files={}), "names no files"),
    "file outside": (change(files={"/dev/zero": "0" * 64}), "inside the version's folder"),
    "file above": (change(files={"../1/x": "0" * 64}), "inside the version's folder"),
    "digest that is none": (change(files={GRAPH: "abc"}), "SHA-256"),
    "manifest of another model": (change(name="other"), "the manifest of version"),
    "manifest of another version": (change(version=7), "the manifest of version 7"),
    "manifest that is a FIFO": (replace(MANIFEST, os.mkfifo), "a FIFO"),
    "manifest that is a socket": (replace(MANIFEST, make_socket), "a socket"),
    "manifest that is a folder": (replace(MANIFEST, make_folder), "a folder"),
    "manifest that is a device": (replace(MANIFEST, point_at("/dev/zero")), "a device"),
    "manifest that leads to itself": (replace(MANIFEST, make_loop), "leads back to itself"),
    "manifest that leads nowhere": (replace(MANIFEST, make_dangling), "manifest.json"),
    "manifest that the disk can't give": (replace(MANIFEST, point_at("/proc/self/mem")), "can't be read"),
    "version that is a file": (replace("", lambda path: path.write_text("x")), "is a file"),
    "version that is a FIFO": (replace("", os.mkfifo), "is a FIFO"),
    "version that is a socket": (replace("", make_socket), "is a socket"),
    "version that leads to itself": (replace("", make_loop), "leads back to itself"),
    "version that leads nowhere": (replace("", make_dangling), "symbolic link to nothing"),
    "version that is empty": (replace("", make_folder), "has no manifest.json"),
    "missing graph": (lambda folder: (folder / GRAPH).unlink(), f"{GRAPH}: it is not there"),
    "graph that is a FIFO": (replace(GRAPH, os.mkfifo), f"{GRAPH}: it is a FIFO"),
    "graph that is a folder": (replace(GRAPH, make_folder), f"{GRAPH}: it is a folder"),
    "graph that is a device": (replace(GRAPH, point_at("/dev/zero")), f"{GRAPH}: it is a device"),
    "graph that leads to itself": (replace(GRAPH, make_loop), f"{GRAPH}: it is a symbolic link"),
    "missing weights": (lambda folder: shutil.rmtree(folder / "variables"), "variables"),
}
# Found when the files are read: at loading, in the background, by check-store.
OF_CONTENT: dict[str, tuple[Damaging, str]] = {
    "flipped bit of a graph": (flip(GRAPH), f"{GRAPH} is not what was published"),
    "cut graph": (cut(GRAPH), f"{GRAPH} is not what was published"),
    "empty graph": (put(GRAPH, ""), f"{GRAPH} is not what was published"),
    "huge graph": (replace(GRAPH, make_huge), f"{GRAPH}: it holds more than"),
    "graph that the disk can't give": (replace(GRAPH, point_at("/proc/self/mem")), GRAPH),
    "FIFO that nobody named": (lambda folder: os.mkfifo(folder / "pipe"), "a FIFO"),
}
# Of a model's folder, whose versions are all whole: what is named, beside the model.
OF_MODELS: dict[str, tuple[Damaging, str]] = {
    "alias that is a list": (put("aliases.json", '{"champion": [1]}'), "leads 'champion' to a list"),
    "alias that is text": (put("aliases.json", '{"champion": "1"}'), "leads 'champion' to \"1\""),
    "alias that is true": (put("aliases.json", '{"champion": true}'), "leads 'champion' to true"),
    "alias with a fraction": (put("aliases.json", '{"champion": 1.0}'), "leads 'champion' to 1.0"),
    "alias of nothing": (put("aliases.json", '{"champion": 99}'), "leads 'champion' to version 99"),
    "alias that is none": (put("aliases.json", '{"3": 1}'), "can't be an alias"),
    "deep alias": (put("aliases.json", '{"champion": ' + "[" * 900 + "]" * 900 + "}"), "leads 'champion' to a list"),
    "aliases that are a list": (put("aliases.json", "[1]"), "not a JSON object"),
    "cut aliases": (put("aliases.json", '{"champion": '), "not JSON"),
    "NaN of aliases": (put("aliases.json", '{"champion": NaN}'), "not JSON"),
    "aliases that are no text": (put("aliases.json", b'{"\xff": 1}'), "not JSON"),
    "aliases that are a FIFO": (replace("aliases.json", os.mkfifo), "a FIFO"),
    "aliases that are a socket": (replace("aliases.json", make_socket), "a socket"),
    "aliases that are a folder": (replace("aliases.json", make_folder), "a folder"),
    "aliases that are a device": (replace("aliases.json", point_at("/dev/zero")), "a device"),
    "aliases that lead to themselves": (replace("aliases.json", make_loop), "leads back to itself"),
    "aliases that lead nowhere": (replace("aliases.json", make_dangling), "symbolic link to nothing"),
    "huge aliases": (replace("aliases.json", make_huge), "more than"),
    "counter that is text": (put("last_version.json", '{"last_version": "x"}'), "no number"),
    "cut counter": (put("last_version.json", "{"), "not JSON"),
    "counter that is a FIFO": (replace("last_version.json", os.mkfifo), "a FIFO"),
    "folder that is no version": (replace("old", make_folder), "old"),
    "folder with zeros": (replace("007", make_folder), "007"),
    "FIFO that is no version": (replace("pipe", os.mkfifo), "pipe"),
    "name that is no text": (make_nameless, "\\xff"),
}
# Of the store's own folder.
OF_STORES: dict[str, tuple[Damaging, str]] = {
    "default that is a number": (put("default.json", '{"name": 5}'), "names 5"),
    "default that is absent": (put("default.json", '{"name": "absent"}'), "'absent'"),
    "cut default": (put("default.json", '{"na'), "not JSON"),
    "default that is a FIFO": (replace("default.json", os.mkfifo), "a FIFO"),
    "default that is a folder": (replace("default.json", make_folder), "a folder"),
    "FIFO": (replace("pipe", os.mkfifo), "is a FIFO"),
    "socket": (replace("socket", make_socket), "is a socket"),
    "device": (replace("zero", point_at("/dev/zero")), "is a device"),
    "loop": (replace("loop", make_loop), "leads back to itself"),
    "link to nothing": (replace("gone", make_dangling), "symbolic link to nothing"),
    "file where a model should be": (replace("model", lambda path: path.write_text("x")), "is a file"),
    "name that can't be": (replace("a b", make_folder), "can't be a model's"),
    "name that is no text": (make_nameless, "can't be a model's"),
    "model that is the store": (replace("self", point_at(".")), "contains entries that are neither versions nor files"),
}
