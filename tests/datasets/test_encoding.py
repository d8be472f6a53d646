"""Encodings: read where they are certain or told, named with the line where they aren't."""

from pathlib import Path

import pytest

from tests.datasets.files import codes, flaw_of, read

TEXT = "unique_id,ds,y\nK\u00f6ln,2024-01-01,1.5\nM\u00fcnchen,2024-01-01,2.5\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.replace("\n", "\r\n").encode("utf-16"),
        TEXT.replace("\n", "\r").encode("utf-16"),
    ],
)
def test_utf_8_and_marked_encodings_are_certain(tmp_path: Path, content: bytes) -> None:
    table = read(tmp_path, content)
    assert table.ids == ["K\u00f6ln", "M\u00fcnchen"]
    assert table.values.tolist() == [1.5, 2.5]
    assert table.findings == ()


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "utf-16-be"])
def test_other_encodings_are_read_with_a_finding_where_nothing_speaks_against(tmp_path: Path, encoding: str) -> None:
    table = read(tmp_path, TEXT.encode(encoding))
    assert table.ids == ["K\u00f6ln", "M\u00fcnchen"]
    assert codes(table) == ["encoding_assumed"]


def test_windows_1252_names_its_first_line_and_some_words(tmp_path: Path) -> None:
    message = read(tmp_path, TEXT.encode("cp1252")).findings[0].message
    assert "line 2" in message
    assert "'K\u00f6ln'" in message
    euros = read(tmp_path, "ds;y\n2024-01-01;1\u00a0234,50 \u20ac\n".encode("cp1252"))
    assert euros.values.tolist() == [1234.5]


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("\u041c\u043e\u0441\u043a\u0432\u0430", "cp1251"),
        ("\u0391\u03b8\u03ae\u03bd\u03b1", "cp1253"),
        ("\u0141\u00f3d\u017a", "cp1250"),
        ("\u6771\u4eac\u90fd", "shift-jis"),
        ("\u5317\u4eac\u5e02", "gbk"),
        ("K\u00f6ln", "mac-roman"),
        ("K\u00f6ln", "cp437"),
        ("sprzeda\u017c", "iso-8859-2"),
        ("sat\u0131\u015f", "cp1254"),
        ("pra\u017esk\u00fd", "iso-8859-2"),
    ],
)
def test_an_encoding_that_can_not_be_told_is_named_with_its_line(tmp_path: Path, name: str, encoding: str) -> None:
    flaw = flaw_of(tmp_path, f"unique_id,y\nplain,1\n{name},2\n".encode(encoding))
    assert (flaw.pointer, flaw.code) == ("", "unreadable_file")
    assert "Line 3 is not UTF-8" in flaw.message
    assert "Save it as UTF-8" in flaw.message


@pytest.mark.parametrize("name", ["K\u00f6ln", "Voil\u00e0"])
def test_a_file_of_two_encodings_is_refused(tmp_path: Path, name: str) -> None:
    content = f"unique_id,y\n{name},1\n".encode() + "M\u00fcnchen,2\n".encode("cp1252")
    assert "not UTF-8" in flaw_of(tmp_path, content).message
    assert "UTF-16" in flaw_of(tmp_path, TEXT.encode("utf-16")[:-1]).message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"y\n1\n\x00\n", "Line 3 holds a NUL byte"),
        (b"y\n1\x07\n", "Line 2 holds the control character U+0007"),
        (b"PK\x03\x04rest", "Excel"),
        (b"\xd0\xcf\x11\xe0rest", "Excel"),
        (b"\x1f\x8brest", "Content-Encoding: gzip"),
        (b"PAR1rest", "application/vnd.apache.parquet"),
        (b'{"series": [1, 2]}', "Content-Type: application/json"),
        (b"\xef\xbb\xbf\n[[1, 2]]", "Content-Type: application/json"),
        (b'{"ds": "2024-01-01", "y": 1}\n{"ds": "2024-01-02", "y": 2}\n', "JSON"),
        (b"<!DOCTYPE html>\n<table>", "HTML"),
        (b'<?xml version="1.0"?>', "XML"),
        (b"{\\rtf1", "a text document"),
    ],
)
def test_what_is_no_text_is_named_for_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    flaw = flaw_of(tmp_path, content)
    assert flaw.code == "unreadable_file"
    assert words in flaw.message
