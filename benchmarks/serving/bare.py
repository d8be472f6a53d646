"""Reads a body and answers with fixed bytes: the cost of the socket and the HTTP server alone."""

import os
from typing import Any

import uvicorn

ANSWER = (
    b'{"model":"lstm","version":1,"mode":"sequence","horizon":10,"forecasts":[{"id":"0","values":['
    + b",".join([b"0.12345678"] * 10)
    + b']}],"timings":{"queue_ms":0.012,"compute_ms":0.081}}'
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers every request alike."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        http="httptools",
        loop="uvloop",
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
    )
