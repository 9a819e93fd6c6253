"""Read one record exactly by the record contract: the slow path, for the few records that look unusual."""

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
USUAL_RECORD = 4096
"""Bytes within which a record ends, as a rule."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its bytes without the line end, where the next begins, and its values or why it is rejected."""

    raw: bytes
    end: int
    values: tuple[bytes, ...] | None
    reason: str | None


Chains = dict[int, tuple[int, int, str | None]]
"""What follows from the beginning of a quoted field that holds a line end: (fields, where they end, fault if any)."""


def read_record(
    data: bytes, start: int, delimiter: bytes, fields: int, max_record: int, chains: Chains | None = None
) -> Record:
    """The record that begins at ``start`` of ``data`` (which ends with LF).

    A record that is malformed, or has not ``fields`` fields, is its first physical line alone. Quotes can chain a
    record on and on, and every line of it could begin another: whoever reads on after rejected lines passes the same
    ``chains`` (at first empty), which remember what was followed, so that the time is in proportion to the bytes.
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
    """Why these bytes cannot be text, if so."""
    if b"\0" in raw:
        return NUL_BYTE
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return INVALID_UTF8
    return None


def _follow(data: bytes, start: int, delimiter: bytes, chains: Chains) -> tuple[int, int, str | None]:
    """(fields, where they end, fault) of what begins at ``start``; without a fault it ends at a line end."""
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
        if match is None:  # a quote that nothing closes
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
    while passed:  # a million entries at worst: each goes where the other comes
        place, before = passed.pop()
        chains[place] = (count - before, stop, fault)
    return count, stop, fault


@lru_cache(maxsize=16)
def _field_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    """A field; possessive, so it never goes back."""
    return re.compile(rb'"(?:[^"]++|"")*+"|(?!")[^' + re.escape(delimiter) + rb"\n]*+")


def _split_values(raw: bytes, delimiter: bytes) -> tuple[bytes, ...]:
    """The values of a well-formed record."""
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
    """The record at the stream's position, which is a good one; most are short."""
    head = stream.read(USUAL_RECORD)
    record = read_record(head + b"\n", 0, delimiter, fields, max_record)
    if record.values is None or record.end >= len(head):
        head += stream.read(max_record + 2)
        record = read_record(head + b"\n", 0, delimiter, fields, max_record)
    return record
