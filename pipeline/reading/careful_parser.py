"""The careful path: a stretch of bytes that is not plainly clean, plain lines by Polars and the others one by one."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.reading import quoted_lines, text_parser
from pipeline.reading.header import Header
from pipeline.reading.single_record import (
    BAD_QUOTE,
    INVALID_UTF8,
    NUL_BYTE,
    RECORD_TOO_LONG,
    UNCLOSED_QUOTE,
    WRONG_FIELD_COUNT,
    Chains,
    Record,
    byte_fault,
    read_record,
)
from pipeline.reading.text_parser import Positions, TextColumns, check, no_columns, rejected_frame

LF, CR, QUOTE = 0x0A, 0x0D, 0x22


_PLAIN, _SINGLE, _NONE = "plain", "single", "none"


_KINDS = [_PLAIN, _SINGLE, WRONG_FIELD_COUNT, BAD_QUOTE, UNCLOSED_QUOTE, RECORD_TOO_LONG, NUL_BYTE, INVALID_UTF8, _NONE]
_CODE = {kind: code for code, kind in enumerate(_KINDS)}


@dataclass(frozen=True)
class _Lines:
    """Physical lines: from ``starts`` to ``stops``, with line ends to ``ends`` (the LF)."""

    data: bytes
    array: NDArray[np.uint8]
    starts: Positions
    stops: Positions
    ends: Positions


def parse_carefully(
    data: bytes, limit: int, header: Header, max_record: int, *, trust_polars: bool
) -> TextColumns | None:
    """The records that begin before ``limit``: plain lines through Polars (and the check), the others one by one.

    Lines that are certainly no record are rejected all at once. None where two ways of reading disagree. Without
    ``trust_polars`` every record is read one by one.
    """
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == LF)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lines = _Lines(data, array, starts, ends - ((array[ends - 1] == CR) & (ends > starts)), ends)
    if trust_polars:
        kind, last = _classify(lines, header, max_record)
    else:
        kind, last = np.full(len(ends), _CODE[_SINGLE], np.uint8), np.full(len(ends), -1)
    kind[(starts >= limit) | (lines.stops == starts)] = _CODE[_NONE]
    singles = _read_singles(lines, kind, last, header, max_record)
    if singles is None:
        return None
    plain = np.flatnonzero(kind == _CODE[_PLAIN])
    found = no_columns(header)
    if len(plain):
        bulk = _join_lines(lines, plain)
        texts = text_parser.parse(bulk, header)
        if texts is None or check(bulk, texts, header, max_record) is None:
            return None
        found = TextColumns(texts, starts[plain], lines.stops[plain], plain)
    bad = np.flatnonzero((kind > _CODE[_SINGLE]) & (kind < _CODE[_NONE]))
    cut = np.minimum(lines.stops[bad], starts[bad] + max_record)
    reasons = pl.Series(_KINDS).gather(kind[bad])
    found.rejected = rejected_frame(data, bad, starts[bad], cut, reasons)
    return _append(found, singles, header, max_record)


def _classify(lines: _Lines, header: Header, max_record: int) -> tuple[NDArray[np.uint8], Positions]:
    """(what each line is by itself, the last line of a record that begins on it or -1 where it is not known)."""
    delimiters = np.searchsorted(np.flatnonzero(lines.array == ord(header.delimiter)), lines.ends)
    last = np.arange(len(lines.ends))
    right = np.diff(delimiters, prepend=0) == header.fields - 1
    kind = np.where(right, _CODE[_PLAIN], _CODE[WRONG_FIELD_COUNT]).astype(np.uint8)
    certain = np.ones(len(kind), bool)
    if QUOTE in lines.data:
        found = quoted_lines.trace_records(lines.array, lines.starts, lines.stops, lines.ends, header)
        at = found.lines
        good = (found.ending == quoted_lines.CLOSED) & (found.fields == header.fields)
        kind[at] = np.where(found.ending == quoted_lines.WRONG, _CODE[BAD_QUOTE], _CODE[WRONG_FIELD_COUNT])
        kind[at[good]] = np.where(found.plain[good], _CODE[_PLAIN], _CODE[_SINGLE])
        beyond = (found.stops - lines.starts[at] > max_record) | (found.ending == quoted_lines.OPEN)
        kind[at[beyond]] = _CODE[UNCLOSED_QUOTE]
        last[at] = found.last
        many = at[found.ending == quoted_lines.MANY]
        kind[many], last[many], certain[many] = _CODE[_SINGLE], -1, False
        certain[at] &= (kind[at] != _CODE[_SINGLE]) | (found.last == at)
    inner = np.flatnonzero(lines.array == CR)  # Polars drops one at the end of any field
    inner = np.searchsorted(lines.ends, inner[lines.array[inner + 1] != LF])
    kind[inner[kind[inner] == _CODE[_PLAIN]]] = _CODE[_SINGLE]
    _find_byte_faults(lines, kind, certain)
    kind[lines.stops - lines.starts > max_record] = _CODE[RECORD_TOO_LONG]
    return kind, last


def _find_byte_faults(lines: _Lines, kind: NDArray[np.uint8], certain: NDArray[np.bool_]) -> None:
    """Bytes that are no text are the reason, whatever else is wrong; not of what may be a record of several lines."""
    if byte_fault(lines.data) is None:
        return
    kind[_not_utf8(lines) & certain] = _CODE[INVALID_UTF8]
    nul = np.zeros(len(kind), bool)
    nul[np.searchsorted(lines.ends, np.flatnonzero(lines.array == 0))] = True
    kind[nul & certain] = _CODE[NUL_BYTE]


def _not_utf8(lines: _Lines) -> NDArray[np.bool_]:
    """Lines in which decoding finds more replacement characters than there are."""
    text = np.frombuffer(lines.data.decode(errors="replace").encode("utf-32-le"), np.uint32)
    found = np.searchsorted(np.flatnonzero(text == LF), np.flatnonzero(text == 0xFFFD))
    lead = np.flatnonzero(lines.array[:-2] == 0xEF)
    there = lead[(lines.array[lead + 1] == 0xBF) & (lines.array[lead + 2] == 0xBD)]
    count = len(lines.ends)
    more: NDArray[np.bool_] = np.bincount(found, minlength=count) > np.bincount(
        np.searchsorted(lines.ends, there), minlength=count
    )
    return more


def _read_singles(
    lines: _Lines, kind: NDArray[np.uint8], last: Positions, header: Header, max_record: int
) -> list[tuple[int, int, Record]] | None:
    """(line, start, record) of those that are read one by one; lines within them are nothing any more.

    None where a record does not end where ``last`` says.
    """
    singles: list[tuple[int, int, Record]] = []
    chains: Chains = {}
    resume, delimiter = 0, header.delimiter.encode()
    for line in np.flatnonzero(kind == _CODE[_SINGLE]).tolist():
        if line < resume:
            continue
        start = int(lines.starts[line])
        record = read_record(lines.data, start, delimiter, header.fields, max_record, chains)
        resume = line + 1
        if record.end > lines.ends[line] + 1:  # its quoted fields hold the next lines
            resume = int(np.searchsorted(lines.starts, record.end))
            kind[line + 1 : resume] = _CODE[_NONE]
        if last[line] not in (-1, resume - 1):
            return None
        singles.append((line, start, record))
    return singles


def _slices(data: bytes, starts: Positions, stops: Positions) -> list[bytes]:
    return [data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


def _join_lines(lines: _Lines, chosen: Positions) -> bytes:
    """The bytes of these lines, in order."""
    gaps = np.flatnonzero(np.diff(chosen) != 1)
    first = chosen[np.concatenate(([0], gaps + 1))]
    last = chosen[np.concatenate((gaps, [len(chosen) - 1]))]
    return b"".join(_slices(lines.data, lines.starts[first], lines.ends[last] + 1))


def _append(found: TextColumns, singles: list[tuple[int, int, Record]], header: Header, max_record: int) -> TextColumns:
    """``found`` and the records that were read one by one."""
    good = [(line, start, record.raw, record.values) for line, start, record in singles if record.values is not None]
    bad = [(line, start, record) for line, start, record in singles if record.values is None]
    if bad:
        rejected = pl.DataFrame(
            {
                "line": [line for line, _, _ in bad],
                "offset": [start for _, start, _ in bad],
                "reason": [record.reason for _, _, record in bad],
                "column": None,
                "value": None,
                "raw": [record.raw[:max_record] for _, _, record in bad],
            },
            schema=found.rejected.schema,
        )
        found.rejected = pl.concat([found.rejected, rejected])
    if not good:
        return found
    texts = {
        role: pl.concat([found.texts[role], pl.Series([v[place].decode() for *_, v in good], dtype=pl.String)])
        for role, place in header.columns.items()
    }
    offsets = np.concatenate((found.offsets, [start for _, start, _, _ in good]))
    stops = np.concatenate((found.stops, [start + len(raw) for _, start, raw, _ in good]))
    lines = np.concatenate((found.lines, [line for line, *_ in good]))
    return TextColumns(texts, offsets, stops, lines, found.rejected)
