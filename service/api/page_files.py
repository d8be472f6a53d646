"""The files of the page: as they lie in the package, compressed once, and checked again by browsers before each use."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from mimetypes import guess_type
from pathlib import Path

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

ROOT = Path(__file__).parents[1] / "web"
INDEX = "index.html"
# More than the page has.
KEPT_FILES = 128
_FOLDER = StaticFiles(directory=ROOT)
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Scripts and styles come from the package alone, data from this service, pictures from the page as well.
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "manifest-src 'self'",
            "base-uri 'self'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file as it is sent."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str


def answer_file(request: Request, name: str) -> Response:
    """A file of the page.

    Raises:
        HTTPException: 404, there is none of this name.
    """
    try:
        path, status = _FOLDER.lookup_path(name)
    except (OSError, ValueError):
        # Names that are too long, or no names of files at all.
        raise HTTPException(404) from None
    # Links to places outside and folders are found as well.
    if status is None or not Path(path).is_file():
        raise HTTPException(404)
    return _answer(request, _load(path, status.st_mtime_ns))


def answer_index(request: Request, base: str) -> Response:
    """The page itself.

    Args: `base` is the path below which a proxy publishes the service, empty where there is none.
    """
    path = ROOT / INDEX
    return _answer(request, _load_index(str(path), path.stat().st_mtime_ns, base))


def _answer(request: Request, file: PageFile) -> Response:
    # `no-cache` lets browsers keep a file, but ask whether it is still the same one: a newer package is seen at once.
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding", **_SECURITY}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    content = file.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = file.compressed
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=file.media_type, headers=headers)


# A file that somebody edits is read again.
@lru_cache(KEPT_FILES)
def _load(path: str, modified_ns: int) -> PageFile:
    content = Path(path).read_bytes()
    media_type = guess_type(path)[0] or "application/octet-stream"
    # Not all machines know this one.
    return _make(content, "text/javascript" if path.endswith(".js") else media_type)


@lru_cache(KEPT_FILES)
def _load_index(path: str, modified_ns: int, base: str) -> PageFile:
    return _make(Path(path).read_bytes().replace(b'<base href="./">', f'<base href="{base}/">'.encode()), "text/html")


def _make(content: bytes, media_type: str) -> PageFile:
    digest = hashlib.sha256(content).hexdigest()[:32]
    return PageFile(content, gzip.compress(content, mtime=0), media_type, f'"{digest}"')
