"""Finds the header of a CSV file: its delimiter, its columns, and where the records begin."""

import codecs
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from pipeline.errors import FileRefused
from pipeline.reading.log_ids import ID_PART

Names = Mapping[str, tuple[str, ...]]
"""Role → accepted header names."""

NO_NAMES: Names = MappingProxyType({})

DELIMITERS = (",", ";", "\t", "|")

HEADER_LINES = 20
"""Number of lines among which the header is searched."""

OTHER_FORMATS = {
    b"\x1f\x8b": "gzip data (if it is compressed once, name it .csv.gz; if twice, expand the outer layer)",
    b"\x28\xb5\x2f\xfd": "zstd data (if it is compressed once, name it .csv.zst; if twice, expand the outer layer)",
    b"BZh": "bzip2 data (expand it, or compress it with gzip or zstd)",
    b"\xfd7zXZ": "xz data (expand it, or compress it with gzip or zstd)",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook (extract or export it as CSV)",
    b"PAR1": "a Parquet file (export it as CSV)",
}
"""First bytes of files that are no text → what the file is. Compared only where no header was found."""

SAMPLES = 5
"""Number of samples of a file, evenly spread from the first record to the end."""

SAMPLE_BYTES = 16 * 1024
"""Bytes of a sample."""

RULE_COLUMN = "column "
"""Prefix of the role of a column that is read for a rule alone; the column's name follows."""

_OLD_MAC = (
    "lines end in a carriage return alone (CR, as on old Macs), expected LF or CRLF. Convert it, e.g. tr '\\r' '\\n'."
)

NAMES_FOLLOW = " has: "
"""In a reason, the fields of a line follow these words. The line may be a record, so logs leave the fields out."""


def without_fields(reason: str) -> str:
    """The reason of a refusal, less the sentence that shows the fields of a line, if there is one."""
    beginning, names_follow, _ = reason.partition(NAMES_FOLLOW)
    return beginning.rpartition(". ")[0] + "." if names_follow else reason


@dataclass(frozen=True, slots=True)
class Header:
    """Where the columns and records of a file are.

    ==============  ===================================================================================================
    ``delimiter``   one of ``DELIMITERS``
    ``names``       all fields of the header, in order
    ``columns``     role → index of its column in ``names``, from 0; a role is ``log_id``, ``user_id``, ``ip_address``,
                    ``watch_time``, ``timestamp``, that of a rule's column, or instead of ``log_id`` those of the
                    columns that make the id (``log_ids.ID_PART``); several roles may have one column
    ``data_start``  first byte behind the header line, where the records begin
    ``first_line``  physical line on which the records begin; the first line of a file is 1
    ``row_width``   mean bytes of the lines in the samples, with line ends; 0 without records
    ==============  ===================================================================================================
    """

    delimiter: str
    names: tuple[str, ...]
    columns: Mapping[str, int]
    data_start: int
    first_line: int
    row_width: float

    def __hash__(self) -> int:
        return hash((self.names, self.data_start, self.row_width))

    @property
    def fields(self) -> int:
        """Number of fields of a record."""
        return len(self.names)


def read_header(path: Path, wanted: Names, max_record: int, optional: Names = NO_NAMES) -> Header | None:
    """Find the header of ``path``; None for a file without bytes behind a byte-order mark.

    ``wanted`` and ``optional``: role → accepted header names, of the columns that the file must have and may lack. The
    header is the first of the first 20 lines that names all wanted columns under one of the delimiters (contract:
    records). A line of more than ``max_record`` bytes is no header.

    Raises FileRefused where no line is a header, or two columns have accepted names of one role. Raises OSError where
    the file cannot be read.
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
            matched = _match(line, wanted, optional) if length == len(line) else None
            if matched:
                delimiter, names, columns = matched
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
    raise FileRefused(_describe_no_header(seen, wanted) + hint)


def _read_line(stream: BinaryIO, max_record: int) -> tuple[bytes, int]:
    """(line, its length) at the stream's position; of a line beyond ``max_record`` bytes only the beginning."""
    line = piece = stream.readline(max_record + 2)
    length = len(line)
    while len(piece) == max_record + 2 and not piece.endswith(b"\n"):
        piece = stream.readline(max_record + 2)
        length += len(piece)
    return line, length


def split_fields(line: bytes, delimiter: str) -> tuple[str, ...] | None:
    """Split one physical line into fields (RFC 4180); None where a quoted field is malformed."""
    fields: list[str] = []
    rest = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", errors="replace")
    while True:
        if rest.startswith('"'):
            value, closed, rest = _read_quoted(rest)
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


def _read_quoted(text: str) -> tuple[str, bool, str]:
    """(value of the quoted field, whether the field closes, text behind it) of a text that begins with a quote."""
    pieces: list[str] = []
    start = 1
    while (end := text.find('"', start)) >= 0:
        pieces.append(text[start:end])
        if not text.startswith('"', end + 1):
            return '"'.join(pieces), True, text[end + 1 :]
        start = end + 2
    return "", False, ""


def _match(line: bytes, wanted: Names, optional: Names) -> tuple[str, tuple[str, ...], Mapping[str, int]] | None:
    """(delimiter, names, role → index of the column) of a header line; None if ``line`` is no header.

    Raises FileRefused where two columns have accepted names of one role.
    """
    for delimiter in DELIMITERS:
        names = split_fields(line, delimiter)
        if names is None or not all(any(alias in names for alias in aliases) for aliases in wanted.values()):
            continue
        columns = {}
        for role, aliases in {**wanted, **optional}.items():
            indices = [index for index, name in enumerate(names) if name in aliases]
            if len(indices) > 1:
                raise FileRefused(_describe_ambiguous(role, [names[index] for index in indices]))
            if indices:
                columns[role] = indices[0]
        return delimiter, names, columns
    return None


def _describe_ambiguous(role: str, names: list[str]) -> str:
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


def _describe_no_header(lines: list[bytes], wanted: Names) -> str:
    """Say what the line that is most like a header lacks."""
    number, names = max(
        ((number, split_fields(line, d) or ()) for number, line in enumerate(lines, 1) for d in DELIMITERS),
        key=lambda found: (_likeness(found[1], wanted), len(found[1])),
    )
    listed = ", ".join(name[:40] for name in names[:20]) or "(nothing readable)"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    missing: dict[str, tuple[str, ...]] = {}
    for role in sorted(wanted, key=lambda role: role.startswith(ID_PART)):  # a part of the id may be another's column
        aliases = wanted[role]
        if not set(aliases) & set(names) and aliases not in missing.values():
            missing[role] = aliases
    absent = ", ".join(repr(aliases[0]) for aliases in missing.values())
    if not _likeness(names, wanted):  # the line may be a record, and its fields values, which no message shows
        count = f"{len(names)} fields" if len(names) > 1 else "one field"
        return (
            f"no header in the first {HEADER_LINES} lines: missing {absent} under every delimiter of , ; TAB |. No "
            f"line has any of these names; line {number} has the most fields, {count}."
        )
    hints = "".join(_hint(role, aliases, names, wanted) for role, aliases in missing.items())
    return (
        f"no header in the first {HEADER_LINES} lines: missing {absent} under every delimiter of "
        f", ; TAB |. {'The first line' if number == 1 else f'Line {number}'}{NAMES_FOLLOW}{listed}{more}.{hints}"
    )


def _likeness(names: tuple[str, ...], wanted: Names) -> int:
    """Number of wanted columns that are among ``names``, by letters and digits alone."""
    plain = {_plain(name) for name in names}
    return sum(any(_plain(alias) in plain for alias in aliases) for aliases in wanted.values())


def _hint(role: str, aliases: tuple[str, ...], names: tuple[str, ...], wanted: Names) -> str:
    """Name the column whose name is close to that of the missing one, and the setting; empty if no name is close.

    Accepted names of other roles are not suggested. A name may be a value, because the line may be a record.
    """
    of_a_rule = role.startswith(RULE_COLUMN)
    accepted = set() if of_a_rule else {alias for others in wanted.values() for alias in others}
    free = {_plain(name): name for name in reversed(names) if name not in accepted and _plain(name)}
    for alias in aliases:
        close = get_close_matches(_plain(alias), free, n=1)
        if close:
            name = free[close[0]][:80]
            what = "name it in" if of_a_rule else "add it to"
            return f" Is {name!r} the {aliases[0]!r}? Then {what} {_setting(role)}."
    return ""


def _plain(name: str) -> str:
    """The letters and digits of a name in one case, without spaces, underscores and the like."""
    return "".join(character for character in name.casefold() if character.isalnum())


def _setting(role: str) -> str:
    if role.startswith(ID_PART):
        return "LOG_ID_COLUMNS"
    return "RECORD_RULES" if role.startswith(RULE_COLUMN) else f"{role.upper()}_COLUMN"


def read_samples(stream: BinaryIO, start: int, size: int = SAMPLE_BYTES) -> list[bytes]:
    """Read ``SAMPLES`` samples of ``size`` bytes, evenly spread from byte ``start`` to the end.

    A stream that has no more bytes than the samples take is one sample.
    """
    last = stream.seek(0, os.SEEK_END) - start - size
    if last <= (SAMPLES - 1) * size:
        stream.seek(start)
        return [stream.read(SAMPLES * size)]
    samples = []
    for number in range(SAMPLES):
        stream.seek(start + last * number // (SAMPLES - 1))
        samples.append(stream.read(size))
    return samples


def _row_width(stream: BinaryIO, start: int) -> float:
    data = b"".join(read_samples(stream, start))
    lines = data.count(b"\n")
    return len(data) / lines if lines else float(len(data))
