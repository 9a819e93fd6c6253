"""Read one record exactly by the record contract: the slow path, for the few records that look unusual."""

from dataclasses import dataclass

WRONG_FIELD_COUNT = "wrong_field_count"
BAD_QUOTE = "bad_quote"
UNCLOSED_QUOTE = "unclosed_quote"
RECORD_TOO_LONG = "record_too_long"
NUL_BYTE = "nul_byte"
INVALID_UTF8 = "invalid_utf8"


@dataclass(frozen=True)
class Record:
    """One record: its bytes without the line end, where the next begins, and its values or why it is rejected."""

    raw: bytes
    end: int
    values: tuple[bytes, ...] | None
    reason: str | None


class _Malformed(Exception):
    """The record at hand breaks the rules of quoting; the first argument is the reason."""


def read_record(data: bytes, start: int, delimiter: bytes, fields: int, max_record: int) -> Record:
    """The record that begins at ``start`` of ``data`` (which ends with LF).

    A record that is malformed, or has not ``fields`` fields, is its first physical line alone.
    """
    line_end = data.index(b"\n", start)
    line = data[start:line_end].removesuffix(b"\r")
    try:
        values, stop = _read_fields(data, start, delimiter, fields, max_record)
        raw = data[start:stop]
        reason = byte_fault(raw)
        return Record(raw, data.index(b"\n", stop) + 1, None if reason else tuple(values), reason)
    except _Malformed as fault:
        reason = RECORD_TOO_LONG if len(line) > max_record else byte_fault(line) or str(fault)
        return Record(line, line_end + 1, None, reason)


def byte_fault(raw: bytes) -> str | None:
    """Why these bytes cannot be text, if so."""
    if b"\0" in raw:
        return NUL_BYTE
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return INVALID_UTF8
    return None


def _read_fields(data: bytes, start: int, delimiter: bytes, fields: int, max_record: int) -> tuple[list[bytes], int]:
    """(values, position of the line end) of the record at ``start``.

    Ends at the first field too many: quotes could chain a record on and on, and every line of a file could begin one.
    """
    values: list[bytes] = []
    position = start
    while True:
        if data[position : position + 1] == b'"':
            value, position = _read_quoted(data, position + 1, start + max_record)
        else:
            line_end = data.index(b"\n", position)
            if data[line_end - 1 : line_end] == b"\r" and line_end > position:
                line_end -= 1
            end = data.find(delimiter, position, line_end)
            end = line_end if end < 0 else end
            value, position = data[position:end], end
        values.append(value)
        if position - start > max_record:
            raise _Malformed(RECORD_TOO_LONG)
        if data[position : position + 1] == delimiter:
            if len(values) == fields:
                raise _Malformed(WRONG_FIELD_COUNT)
            position += 1
        elif data[position : position + 1] == b"\n" or data[position : position + 2] == b"\r\n":
            if len(values) != fields:
                raise _Malformed(WRONG_FIELD_COUNT)
            return values, position
        else:
            raise _Malformed(BAD_QUOTE)


def _read_quoted(data: bytes, start: int, limit: int) -> tuple[bytes, int]:
    """(value, position after the closing quote) of a quoted field whose content begins at ``start``."""
    search = start
    while True:
        quote = data.find(b'"', search, limit)
        if quote < 0:
            raise _Malformed(UNCLOSED_QUOTE)
        if data[quote + 1 : quote + 2] != b'"':
            return data[start:quote].replace(b'""', b'"'), quote + 1
        search = quote + 2
