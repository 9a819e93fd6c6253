"""Reads one record by the record contract (contract: records): exact and slow, for the few records that need it."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

WRONG_FIELD_COUNT = "wrong_field_count"
BAD_QUOTE = "bad_quote"
UNCLOSED_QUOTE = "unclosed_quote"
RECORD_TOO_LONG = "record_too_long"
NUL_BYTE = "nul_byte"
INVALID_UTF8 = "invalid_utf8"
"""Reasons of malformed records."""

USUAL_RECORD = 4096
"""Bytes that hold most records."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    ==========  ==========================================================
    ``raw``     its bytes without the line end
    ``end``     the byte behind the line end, where the next record begins
    ``values``  its fields without quotes; None if the record is malformed
    ``reason``  why the record is malformed; None if it is well-formed
    ==========  ==========================================================
    """

    raw: bytes
    end: int
    values: tuple[bytes, ...] | None
    reason: str | None


Chains = dict[int, tuple[int, int, str | None]]
"""First byte of a quoted field with line ends → (number of fields from there on, where they end, fault or None)."""


def read_record(
    data: bytes, start: int, delimiter: bytes, fields: int, max_record: int, chains: Chains | None = None
) -> Record:
    """Read the record that begins at byte ``start`` of ``data``, which ends with LF.

    A record that is malformed or does not have ``fields`` fields is its first physical line alone. The next line may
    then begin a record that reaches as far as the rejected one. A caller that reads on passes the same ``chains``, at
    first empty, to which quoted fields with line ends are added: each is followed once, so that the time grows with the
    bytes and not with their square.
    """
    line_end = data.index(b"\n", start)
    line = data[start:line_end].removesuffix(b"\r")
    if b'"' in line:
        count, stop, fault = _follow(data, start, delimiter, {} if chains is None else chains)
    else:
        count, stop, fault = line.count(delimiter) + 1, start + len(line), None
    if len(line) > max_record:
        fault = RECORD_TOO_LONG
    elif stop - start > max_record:
        fault = UNCLOSED_QUOTE
    elif fault is None and count != fields:
        fault = WRONG_FIELD_COUNT
    if fault:
        reason = fault if fault == RECORD_TOO_LONG else byte_fault(line) or fault
        return Record(line, line_end + 1, None, reason)
    raw = data[start:stop]
    unreadable = byte_fault(raw)
    values = None if unreadable else _split_values(raw, delimiter)
    return Record(raw, data.index(b"\n", stop) + 1, values, unreadable)


def byte_fault(raw: bytes) -> str | None:
    """Why the bytes are no text: ``NUL_BYTE`` or ``INVALID_UTF8``; None if they are text."""
    if b"\0" in raw:
        return NUL_BYTE
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return INVALID_UTF8
    return None


def _follow(data: bytes, start: int, delimiter: bytes, chains: Chains) -> tuple[int, int, str | None]:
    """(number of fields, where they end, fault or None) of the record that begins at ``start``.

    Without a fault, the fields end at a line end. Quoted fields with line ends are looked up in ``chains`` and added.
    """
    pattern = _field_pattern(delimiter)
    count, position = 0, start
    passed: list[tuple[int, int]] = []
    stop, fault = len(data), None
    while True:
        if position in chains:
            rest, stop, fault = chains[position]
            count += rest
            break
        match = pattern.match(data, position)
        if match is None:  # a quote without a closing one
            passed.append((position, count))
            count, stop, fault = count + 1, len(data), UNCLOSED_QUOTE
            break
        field, end = match[0], match.end()
        if b"\n" in field:
            passed.append((position, count))
        count += 1
        quoted = field.startswith(b'"')
        if data.startswith(delimiter, end):
            position = end + 1
        elif data.startswith((b"\n", b"\r\n") if quoted else b"\n", end):
            stop = end - (not quoted and field.endswith(b"\r"))
            break
        else:
            stop, fault = end, BAD_QUOTE
            break
    while passed:  # up to a million entries: moved one by one, they are in memory once
        beginning, before = passed.pop()
        chains[beginning] = (count - before, stop, fault)
    return count, stop, fault


@lru_cache(maxsize=16)
def _field_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    """The pattern of a field. Its quantifiers are possessive, so that a match takes linear time."""
    return re.compile(rb'"(?:[^"]++|"")*+"|(?!")[^' + re.escape(delimiter) + rb"\n]*+")


def _split_values(raw: bytes, delimiter: bytes) -> tuple[bytes, ...]:
    """Split a well-formed record into its values."""
    if b'"' not in raw:
        return tuple(raw.split(delimiter))
    values: list[bytes] = []
    position = 0
    pattern = _field_pattern(delimiter)
    while match := pattern.match(raw, position):
        field = match[0]
        values.append(field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field)
        position = match.end() + 1
        if position > len(raw):
            break
    return tuple(values)


def record_at(stream: BinaryIO, delimiter: bytes, fields: int, max_record: int) -> Record:
    """Read the well-formed record at the stream's position; most records need one short read."""
    head = stream.read(USUAL_RECORD)
    record = read_record(head + b"\n", 0, delimiter, fields, max_record)
    if record.values is None or record.end >= len(head):
        head += stream.read(max_record + 2)
        record = read_record(head + b"\n", 0, delimiter, fields, max_record)
    return record
