"""Detects the encoding of a text file, if that is certain, and converts it to UTF-8."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from service.datasets.arrow_columns import quote
from service.datasets.dataset import Finding
from service.errors import InvalidRequest

BLOCK_BYTES = 2**20
CONVERTED = "converted.csv"
# The longer marks first: one of UTF-32 begins with one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# How other files begin than text.
_OTHERS = (
    (b"PK\x03\x04", "an Excel workbook or another zip archive", "Save the sheet as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "Save the sheet as CSV"),
    (b"PAR1", "Parquet", "Send it with Content-Type: application/vnd.apache.parquet"),
    (b"\x1f\x8b", "compressed with gzip", "Send it with Content-Encoding: gzip, or unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "Unpack it"),
    (b"BZh", "compressed with bzip2", "Unpack it"),
    (b"%PDF", "a PDF document", "Save the table as CSV"),
    (b"{\\rtf", "a text document", "Save the table as CSV"),
)
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\{\s*[\"}]|\[\s*[\[{\"\d\]-])")
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!doctype|html|table|workbook)\b", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
# What Windows-1252 leaves undefined.
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_WORD = re.compile(r"[^\W\d_]*[^\x00-\x7f]+[^\W\d_]*")
# These stand alone or beside digits, never inside a word; a no-break space parts words and digits.
_SIGNS = "\u00a0€£¥¢°±²³µ·–—‘’‚“”„…§©®™%‰«»¿¡ºª½¼¾×÷´`•"
# Letters where other encodings have theirs: Mac Roman writes "ö" as the byte that is "š" here, Turkish has "ş" where
# Icelandic alone has "þ".
_DOUBTFUL = "ŠšŒœŽžŸƒˆ˜ÝýÞþÐð"
# Nor do these follow a letter: Polish "sprzedaż" would be "sprzeda¿".
_NEVER_BEHIND_LETTERS = re.compile(r"[^\W\d_][¿¡±µ·¼½¾×÷´¢§‰]")
_MOST_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 in a file, from the byte `start` on. `has_quotes`: whether any cell may be quoted."""

    path: Path
    start: int
    has_quotes: bool
    findings: tuple[Finding, ...] = ()


def open_text(path: Path, scratch: Path) -> Text:
    """A file's text; of another encoding than UTF-8 it is written anew, to the folder `scratch`.

    UTF-8 and UTF-16 are certain by their byte-order mark or their form; other bytes are taken for Windows-1252 where
    every one is defined and every word is a word, with a finding.

    Raises:
        InvalidRequest: not text, or an unknown encoding; the message names the line.
    """
    with path.open("rb") as file:
        head = file.read(BLOCK_BYTES)
    if not head:
        raise InvalidRequest.at("", "empty", "The file is empty: expected a header and rows.")
    for magic, name, remedy in _OTHERS:
        if head.startswith(magic):
            raise _refuse(f"The file is not CSV but {name}. {remedy}.")
    if _JSON.match(head):
        raise _refuse("The file is JSON, not CSV. Send it with Content-Type: application/json.")
    if _MARKUP.match(head):
        raise _refuse("The file is XML or HTML, not CSV. Save the table as CSV.")
    mark, name = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", "utf-8"))
    findings: tuple[Finding, ...] = ()
    if not mark and (guess := _guess_wide(head)):
        name = guess
        message = f"The file has no byte-order mark: it was read as {_title(name)}."
        findings = (Finding("encoding_assumed", None, message),)
    if name != "utf-8":
        return _survey(_convert(path, scratch / CONVERTED, name, len(mark)), 0, findings)
    try:
        return _survey(path, len(mark), findings)
    except UnicodeDecodeError:
        return _read_windows(path, scratch, bool(mark))


def _survey(path: Path, start: int, findings: tuple[Finding, ...]) -> Text:
    """Reads it all once. Raises UnicodeDecodeError where it isn't UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    has_quotes, line = False, 1
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(BLOCK_BYTES):
            decoder.decode(block)
            has_quotes = has_quotes or b'"' in block
            control = _CONTROLS.search(block)
            if control:
                line += _count_lines(block[: control.start()])
                what = "a NUL byte" if control[0] == b"\x00" else f"the control character U+{control[0][0]:04X}"
                raise _refuse(
                    f"Line {line} holds {what}, which no text has: the file is damaged, or no text. Write it anew as "
                    "CSV in UTF-8."
                )
            line += _count_lines(block)
        decoder.decode(b"", final=True)
    return Text(path, start, has_quotes, findings)


def _read_windows(path: Path, scratch: Path, is_marked: bool) -> Text:
    """Reads a file that isn't UTF-8 as Windows-1252."""
    line, words = _look_at_words(path)
    advice = "Save it as UTF-8 (in Excel: 'CSV UTF-8')."
    if is_marked or words is None:
        raise _refuse(
            f"Line {line} is not UTF-8, and its encoding can't be told for certain: the text may be of any. {advice}"
        )
    shown = f", such as {', '.join(map(quote, words))}" if words else ""
    message = f"The file is not UTF-8 (line {line}): it was read as Windows-1252{shown}. {advice}"
    return _survey(_convert(path, scratch / CONVERTED, "cp1252", 0), 0, (Finding("encoding_assumed", None, message),))


def _look_at_words(path: Path) -> tuple[int, list[str] | None]:
    """The first line that isn't UTF-8, and some words of Windows-1252; None if it may be another code."""
    first, words = 0, dict[str, None]()
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), 1):
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                is_utf8 = True
            except UnicodeDecodeError:
                is_utf8 = False
                first = first or number
            # Some lines in UTF-8 and others not: one of both was written wrongly.
            if is_utf8 or _UNDEFINED.search(line) or _CONTROLS.search(line):
                return first or number, None
            for word in _WORD.findall(line.decode("cp1252")):
                if not _is_word(word):
                    return first, None
                if len(words) < _MOST_SAMPLES:
                    words[word.strip("\u00a0")] = None
    return first, [word for word in words if word]


def _is_word(word: str) -> bool:
    """Whether a word with other letters than ASCII's is one of a language that Windows-1252 is for."""
    signs = {letter for letter in word if letter in _SIGNS}
    letters = [letter for letter in word if letter not in _SIGNS]
    if signs and not signs <= {"\u00a0", "’", "‘"} and letters and any(letter > "\x7f" for letter in letters):
        return False
    if any(not letter.isalpha() or letter in _DOUBTFUL for letter in letters):
        return False
    if _NEVER_BEHIND_LETTERS.search(word):
        return False
    inner = word.strip(_SIGNS)
    if any(letter in _SIGNS and letter not in "\u00a0’" for letter in inner):
        return False
    # Words of Greek or Russian would be strings of accents.
    return re.search(r"[^\x00-\x7f\u00a0]{3}", inner) is None


def _convert(path: Path, converted: Path, name: str, skip: int) -> Path:
    decoder = codecs.getincrementaldecoder(name)()
    with path.open("rb") as source, converted.open("wb") as target:
        source.seek(skip)
        n_lines = 1
        try:
            while block := source.read(BLOCK_BYTES):
                text = decoder.decode(block).encode()
                n_lines += _count_lines(text)
                target.write(text)
            target.write(decoder.decode(b"", final=True).encode())
        except UnicodeError as error:
            raise _refuse(
                f"The file is no valid {_title(name)}, though it begins so (about line {n_lines}). Save it as UTF-8."
            ) from error
    return converted


def _guess_wide(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of what is mostly ASCII is zero."""
    even, odd = head[0:4000:2], head[1:4000:2]
    if len(odd) < 2:
        return None
    for name, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros.count(0) > 0.9 * len(zeros) and not others.count(0):
            return name
    return None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, whichever way they end."""
    for line in file:
        yield from line.splitlines()


def _count_lines(block: bytes) -> int:
    return block.count(b"\n") or block.count(b"\r")


def _title(name: str) -> str:
    return name.upper().replace("-LE", " (little-endian)").replace("-BE", " (big-endian)")


def _refuse(message: str) -> InvalidRequest:
    return InvalidRequest.at("", "unreadable_file", message)
