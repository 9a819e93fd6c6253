"""Find the header of a CSV file: its delimiter, its columns, and where the records begin."""

import codecs
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from pipeline.errors import FileRefused

Names = Mapping[str, tuple[str, ...]]
"""Accepted header names by role."""
DELIMITERS = (",", ";", "\t", "|")


HEADER_LINES = 20
OTHER_FORMATS = {
    b"\x1f\x8b": "gzip data (if it is compressed once, name it .csv.gz; if twice, expand the outer layer)",
    b"\x28\xb5\x2f\xfd": "zstd data (if it is compressed once, name it .csv.zst; if twice, expand the outer layer)",
    b"BZh": "bzip2 data (expand it, or compress it with gzip or zstd)",
    b"\xfd7zXZ": "xz data (expand it, or compress it with gzip or zstd)",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook (extract or export it as CSV)",
    b"PAR1": "a Parquet file (export it as CSV)",
}
"""What files that are no text begin with; looked at only where no header was found."""


SAMPLE_PLACES = 5
SAMPLE_BYTES = 16 * 1024
"""So much is looked at in each of so many places, evenly spread from the first record to the end."""
RULE_COLUMN = "column "
"""A column that is read for a rule alone has this and its name as its role."""
_OLD_MAC = (
    "lines end in a carriage return alone (CR, as on old Macs), expected LF or CRLF. Convert it, e.g. tr '\\r' '\\n'."
)


NO_NAMES: Names = MappingProxyType({})
NAMES_FOLLOW = " has: "
"""What follows this in a reason may be a record; logs leave it out."""


def without_fields(reason: str) -> str:
    """A reason without the fields of the line that it shows, if it shows one."""
    shown, names_follow, _ = reason.partition(NAMES_FOLLOW)
    return shown.rpartition(". ")[0] + "." if names_follow else reason


@dataclass(frozen=True)
class Header:
    """Where a file's columns and records are.

    ``columns`` maps a role (``log_id``, ``user_id``, ``ip_address``, ``watch_time``, ``timestamp``, or that of a column
    that a rule is about) to the position of its column; ``names`` are all header fields. Records begin at byte
    ``data_start``, on physical line ``first_line`` (from 1). ``row_width`` is the mean length of lines in bytes, line
    end included, at several places of the file (0: no records).
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


def read_header(path: Path, wanted: Names, max_record: int, optional: Names = NO_NAMES) -> Header | None:
    """Header of ``path``, or None for a file of zero bytes (a byte-order mark does not count).

    ``wanted`` and ``optional`` map each role to the header names that are accepted for it; those wanted are required.
    The header is the first of the first 20 lines that names them all under one of the delimiters (contract: records).
    Raises FileRefused where there is none, or where two columns could be meant.
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
            found = _match(line, wanted, optional) if length == len(line) else None
            if found:
                delimiter, names, columns = found
                return Header(delimiter, names, columns, position, number + 1, _row_width(stream, position))
    if not seen:
        return None
    for magic, found_format in OTHER_FORMATS.items():
        if seen[0].startswith(magic):
            raise FileRefused(f"expected CSV text, found {found_format}.")
    if any(_match(piece, wanted, optional) for line in seen for piece in line.split(b"\r")[:-1]):
        raise FileRefused(_OLD_MAC)
    overlong = any(len(line) > max_record + 1 and not line.endswith(b"\n") for line in seen)
    hint = f" One of them is longer than MAX_RECORD_BYTES ({max_record}), too long for a header." if overlong else ""
    raise FileRefused(_no_header(seen, wanted) + hint)


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


def _match(line: bytes, wanted: Names, optional: Names) -> tuple[str, tuple[str, ...], Mapping[str, int]] | None:
    for delimiter in DELIMITERS:
        names = split_fields(line, delimiter)
        if names is None or not all(any(alias in names for alias in aliases) for aliases in wanted.values()):
            continue
        columns = {}
        for role, aliases in {**wanted, **optional}.items():
            places = [place for place, name in enumerate(names) if name in aliases]
            if len(places) > 1:
                raise FileRefused(_ambiguous(role, [names[place] for place in places]))
            if places:
                columns[role] = places[0]
        return delimiter, names, columns
    return None


def _ambiguous(role: str, names: list[str]) -> str:
    if len(set(names)) == 1:
        return f"the header has more than one column named {names[0]!r}: which is meant? Rename all but one."
    return (
        f"the header has more than one column for {role.removeprefix(RULE_COLUMN)}: {', '.join(names)}. Rename all but "
        f"one, or accept one name only in {_setting(role)}."
    )


def _refuse_utf16(start: bytes) -> None:
    marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    if marked or (len(start) == 4 and (start[::2] == b"\0\0" or start[1::2] == b"\0\0") and any(start)):
        raise FileRefused(
            "the file is UTF-16 (or UTF-32); logs must be UTF-8. Convert it, e.g. iconv -f UTF-16 -t UTF-8."
        )


def _no_header(lines: list[bytes], wanted: Names) -> str:
    """Why no header was found: by the line and delimiter that are most like one."""
    number, names = max(
        ((number, split_fields(line, d) or ()) for number, line in enumerate(lines, 1) for d in DELIMITERS),
        key=lambda found: (_likeness(found[1], wanted), len(found[1])),
    )
    shown = ", ".join(name[:40] for name in names[:20]) or "(nothing readable)"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    missing = {role: aliases for role, aliases in wanted.items() if not set(aliases) & set(names)}
    absent = ", ".join(repr(aliases[0]) for aliases in missing.values())
    hints = "".join(_hint(role, aliases, names, wanted) for role, aliases in missing.items())
    return (
        f"no header in the first {HEADER_LINES} lines: missing {absent} under every delimiter of "
        f", ; TAB |. {'The first line' if number == 1 else f'Line {number}'}{NAMES_FOLLOW}{shown}{more}.{hints}"
    )


def _likeness(names: tuple[str, ...], wanted: Names) -> int:
    """How many of the wanted columns are there, by their letters and digits alone."""
    plain = {_plain(name) for name in names}
    return sum(any(_plain(alias) in plain for alias in aliases) for aliases in wanted.values())


def _hint(role: str, aliases: tuple[str, ...], names: tuple[str, ...], wanted: Names) -> str:
    """Which column is probably meant, and what to do, where one is close and is no other column. It may be a value."""
    of_a_rule = role.startswith(RULE_COLUMN)
    taken = set() if of_a_rule else {alias for others in wanted.values() for alias in others}
    free = {_plain(name): name for name in reversed(names) if name not in taken and _plain(name)}
    for alias in aliases:
        close = get_close_matches(_plain(alias), free, n=1)
        if close:
            name = free[close[0]][:80]
            what = "name it in" if of_a_rule else "add it to"
            return f" Is {name!r} the {aliases[0]!r}? Then {what} {_setting(role)}."
    return ""


def _plain(name: str) -> str:
    """Letters and digits in one case: what is left of a name when spaces, underscores and the like do not count."""
    return "".join(character for character in name.casefold() if character.isalnum())


def _setting(role: str) -> str:
    return "RECORD_RULES" if role.startswith(RULE_COLUMN) else f"{role.upper()}_COLUMN"


def read_places(stream: BinaryIO, start: int, size: int = SAMPLE_BYTES) -> list[bytes]:
    """``size`` bytes at each of SAMPLE_PLACES from byte ``start`` on; all in one piece where there are no more."""
    beyond = stream.seek(0, os.SEEK_END) - start - size
    if beyond <= (SAMPLE_PLACES - 1) * size:
        stream.seek(start)
        return [stream.read(SAMPLE_PLACES * size)]
    places = []
    for number in range(SAMPLE_PLACES):
        stream.seek(start + beyond * number // (SAMPLE_PLACES - 1))
        places.append(stream.read(size))
    return places


def _row_width(stream: BinaryIO, start: int) -> float:
    sample = b"".join(read_places(stream, start))
    lines = sample.count(b"\n")
    return len(sample) / lines if lines else float(len(sample))
