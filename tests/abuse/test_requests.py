"""Requests that are cheap to send and were dear to answer. Each is refused or served soon, beside a good caller.

Time is what the server computes, so that other work of the machine doesn't count. The bounds are wide, for machines
differ; what they guard against took ten times as long, or gigabytes.
"""

import gzip
import json
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import pytest

from tests.abuse.process import MEGABYTE, Caller, Server
from tests.abuse.wire import Answer, connect, read, request, reset, send

# A body of 128 MB and what becomes of it.
MOST_MORE_BYTES = 550 * MEGABYTE
# Beside what the process took before, which is mostly TensorFlow for the tests' own models.
LEFT_BYTES = 150 * MEGABYTE
MOST_CPU_SECONDS = 20.0
MOST_CPU_SECONDS_OF_A_STALL = 4.0
GZIP = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
HUGE = 126 * MEGABYTE
RECORD = {"id": "a", "values": [1, 2, 3, 4]}

# Made when they are sent: together they are gigabytes.
ATTACKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "colons in a name": ("/forecast", lambda: b'{"model": "' + b":" * HUGE + b'"}'),
    "a colon in a long id": (
        "/forecast",
        lambda: b'{"series": [{"id": ":' + b"a" * (16 * MEGABYTE) + b'", "values": [1]}]}',
    ),
    "zeros": ("/forecast", lambda: b'{"series": [' + b"0," * (HUGE // 2) + b"0]}"),
    "zeros in a list": ("/forecast", lambda: b'{"series": [[' + b"0," * (HUGE // 2) + b"0]]}"),
    "zeros behind an id": ("/backtest", lambda: b'{"series": {"a": [' + b"0," * (HUGE // 2) + b"0]}}"),
    "zeros to keep": ("/datasets", lambda: b'{"series": [' + b"0," * (HUGE // 2) + b"0]}"),
    "zeros to train on": (
        "/train",
        lambda: b'{"architecture": "naive", "data": {"kind": "series", "series": [' + b"0," * (HUGE // 2) + b"0]}}",
    ),
    "short series": ("/forecast", lambda: b'{"series": [' + b"[0]," * (HUGE // 4) + b"[0]]}"),
    "words among numbers": ("/forecast", lambda: b'{"series": ["a", ' + b"0," * (HUGE // 2) + b"0]}"),
    "brackets": ("/forecast", lambda: b'{"series": ' + b"[" * HUGE),
    "objects": ("/forecast", lambda: b'{"series": [' + b"{}," * (HUGE // 3) + b"{}]}"),
    "objects in objects": ("/train", lambda: b'{"data": ' * (HUGE // 9)),
    "strings": ("/forecast", lambda: b'{"series": [' + b'"",' * (HUGE // 3) + b"1]}"),
    "objects with a member": (
        "/forecast",
        lambda: b'{"model": "lstm", "series": [' + b'{"a":1},' * (HUGE // 8) + b"1]}",
    ),
    "members in members": ("/train", lambda: b'{"a":' * (HUGE // 5)),
    "words": ("/forecast", lambda: b'{"series": [' + b'"x",' * (HUGE // 4) + b"1]}"),
    "lists of numbers": ("/forecast", lambda: b'{"series": [' + (b"[" + b"1," * 20 + b"1],") * (HUGE // 45) + b"1]}"),
    "one number": ("/forecast", lambda: b'{"series": [' + b"1" * HUGE + b"]}"),
    "spaces between numbers": ("/forecast", lambda: b'{"series": [[1, ' + b" " * HUGE + b"1]]}"),
    "spaces": ("/forecast", lambda: b" " * HUGE),
    "a long version": ("/forecast", lambda: b'{"series": [1], "version": "' + b"1" * (20 * MEGABYTE) + b'"}'),
    "letters of four bytes": ("/forecast", lambda: b'{"model": "' + b"a" * (HUGE - 4) + "\U0001f600".encode() + b'"}'),
    "unknown fields": ("/train", lambda: json.dumps({f"epochs_{i}": 1 for i in range(100_000)}).encode()),
    "unknown fields inside": (
        "/train",
        lambda: json.dumps({"data": {f"seed_{i}": 1 for i in range(100_000)}}).encode(),
    ),
    "unknown fields of a record": (
        "/forecast",
        lambda: json.dumps({"series": [{**RECORD, **{f"value_{i}": 1 for i in range(100_000)}}]}).encode(),
    ),
    "unknown fields of a forecast": (
        "/forecast",
        lambda: json.dumps({f"horizon_{i}": 1 for i in range(100_000)}).encode(),
    ),
    "many levels": ("/forecast", lambda: json.dumps({"series": [1], "level": ["80"] * 1_000_000}).encode()),
    "many wrong series": ("/forecast", lambda: json.dumps({"series": [["a"]] * 150_000}).encode()),
    "empty members of gzip": ("/forecast", lambda: b""),
}


# One of each kind; the others differ in what the reader meets first.
QUICK_ATTACKS = {
    "colons in a name",
    "zeros",
    "zeros to keep",
    "brackets",
    "objects in objects",
    "unknown fields",
    "empty members of gzip",
}


def seldom(names: Iterable[str], quick: set[str]) -> list[Any]:
    return [pytest.param(name, marks=() if name in quick else pytest.mark.exhaustive) for name in names]


@pytest.mark.parametrize("name", seldom(ATTACKS, QUICK_ATTACKS))
def test_a_costly_body_is_refused_soon_in_little_memory(server: Server, name: str) -> None:
    path, make_text = ATTACKS[name]
    text = make_text()
    body = gzip.compress(text, 1) if text else gzip.compress(b"") * 100_000
    before = server.memory()
    server.peak_bytes = 0
    with Caller(server.url, server) as caller:
        begun = server.cpu_seconds()
        [answer] = send(server.url, request(body, path=path, headers={**GZIP, "Connection": "close"}), seconds=240)
        seconds = server.cpu_seconds() - begun
    check(caller, before)
    assert answer.status in (400, 413, 422), answer.body[:300]
    assert len(answer.body) < 200_000
    assert len(answer.json()["errors"]) <= 100
    assert seconds < MOST_CPU_SECONDS


@pytest.mark.parametrize("name", seldom(["records", "by id", "many", "one"], {"records"}))
def test_a_large_body_that_is_right_is_served_beside_others(server: Server, name: str) -> None:
    series: Any = {
        "records": [{"id": f"s{i}", "values": [i, 2.5, 3, 4]} for i in range(100_000)],
        "by id": {f"s{i}": [i, 2.5, 3, 4] for i in range(100_000)},
        "many": [[i, 2.5, 3, 4] * 10 for i in range(100_000)],
        "one": [1.25] * 2_000_000,
    }[name]
    before = server.memory()
    server.peak_bytes = 0
    body = gzip.compress(json.dumps({"model": "lstm", "series": series}).encode(), 1)
    with Caller(server.url, server) as caller:
        [answer] = send(server.url, request(body, headers={**GZIP, "Connection": "close"}), seconds=240)
    check(caller, before)
    assert answer.status == 200
    assert len(answer.json()["forecasts"]) == (1 if name == "one" else 100_000)


def test_bodies_that_are_held_back_keep_no_more_than_all_may_together(server: Server) -> None:
    body = gzip.compress(ATTACKS["zeros"][1](), 6)
    before = server.memory()
    server.peak_bytes = 0
    with Caller(server.url, server) as caller, ExitStack() as stack:
        clients = [stack.enter_context(connect(server.url, seconds=240)) for _ in range(20)]
        for client in clients:
            client.sendall(request(body, headers=GZIP)[:-1])
        answers = [read(client) for client in clients]
    statuses = [answer.status for [answer] in answers]
    assert set(statuses) == {408, 429}
    assert all(int(answer.headers["retry-after"]) >= 1 for [answer] in answers if answer.status == 429)
    check(caller, before)


def test_answers_that_nobody_reads_are_dropped(server: Server) -> None:
    asks = {"model": "lstm", "series": [[0.1234567, 2.7654321] * 50] * 4000, "mode": "sequence", "all_steps": True}
    before = server.memory()
    server.peak_bytes = 0
    with Caller(server.url, server) as caller, ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(connect(server.url, buffer_bytes=4096))
            client.sendall(request(asks))
        time.sleep(6)
    check(caller, before)


def test_hundreds_of_slow_clients_are_cut(server: Server) -> None:
    """All who began a request are told; who never did is not."""
    kinds = {b"GET /models HTTP/1.1\r\nHost: localhost\r\nX: a": (408,), request(RECORD)[:-5]: (408,), b"": ()}
    before = server.memory()
    with Caller(server.url, server) as caller, ExitStack() as stack:
        clients = [(sent, stack.enter_context(connect(server.url))) for sent in kinds for _ in range(100)]
        for sent, client in clients:
            client.sendall(sent)
        answers: list[tuple[bytes, list[Answer]]] = [(sent, read(client)) for sent, client in clients]
    for sent, answered in answers:
        assert tuple(answer.status for answer in answered) == kinds[sent]
    check(caller, before)


def test_a_thousand_clients_that_vanish_leave_nothing(server: Server) -> None:
    before = server.memory()
    with Caller(server.url, server) as caller:
        for i in range(1000):
            client = connect(server.url)
            client.sendall(request({"model": "lstm", "series": [1, 2, 3, 4]})[: None if i % 2 else -3])
            reset(client)
    check(caller, before)


def check(caller: Caller, before: int) -> None:
    """A good caller was served all the time, and memory is as it was."""
    assert caller.statuses == {200}
    assert max(caller.seconds) < MOST_CPU_SECONDS_OF_A_STALL
    assert caller.server.peak_bytes < before + MOST_MORE_BYTES
    assert caller.server.wait_for_memory(before + LEFT_BYTES) < before + LEFT_BYTES
