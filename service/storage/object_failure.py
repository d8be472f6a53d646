"""Turns an object store's failures into errors that say what is wrong and how to fix it."""

import logging
import re

from service.errors import StorageUnavailable
from service.storage.log_pace import is_due

logger = logging.getLogger(__name__)

_STATUS = re.compile(r"status code: (\d{3})")


class AccessRefused(StorageUnavailable):
    """The object store doesn't let the service in, or can't be asked at all; trying again is in vain."""


def lacks_bucket(error: BaseException) -> bool:
    """Whether it is the bucket that is missing, which may look like a missing object."""
    return "NoSuchBucket" in str(error)


def explain_failure(error: BaseException, place: str, *, is_refused: bool = False) -> StorageUnavailable:
    """The error for clients; its cause, cut to what holds no credentials, stands in the log.

    Args:
        place: the store, such as "object store s3://bucket".
        is_refused: whether the error's type says that access is refused; its text may say so too.
    """
    text = str(error)
    if is_due(place):
        logger.error("the %s can't be used: %s", place, _cut(text))
    status = _STATUS.search(text)
    if is_refused or (status is not None and status[1] in ("401", "403")):
        return AccessRefused(
            f"The {place} refuses access. Check the credentials that the service runs with, and what they permit."
        )
    if lacks_bucket(error):
        return AccessRefused(f"The {place} has no such bucket. Create it, or name another.")
    if status is not None:
        return StorageUnavailable(
            f"The {place} answers with an error (HTTP {status[1]}). Try again later; if it persists, ask who runs it."
        )
    return StorageUnavailable(f"The {place} can't be used or reached. Try again later. The log says why.")


def explain_opening(error: BaseException, place: str) -> AccessRefused:
    """The error of a store that no client can be made for, before anything is asked of it; its cause is logged."""
    text = str(error)
    if is_due(place):
        logger.error("the %s can't be opened: %s", place, _cut(text))
    if "No CA certificates" in text:
        return AccessRefused(
            f"The {place} can't be opened: this machine has no CA certificates. Install them (the package "
            "ca-certificates), or name a file that holds some in SSL_CERT_FILE."
        )
    return AccessRefused(
        f"The {place} can't be opened. Check the environment variables of its provider, such as "
        "AZURE_STORAGE_ACCOUNT_NAME. The log says why."
    )


def _cut(text: str) -> str:
    """The first line, without what may be signatures in URLs."""
    return re.sub(r"\?\S*", "", text.split("\n")[0])[:500]
