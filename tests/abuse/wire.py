"""HTTP by hand, for requests that no client library would send."""

import json
import socket
import struct
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    body: Any = None, *, method: str = "POST", path: str = "/forecast", headers: dict[str, str] | None = None
) -> bytes:
    """A whole request; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    lines = {"Host": "localhost", **({} if body is None else {"Content-Type": "application/json"})}
    if content:
        lines["Content-Length"] = str(len(content))
    head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **(headers or {})}.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content


def connect(url: str, *, seconds: float = 30.0, buffer_bytes: int | None = None) -> socket.socket:
    """A connection, whose kernel takes no more than about `buffer_bytes` that nobody has read."""
    address = urlsplit(url)
    client = socket.socket()
    client.settimeout(seconds)
    if buffer_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    client.connect((address.hostname, address.port))
    return client


def send(url: str, *pieces: bytes, seconds: float = 30.0) -> list[Answer]:
    """Sends pieces, as far as the server takes them, and gives the answers up to the end of the connection."""
    with connect(url, seconds=seconds) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
        except OSError:
            pass
        return read(client)


def read(client: socket.socket) -> list[Answer]:
    """All answers until the server ends the connection."""
    received = bytearray()
    try:
        while chunk := client.recv(2**16):
            received += chunk
    except ConnectionResetError:
        pass
    return split(bytes(received))


def split(received: bytes) -> list[Answer]:
    """Answers one behind the other, each with a Content-Length."""
    answers = []
    while received:
        head, separator, rest = received.partition(b"\r\n\r\n")
        assert separator, received[:200]
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0"))
        answers.append(Answer(int(status.split()[1]), headers, rest[:length]))
        received = rest[length:]
    return answers


def reset(client: socket.socket) -> None:
    """Ends a connection as a client does that dies."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
