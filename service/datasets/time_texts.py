"""Reads times from Arrow text columns: plain ISO 8601 as whole columns, other forms by their fields."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.domain.time_fields import Fields
from service.domain.time_formats import FIELD_KINDS, LETTERS, MONTH_NAMES, TimeFormat, find_format
from service.domain.timestamps import clean

# What Arrow doesn't read of ISO 8601, and how it does.
_LONG_FORMS = (
    (r"(\d)\s*(?:UTC|utc|GMT|gmt|z|Z)$", r"\1Z"),
    (r"(:\d{2})[.,](\d{1,6})\d*", r"\1.\2"),
    (r"(:\d{2})\s+([+-]\d{2})", r"\1\2"),
)
# Digits and what stands between them in times: whoever reads such a column says what is wrong with one.
_PLAIN = r"^\s*\d[\d\s.,:/TZ+-]*$"
# So many different texts that are no times are no notes any more.
_MOST_OTHERS = 1000
_ZONE = r"(Z|[+-]\d{2}:?(\d{2})?)$"


def read_plain_iso(column: Any) -> tuple[NDArray[np.datetime64], NDArray[np.int32] | None] | None:
    """Wall times and offsets of a column that Arrow can read whole; None where it can't."""
    times = _read_plain(column)
    if times is not None or not len(column):
        return times
    # So many texts have only a blank, a word for UTC or nanoseconds too much that they are worth a second try.
    return None if _read_plain(_shorten(column[:1])) is None else _read_plain(_shorten(column))


def lack_times(column: Any) -> NDArray[np.bool_]:
    """Which cells [rows] of a column of text have not the form of a time, blank ones among them."""
    seen = np.array(pc.fill_null(pc.match_substring_regex(column, _PLAIN), False).to_numpy(), np.bool_)
    rest = np.flatnonzero(~seen)
    if len(rest):
        encoded = pc.fill_null(column.take(pa.array(rest)), "").combine_chunks().dictionary_encode()
        texts = ArrowTexts(encoded.dictionary)
        has_form = ~texts.drop_formless(_MOST_OTHERS)
        seen[rest] = has_form[encoded.indices.to_numpy(zero_copy_only=False)]
    return ~seen


def _shorten(column: Any) -> Any:
    column = pc.utf8_trim_whitespace(column)
    for pattern, plain in _LONG_FORMS:
        column = pc.replace_substring_regex(column, pattern, plain)
    return column


def _read_plain(column: Any) -> tuple[NDArray[np.datetime64], NDArray[np.int32] | None] | None:
    try:
        return _stamps(column.cast(pa.timestamp("us"))), None
    except pa.ArrowInvalid:
        pass
    try:
        utc = _stamps(column.cast(pa.timestamp("us", tz="UTC")))
        wall = _stamps(pc.replace_substring_regex(column, _ZONE, "").cast(pa.timestamp("us")))
    except pa.ArrowInvalid:
        return None
    return wall, (wall - utc).astype("timedelta64[s]").astype(np.int32)


class ArrowTexts:
    """Texts in an Arrow array, as `service.domain.timestamps.Texts`."""

    def __init__(self, texts: pa.Array) -> None:
        for blank in ("\u00a0", "\u202f"):
            texts = pc.replace_substring(texts, blank, " ")
        self._texts = pc.utf8_trim_whitespace(texts)
        self._left = np.arange(len(texts))

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, index: int) -> str:
        return str(self._texts[index].as_py())

    def first(self) -> tuple[int, str] | None:
        if not len(self._left):
            return None
        index = int(self._left[0])
        return index, clean(self.text(index))

    def drop_formless(self, most: int) -> NDArray[np.bool_]:
        """Which texts [texts] are of no form; once they are `most`, all that are left count as such."""
        is_formless = np.zeros(len(self), np.bool_)
        while (untaken := self.first()) is not None:
            shape = find_format(untaken[1])
            if shape is not None and untaken[0] in (taken := self.take(shape)[0]) and len(taken):
                continue
            is_formless[untaken[0]] = True
            self._left = self._left[1:]
            if is_formless.sum() > most:
                is_formless[self._left] = True
                break
        return is_formless

    def take(self, shape: TimeFormat) -> tuple[NDArray[np.intp], Fields]:
        left = self._texts.take(pa.array(self._left))
        matches = pc.extract_regex(left, f"^(?:{shape.pattern})$")
        is_match = matches.is_valid()
        taken, self._left = _split(self._left, is_match.to_numpy(zero_copy_only=False))
        matched = matches.filter(is_match)
        return taken, {name: _convert(name, pc.struct_field(matched, name)) for name in shape.fields}


def _split(indices: NDArray[np.intp], mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return indices[mask], indices[~mask]


def _convert(name: str, texts: pa.Array) -> NDArray[Any]:
    """The fields' numbers, as `service.domain.time_formats` describes them."""
    kind = FIELD_KINDS.get(name)
    if kind == "text":
        return np.asarray(texts.to_numpy(zero_copy_only=False), object)
    if kind == "month":
        places = pc.index_in(pc.utf8_lower(pc.utf8_slice_codeunits(texts, 0, 3)), pa.array(MONTH_NAMES))
        return np.asarray(places.to_numpy(zero_copy_only=False), np.int64) + 1
    if kind is None:
        letters = pc.utf8_lower(pc.utf8_slice_codeunits(texts, 0, 1))
        places = pc.index_in(letters, pa.array(list(LETTERS[name])))
        return np.asarray(places.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
    is_absent = pc.equal(texts, "")
    if kind in ("micros", "billionths"):
        width = 6 if kind == "micros" else 9
        texts = pc.utf8_slice_codeunits(pc.utf8_rpad(texts, width, "0"), 0, width)
    return np.asarray(pc.if_else(is_absent, "-1", texts).cast(pa.int64()).to_numpy(zero_copy_only=False))


def _stamps(column: Any) -> NDArray[np.datetime64]:
    stamps = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    return np.asarray(stamps, "datetime64[us]")
