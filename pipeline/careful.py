"""The careful path: a stretch of bytes that is not plainly clean, plain lines by Polars and the others one by one."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline import parser
from pipeline.header import Header
from pipeline.parser import Positions, Rejected, TextColumns, check, no_columns
from pipeline.records import Chains, byte_fault, read_record

LF, CR, QUOTE = 0x0A, 0x0D, 0x22


def parse_carefully(
    data: bytes, limit: int, header: Header, max_record: int, *, trust_polars: bool
) -> TextColumns | None:
    """The records that begin before ``limit``: plain lines through Polars (and the check), the others one by one.

    None where Polars disagrees with the check. Without ``trust_polars`` every record is read one by one.
    """
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == LF)
    starts = np.concatenate(([0], ends[:-1] + 1))
    stops = ends - ((array[ends - 1] == CR) & (ends > starts))
    inside = starts < limit
    plain = stops - starts <= max_record if trust_polars else np.zeros(len(ends), bool)
    if trust_polars:
        plain &= _plain_lines(data, array, starts, ends, header)
    found = no_columns(header)
    singles: list[tuple[int, int, tuple[bytes, ...]]] = []
    chains: Chains = {}
    delimiter, resume = header.delimiter.encode(), 0
    for line in np.flatnonzero(~plain & inside & (stops > starts)).tolist():
        start = int(starts[line])
        if start < resume:
            continue
        record = read_record(data, start, delimiter, header.fields, max_record, chains)
        resume = record.end
        if record.end > ends[line] + 1:  # its quoted fields hold the next lines
            plain[line + 1 : np.searchsorted(starts, record.end)] = False
        if record.values is None:
            found.rejected.append(Rejected(line, start, record.reason or "", None, None, record.raw[:max_record]))
        else:
            singles.append((line, start, record.values))
    lines = np.flatnonzero(plain & inside)
    if len(lines):
        bulk = _join_lines(data, starts, ends, lines)
        texts = parser.parse(bulk, header)
        if texts is None:
            return None
        if check(bulk, texts, header, max_record) is None:
            return None
        found = TextColumns(texts, starts[lines], lines, found.rejected)
    return _append(found, singles, header)


def _plain_lines(
    data: bytes, array: NDArray[np.uint8], starts: Positions, ends: Positions, header: Header
) -> NDArray[np.bool_]:
    """Which lines are records that Polars reads as the contract does: the right number of fields, valid text, and
    quotes (if any) that surround whole fields and are not doubled."""
    before = np.searchsorted(np.flatnonzero(array == ord(header.delimiter)), ends)
    plain: NDArray[np.bool_] = np.diff(before, prepend=0) == header.fields - 1
    quotes = np.bincount(np.searchsorted(ends, np.flatnonzero(array == QUOTE)), minlength=len(ends))
    quoted = np.flatnonzero(quotes)
    if len(quoted):
        plain[quoted] = _quoted_whole(_join_lines(data, starts, ends, quoted), header)
    suspects = array == 0
    if byte_fault(data):
        suspects |= array >= 0x80
    for line in np.flatnonzero(np.bincount(np.searchsorted(ends, np.flatnonzero(suspects)))).tolist():
        plain[line] &= not byte_fault(data[starts[line] : ends[line]])
    return plain


def _quoted_whole(data: bytes, header: Header) -> NDArray[np.bool_]:
    """Of lines with quotes, which have the right number of fields and only quotes that surround whole fields."""
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == LF)
    quotes = np.flatnonzero(array == QUOTE)
    line = np.searchsorted(ends, quotes)
    number = np.bincount(line, minlength=len(ends))
    before = np.cumsum(number) - number
    opens = (np.arange(len(quotes)) - before[line]) % 2 == 0
    boundary = np.zeros(256, bool)
    boundary[[LF, ord(header.delimiter)]] = True
    after = array[quotes + 1]
    left = (quotes == 0) | boundary[array[quotes - 1]]
    right = boundary[after] | ((after == CR) & (array[np.minimum(quotes + 2, len(array) - 1)] == LF))
    broken = np.bincount(line[np.where(opens, ~left, ~right)], minlength=len(ends)) > 0
    delimiters = np.flatnonzero(array == ord(header.delimiter))
    owner = np.searchsorted(ends, delimiters)
    outside = (np.searchsorted(quotes, delimiters) - before[owner]) % 2 == 0
    fields = np.bincount(owner[outside], minlength=len(ends)) + 1
    found: NDArray[np.bool_] = (fields == header.fields) & (number % 2 == 0) & ~broken
    return found


def _join_lines(data: bytes, starts: Positions, ends: Positions, lines: Positions) -> bytes:
    """The bytes of these lines, in order."""
    gaps = np.flatnonzero(np.diff(lines) != 1)
    first = lines[np.concatenate(([0], gaps + 1))]
    last = lines[np.concatenate((gaps, [len(lines) - 1]))]
    return b"".join(data[s:e] for s, e in zip(starts[first].tolist(), (ends[last] + 1).tolist(), strict=True))


def _append(found: TextColumns, singles: list[tuple[int, int, tuple[bytes, ...]]], header: Header) -> TextColumns:
    """``found`` and the records that were read one by one."""
    if not singles:
        return found
    texts = {
        role: pl.concat([found.texts[role], pl.Series([v[place].decode() for _, _, v in singles], dtype=pl.String)])
        for role, place in header.columns.items()
    }
    offsets = np.concatenate((found.offsets, [start for _, start, _ in singles]))
    lines = np.concatenate((found.lines, [line for line, _, _ in singles]))
    return TextColumns(texts, offsets, lines, found.rejected)
