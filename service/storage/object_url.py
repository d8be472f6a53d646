"""URLs of object stores, as settings and requests have them."""

import re
from urllib.parse import urlsplit

SCHEMES = ("s3", "gs", "az", "file")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}\Z")


def check_url(url: str) -> str:
    """An object store's URL, checked without a look at it: `s3://bucket/prefix`, `gs://`, `az://` or `file:///folder`.

    Raises:
        ValueError: it is none, or holds what belongs into the environment. The message doesn't repeat it.
    """
    parts = urlsplit(url)
    expected = "expected s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder"
    if parts.scheme not in SCHEMES:
        raise ValueError(f"it is no URL of an object store: {expected}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            "the URL of an object store holds no credentials and no options: set the variables of its provider, such "
            "as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL"
        )
    is_folder = parts.scheme == "file"
    if is_folder and (parts.netloc or len(parts.path) < 2):
        raise ValueError("the URL of a folder begins with three slashes: file:///folder")
    if not is_folder and not _BUCKET.match(parts.netloc):
        raise ValueError(f"it names no bucket: {expected}")
    return url.rstrip("/")
