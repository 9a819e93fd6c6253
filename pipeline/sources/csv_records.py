"""Finds the records of CSV text one by one, where a whole block cannot be trusted: the record contract in Python.

A field that begins with a quote may hold delimiters, doubled quotes and line ends, and closes before a delimiter or a
line end. Where it does not, or a record has another number of fields, the first line alone is rejected.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

MAX_RECORD_BYTES = 2**20
"""A record is no longer."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record at ``begin``:``end`` of the text: its fields (None: empty), or the ``reason`` why it is rejected.

    ``line``: its first line, from 0.
    """

    begin: int
    end: int
    line: int
    fields: tuple[str | None, ...] = ()
    reason: str = ""


def find_records(text: bytes, begin: int, stop: int, delimiter: str, columns: int) -> Iterator[Record]:
    """Yield the records that begin at ``begin`` or later and before ``stop``; blank lines are none.

    ``text`` reaches so far beyond ``stop`` that the last record is whole.
    """
    line = 0
    while begin < stop:
        end = _line_end(text, begin)
        if text[begin:end].strip(b"\r\n"):
            record = _read(text, begin, end, line, delimiter, columns)
            end, line = record.end, line + text.count(b"\n", begin, record.end) - 1
            yield record
        begin, line = end, line + 1


def split_fields(line: bytes, delimiter: str) -> tuple[str | None, ...] | None:
    """The fields of one line, such as a header; None where a quoted field does not close in it."""
    found = _fields(line, 0, delimiter)
    return found[0] if found and found[1] == len(line) else None


def _line_end(text: bytes, begin: int) -> int:
    return text.find(b"\n", begin) + 1 or len(text)


def _read(text: bytes, begin: int, line_end: int, line: int, delimiter: str, columns: int) -> Record:
    try:
        found = _fields(text, begin, delimiter)
    except UnicodeDecodeError:
        return Record(begin, line_end, line, reason="invalid UTF-8")
    if found is None:
        return Record(begin, line_end, line, reason="a quoted field does not close")
    fields, end = found
    if len(fields) != columns:
        return Record(begin, line_end, line, reason=f"{len(fields)} fields instead of {columns}")
    if end - begin > MAX_RECORD_BYTES:
        return Record(begin, line_end, line, reason="a record of more than 1 MiB")
    if b"\0" in text[begin:end]:
        return Record(begin, end, line, reason="a NUL byte")
    return Record(begin, end, line, fields)


@lru_cache
def _field(delimiter: str) -> re.Pattern[bytes]:
    mark = re.escape(delimiter.encode())
    return re.compile(
        rb'(?:"((?:[^"]|"")*)"|([^"' + mark + rb"\r\n][^" + mark + rb"\n]*?|))(" + mark + rb"|\r?\n|\r?\Z)"
    )


def _fields(text: bytes, begin: int, delimiter: str) -> tuple[tuple[str | None, ...], int] | None:
    """The fields of the record at ``begin``, and where it ends; None where a quoted field does not close properly."""
    match, most = _field(delimiter).match, begin + MAX_RECORD_BYTES + 2
    fields: list[str | None] = []
    while True:
        found = match(text, begin, min(len(text), most))
        if found is None:
            return None
        quoted, plain, closing = found.groups()
        value = plain if quoted is None else quoted.replace(b'""', b'"')
        fields.append(value.decode() or None)
        begin = found.end()
        if closing != delimiter.encode():
            return tuple(fields), begin
