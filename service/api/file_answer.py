"""Answers that are files, sent as fast as their readers take them."""

import asyncio
import os
from typing import BinaryIO

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PIECE_BYTES = 2**18


class FileAnswer(Response):
    """A file that is open to read, and closed once it has been sent."""

    def __init__(self, file: BinaryIO, media_type: str, name: str) -> None:
        size = os.fstat(file.fileno()).st_size
        super().__init__(
            media_type=media_type,
            headers={"content-length": str(size), "content-disposition": f'attachment; filename="{name}"'},
        )
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while piece := await asyncio.to_thread(self._file.read, PIECE_BYTES):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._file.close()
