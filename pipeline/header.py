"""Find the header of a CSV file: its delimiter, its columns, and where the records begin."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import FileRefused

DELIMITERS = (",", ";", "\t", "|")
HEADER_LINES = 20
SAMPLE_BYTES = 64 * 1024
FIRST_LINE = "The first line has: "
"""What follows this in a reason may be a record; logs leave it out."""


@dataclass(frozen=True)
class Header:
    """Where a file's columns and records are.

    ``columns`` maps a role (``log_id``, ``user_id``, ``ip_address``, ``watch_time``, ``timestamp``) to the position of
    its column; ``names`` are all header fields. Records begin at byte ``data_start``, on physical line ``first_line``
    (from 1). ``row_width`` is the mean length of the first lines in bytes, line end included (0: no records).
    """

    delimiter: str
    names: tuple[str, ...]
    columns: Mapping[str, int]
    data_start: int
    first_line: int
    row_width: float

    @property
    def fields(self) -> int:
        """Number of fields of a record."""
        return len(self.names)


def read_header(path: Path, wanted: Mapping[str, tuple[str, ...]], max_record: int) -> Header | None:
    """Header of ``path``, or None for a file of zero bytes (a byte-order mark does not count).

    ``wanted`` maps each role to the header names that are accepted for it; all roles are required. The header is the
    first of the first 20 lines that names them all under one of the delimiters (contract: records).
    Raises FileRefused where there is none, or where it is ambiguous.
    """
    with path.open("rb") as stream:
        start = stream.read(4)
        _refuse_utf16(start)
        position = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
        stream.seek(position)
        seen: list[bytes] = []
        for number in range(1, HEADER_LINES + 1):
            line, length = _read_line(stream, max_record)
            if not line:
                break
            position += length
            seen.append(line)
            found = _match(line, wanted) if length == len(line) else None
            if found:
                delimiter, names, columns = found
                return Header(delimiter, names, columns, position, number + 1, _row_width(stream.read(SAMPLE_BYTES)))
    if not seen:
        return None
    overlong = any(len(line) > max_record + 1 and not line.endswith(b"\n") for line in seen)
    hint = f" One of them is longer than MAX_RECORD_BYTES ({max_record}), too long for a header." if overlong else ""
    raise FileRefused(_no_header(seen[0], wanted) + hint)


def _read_line(stream: BinaryIO, max_record: int) -> tuple[bytes, int]:
    """(line, its length); of a line beyond ``max_record`` only the beginning."""
    line = piece = stream.readline(max_record + 2)
    length = len(line)
    while len(piece) == max_record + 2 and not piece.endswith(b"\n"):
        piece = stream.readline(max_record + 2)
        length += len(piece)
    return line, length


def split_fields(line: bytes, delimiter: str) -> tuple[str, ...] | None:
    """Fields of one physical line by RFC 4180 rules, or None where a quoted field is malformed."""
    fields: list[str] = []
    rest = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", errors="replace")
    while True:
        if rest.startswith('"'):
            value, closed, rest = _quoted(rest)
            if not closed or not (rest == "" or rest.startswith(delimiter)):
                return None
            fields.append(value)
            if rest == "":
                return tuple(fields)
            rest = rest[1:]
        else:
            value, found, rest = rest.partition(delimiter)
            fields.append(value)
            if not found:
                return tuple(fields)


def _quoted(text: str) -> tuple[str, bool, str]:
    """(value, whether it closes, what follows) of a text that begins with a quote."""
    parts: list[str] = []
    start = 1
    while (end := text.find('"', start)) >= 0:
        parts.append(text[start:end])
        if not text.startswith('"', end + 1):
            return '"'.join(parts), True, text[end + 1 :]
        start = end + 2
    return "", False, ""


def _match(line: bytes, wanted: Mapping[str, tuple[str, ...]]) -> tuple[str, tuple[str, ...], Mapping[str, int]] | None:
    for delimiter in DELIMITERS:
        names = split_fields(line, delimiter)
        if names is None or not all(any(alias in names for alias in aliases) for aliases in wanted.values()):
            continue
        columns = {}
        for role, aliases in wanted.items():
            places = [place for place, name in enumerate(names) if name in aliases]
            if len(places) > 1:
                found = ", ".join(names[place] for place in places)
                raise FileRefused(f"the header has more than one column for {role}: {found}. Rename all but one.")
            columns[role] = places[0]
        return delimiter, names, columns
    return None


def _refuse_utf16(start: bytes) -> None:
    marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    if marked or (len(start) == 4 and (start[::2] == b"\0\0" or start[1::2] == b"\0\0") and any(start)):
        raise FileRefused(
            "the file is UTF-16 (or UTF-32); logs must be UTF-8. Convert it, e.g. iconv -f UTF-16 -t UTF-8."
        )


def _no_header(first_line: bytes, wanted: Mapping[str, tuple[str, ...]]) -> str:
    """Why no header was found: by the delimiter under which the first line has the most fields."""
    names = max((split_fields(first_line, d) or () for d in DELIMITERS), key=len)
    shown = ", ".join(name[:40] for name in names[:20]) or "(nothing readable)"
    missing = []
    for role, aliases in wanted.items():
        if any(alias in names for alias in aliases):
            continue
        close = get_close_matches(aliases[0].casefold(), [name.casefold() for name in names], n=1)
        near = next((name for name in names if close and name.casefold() == close[0]), None)
        hint = f" (is it {near!r}? then set {role.upper()}_COLUMN)" if near else ""
        missing.append(f"{aliases[0]!r}{hint}")
    return (
        f"no header in the first {HEADER_LINES} lines: missing {', '.join(missing)} under every delimiter of "
        f", ; TAB |. {FIRST_LINE}{shown}."
    )


def _row_width(sample: bytes) -> float:
    lines = sample.count(b"\n")
    return len(sample) / lines if lines else float(len(sample))
