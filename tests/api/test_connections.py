"""What one connection may take: headers, time, answers that nobody reads, room; and what stands beside its requests."""

import asyncio
import contextlib
import gc
import re
import socket
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from service.api.cancellation import PATIENCE_SECONDS, WaitingClients
from service.api.memory_budget import MemoryBudget
from service.api.middleware import RequestMiddleware
from service.telemetry.metrics import Metrics
from tests.abuse.wire import Answer, connect, read, request, reset, send
from tests.api.server import client, running

FORECAST = {"model": "lstm", "series": [1, 2, 3, 4]}
# The answer takes over 20 MB.
LARGE = {"model": "lstm", "series": [[0.1234567, 2.7654321] * 50] * 4000, "mode": "sequence", "all_steps": True}
LAST = {"Connection": "close"}


@pytest.fixture(scope="module")
def url(stored_kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that is patient, also where the machine is slow."""
    with running(stored_kinds, tmp_path_factory.mktemp("state"), max_connections=50) as url:
        send(url, request(FORECAST, headers=LAST))
        yield url


@pytest.fixture(scope="module")
def impatient(stored_kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose patience is short."""
    fields: dict[str, Any] = {"read_seconds": 2.0, "write_seconds": 1.0, "keep_alive_seconds": 3}
    with running(stored_kinds, tmp_path_factory.mktemp("state"), **fields) as url:
        send(url, request(FORECAST, headers=LAST))
        yield url


def check_problem(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (document["status"], document["errors"][0]["code"]) == (status, code)
    assert document["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "head",
    [
        {"X-Long": "a" * 5_000_000},
        {f"X-{i}": "a" * 50 for i in range(100_000)},
        {f"X-{i}": "" for i in range(300)},
        {"a" * 200_000: "b"},
    ],
    ids=["one header", "many headers", "many short headers", "a long name"],
)
@pytest.mark.parametrize("path", ["/forecast", "/healthz"])
def test_headers_beyond_the_limit_are_refused(url: str, head: dict[str, str], path: str) -> None:
    [answer] = send(url, request(method="GET", path=path, headers=head))
    check_problem(answer, 431, "headers_too_large")


def test_a_path_beyond_the_limit_is_refused_as_headers_are(url: str) -> None:
    [answer] = send(url, request(method="GET", path="/" + "a" * 1_000_000))
    check_problem(answer, 431, "headers_too_large")


def test_headers_within_the_limit_are_read(url: str) -> None:
    head = {f"X-{i}": "a" * 500 for i in range(100)}
    [answer] = send(url, request(FORECAST, headers={**head, **LAST}))
    assert answer.status == 200


def test_requests_that_stop_on_their_way_are_cut_and_a_connection_that_never_asks_is_closed(impatient: str) -> None:
    stopped = {
        "headers": b"GET /models HTTP/1.1\r\nHost: localh",
        "body": request(FORECAST)[:-5],
        "another body": request(FORECAST, headers={"Content-Length": "9"})[:-40],
    }
    with contextlib.ExitStack() as stack:
        clients = {part: stack.enter_context(connect(impatient)) for part in [*stopped, "nothing"]}
        for part, sent in stopped.items():
            clients[part].sendall(sent)
        for part in stopped:
            [answer] = read(clients[part])
            check_problem(answer, 408, "request_timeout")
        assert clients["nothing"].recv(1) == b""


def test_a_body_that_drips_is_cut_and_one_that_flows_is_not(impatient: str) -> None:
    with connect(impatient) as slow, connect(impatient) as steady:
        body = b'{"model": "lstm", "series": [1, 2, 3, 4]}' + b" " * 20_000
        whole = request(body, headers=LAST)
        slow.sendall(whole[:200])
        steady.sendall(whole[:200])
        sent, begun = 200, time.monotonic()
        while sent < len(whole):
            time.sleep(0.2)
            steady.sendall(whole[sent : sent + 1000])
            sent += 1000
            if time.monotonic() - begun < 3:
                slow.sendall(b" ")
        assert [answer.status for answer in read(steady)] == [200]
        assert [answer.status for answer in read(slow)] == [408]


def test_an_idle_connection_is_closed_whatever_it_drips(impatient: str) -> None:
    with connect(impatient) as client:
        client.sendall(request(FORECAST))
        assert client.recv(2**16).startswith(b"HTTP/1.1 200")
        client.settimeout(0.1)
        for _ in range(200):
            try:
                client.sendall(b"\r\n")
                assert client.recv(1) == b""
                return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("the connection is still open")


def test_an_answer_that_nobody_reads_is_dropped(stored_kinds: Path, tmp_path: Path) -> None:
    with running(stored_kinds, tmp_path, write_seconds=0.5) as url, connect(url, buffer_bytes=4096) as client:
        client.sendall(request(LARGE))
        # The answer is there; nobody takes it.
        head = client.recv(2000, socket.MSG_PEEK).partition(b"\r\n\r\n")[0]
        time.sleep(3)
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        assert 0 < receive_all(client) < int(length[1])


def receive_all(client: socket.socket) -> int:
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(2**20):
            received += len(chunk)
    return received


def test_trailers_are_no_headers(url: str) -> None:
    head = request(FORECAST, headers={"Transfer-Encoding": "chunked", **LAST})
    start, _, body = head.partition(b"\r\n\r\n")
    start = b"\r\n".join(line for line in start.split(b"\r\n") if not line.startswith(b"Content-Length"))
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    [answer] = send(url, start + b"\r\n\r\n" + chunk + b"X-Request-ID: behind\r\nX-Request-Timeout-Ms: none\r\n\r\n")
    assert answer.status == 200
    assert answer.headers["x-request-id"] != "behind"
    [answer] = send(url, start + b"\r\n\r\n" + chunk + b"X: " + b"a" * 500_000)
    check_problem(answer, 431, "headers_too_large")


def test_many_requests_on_their_way_at_once_are_answered_in_order(url: str) -> None:
    ids = [f"number-{i}" for i in range(1000)]
    sent = [request(FORECAST, headers={"X-Request-ID": name}) for name in ids]
    answers = send(url, b"".join(sent) + request(method="GET", path="/healthz", headers=LAST))
    assert [answer.headers["x-request-id"] for answer in answers[:-1]] == ids
    assert {answer.status for answer in answers} == {200}


def test_what_follows_good_requests_and_is_none_ends_the_connection_behind_their_answers(url: str) -> None:
    answers = send(url, request(FORECAST) * 3 + b"\x00 is no request\r\n\r\n")
    assert [answer.status for answer in answers] == [200, 200, 200]


def test_what_is_not_http_is_refused(url: str) -> None:
    [answer] = send(url, b"\x16\x03\x01\x00\xa5 is a greeting of TLS\r\n\r\n")
    check_problem(answer, 400, "malformed_request")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_body_in_chunks_of_any_size_is_read(url: str, size: int) -> None:
    body = b'{"model": "lstm", "series": [1, 2, 3, 4]}' + b" " * 20_000
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    head = b"POST /forecast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    [answer] = send(url, head + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + sent + b"0\r\n\r\n")
    assert answer.status == 200


def test_idle_connections_make_room_for_new_ones(url: str) -> None:
    idle = [connect(url) for _ in range(60)]
    try:
        [answer] = send(url, request(FORECAST, headers=LAST))
        assert answer.status == 200
        # The oldest went.
        assert idle[0].recv(1) == b""
    finally:
        for one in idle:
            reset(one)


def test_a_server_whose_connections_are_all_busy_refuses_another(stored_kinds: Path, tmp_path: Path) -> None:
    with running(stored_kinds, tmp_path, max_connections=2) as url:
        busy = [connect(url) for _ in range(2)]
        for one in busy:
            one.sendall(request(FORECAST, headers={"Expect": "100-continue"})[:-1])
        # Only who has begun a request is not dropped for another.
        assert [one.recv(100).split()[1] for one in busy] == [b"100", b"100"]
        [answer] = send(url, request(FORECAST))
        check_problem(answer, 503, "too_many_connections")
        assert int(answer.headers["retry-after"]) >= 1
        for one in busy:
            one.sendall(b"}")
            assert one.recv(2**16).startswith(b"HTTP/1.1 200")
            one.close()


@pytest.mark.parametrize("path", ["/forecast", "/models", "/nowhere", "/healthz"])
def test_a_websocket_is_refused_once_and_only_to_who_has_a_key(stored_kinds: Path, tmp_path: Path, path: str) -> None:
    asks = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with running(stored_kinds, tmp_path, api_keys="key") as url:
        for key, status in ((None, 400 if path == "/healthz" else 401), ("key", 400)):
            head = {**asks, **({} if key is None else {"Authorization": f"Bearer {key}"})}
            [answer] = send(url, request(method="GET", path=path, headers=head) + b"\x81\x05hello\r\n\r\n")
            check_problem(answer, status, "upgrade_refused" if status == 400 else "unauthorized")


def test_an_offer_of_http2_is_passed_over(url: str) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"}
    [answer] = send(url, request(method="GET", path="/models", headers=offer))
    assert answer.status == 200
    [answer] = send(url, request(FORECAST, headers=offer))
    check_problem(answer, 400, "upgrade_refused")


def test_a_key_is_asked_for_before_the_body_is_read(stored_kinds: Path, tmp_path: Path) -> None:
    with running(stored_kinds, tmp_path, api_keys="key") as url:
        for head in ({}, {"Content-Encoding": "gzip"}, {"Transfer-Encoding": "chunked"}):
            with connect(url) as client:
                start = request(FORECAST, headers={"Content-Length": "100000000", **head}).partition(b"\r\n\r\n")[0]
                if "Transfer-Encoding" in head:
                    start = start.replace(b"Content-Length: 100000000\r\n", b"")
                client.sendall(start + b"\r\n\r\n")
                assert client.recv(2**16).startswith(b"HTTP/1.1 401")


def test_a_client_that_sends_all_before_it_reads_learns_that_its_key_is_missing(
    stored_kinds: Path, tmp_path: Path
) -> None:
    with client(stored_kinds, tmp_path, api_keys="key") as http:
        assert http.post("/forecast", content=b" " * 20_000_000).status_code == 401


@pytest.mark.anyio
async def test_a_request_that_the_ending_server_cancels_is_told_so_without_a_traceback() -> None:
    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    sent: list[Message] = []
    middleware = RequestMiddleware(cancelled, Metrics(), MemoryBudget(2**20))
    await middleware({"type": "http", "method": "GET", "path": "/models", "headers": []}, receive, send)
    assert sent[0]["status"] == 503


@pytest.mark.anyio
@pytest.mark.parametrize("seconds", [0.0, 3 * PATIENCE_SECONDS])
async def test_a_request_that_is_answered_leaves_nothing_for_the_garbage_collector(seconds: float) -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def answer() -> weakref.ref[Request]:
        posted = Request({"type": "http", "method": "POST", "path": "/forecast", "headers": []}, receive)
        await clients.serve(posted, asyncio.sleep(seconds))
        return weakref.ref(posted)

    clients = WaitingClients()
    gc.disable()
    try:
        left = await asyncio.create_task(answer())
        # The watching task learns that it is over.
        await asyncio.sleep(0.05)
        assert left() is None
    finally:
        gc.enable()
