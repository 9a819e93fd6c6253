"""Parses a stretch of bytes that is not clean: plain lines by Polars, malformed lines all at once, the rest one by one.

Each physical line gets a kind. The kinds of lines that are certainly rejected are the reasons of the rejection.
"""

from dataclasses import dataclass, replace

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
"""Kinds besides the reasons: Polars can read the line; ``read_record`` has to read what begins on the line; no record
that is read here begins on the line, because the line is blank, inside another record or beyond the limit."""

_KINDS = [_PLAIN, _SINGLE, WRONG_FIELD_COUNT, BAD_QUOTE, UNCLOSED_QUOTE, RECORD_TOO_LONG, NUL_BYTE, INVALID_UTF8, _NONE]
_CODE = {kind: code for code, kind in enumerate(_KINDS)}
_UNKNOWN = -1
"""Last line of a record whose end only ``read_record`` finds."""

_Single = tuple[int, int, Record]
"""Line and first byte of a record that ``read_record`` has read, and the record."""


@dataclass(frozen=True)
class _Lines:
    """Physical lines of ``data``, which ``array`` views.

    A line has the bytes from ``starts`` to ``stops``; its LF is at ``ends``, behind a CR if there is one.
    """

    data: bytes
    array: NDArray[np.uint8]
    starts: Positions
    stops: Positions
    ends: Positions


def parse_carefully(
    data: bytes, limit: int, header: Header, max_record: int, *, trust_polars: bool
) -> TextColumns | None:
    """Parse the records that begin before byte ``limit`` of ``data``, which ends with LF.

    The rows are not in order of offset: those that ``read_record`` has read come last. Without ``trust_polars``,
    ``read_record`` reads every record. Returns None where two ways of reading disagree.
    """
    lines = _find_lines(data)
    if trust_polars:
        kind, last = _classify(lines, header, max_record)
    else:
        kind, last = np.full(len(lines.ends), _CODE[_SINGLE], np.uint8), np.full(len(lines.ends), _UNKNOWN)
    kind[(lines.starts >= limit) | (lines.stops == lines.starts)] = _CODE[_NONE]
    read = _read_singles(lines, np.flatnonzero(kind == _CODE[_SINGLE]), last, header, max_record)
    if read is None:
        return None
    singles, swallowed = read
    kind[swallowed] = _CODE[_NONE]
    found = _parse_plain(lines, np.flatnonzero(kind == _CODE[_PLAIN]), header, max_record)
    if found is None:
        return None
    bad = np.flatnonzero((kind > _CODE[_SINGLE]) & (kind < _CODE[_NONE]))
    kept_stops = np.minimum(lines.stops[bad], lines.starts[bad] + max_record)
    rejected = rejected_frame(data, bad, lines.starts[bad], kept_stops, pl.Series(_KINDS).gather(kind[bad]))
    return _add_singles(replace(found, rejected=rejected), singles, header, max_record)


def _find_lines(data: bytes) -> _Lines:
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == LF)
    starts = np.concatenate(([0], ends[:-1] + 1))
    return _Lines(data, array, starts, ends - ((array[ends - 1] == CR) & (ends > starts)), ends)


def _classify(lines: _Lines, header: Header, max_record: int) -> tuple[NDArray[np.uint8], Positions]:
    """(kind of each line, last line of the record that begins on it or ``_UNKNOWN``)."""
    delimiters = np.searchsorted(np.flatnonzero(lines.array == ord(header.delimiter)), lines.ends)
    last = np.arange(len(lines.ends))
    right = np.diff(delimiters, prepend=0) == header.fields - 1
    kind = np.where(right, _CODE[_PLAIN], _CODE[WRONG_FIELD_COUNT]).astype(np.uint8)
    certain = np.ones(len(kind), bool)  # false where a record of several lines may begin
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
        kind[many], last[many], certain[many] = _CODE[_SINGLE], _UNKNOWN, False
        certain[at] &= (kind[at] != _CODE[_SINGLE]) | (found.last == at)
    inner = np.flatnonzero(lines.array == CR)  # Polars drops a CR at the end of any field
    inner = np.searchsorted(lines.ends, inner[lines.array[inner + 1] != LF])
    kind[inner[kind[inner] == _CODE[_PLAIN]]] = _CODE[_SINGLE]
    if byte_fault(lines.data) is not None:  # bytes that are no text are the reason, whatever else is wrong
        kind[_not_utf8(lines) & certain] = _CODE[INVALID_UTF8]
        kind[_with_nul(lines) & certain] = _CODE[NUL_BYTE]
    kind[lines.stops - lines.starts > max_record] = _CODE[RECORD_TOO_LONG]
    return kind, last


def _with_nul(lines: _Lines) -> NDArray[np.bool_]:
    nul = np.zeros(len(lines.ends), bool)
    nul[np.searchsorted(lines.ends, np.flatnonzero(lines.array == 0))] = True
    return nul


def _not_utf8(lines: _Lines) -> NDArray[np.bool_]:
    """Lines in which decoding leaves more replacement characters than their bytes spell."""
    text = np.frombuffer(lines.data.decode(errors="replace").encode("utf-32-le"), np.uint32)
    decoded = np.searchsorted(np.flatnonzero(text == LF), np.flatnonzero(text == 0xFFFD))
    lead = np.flatnonzero(lines.array[:-2] == 0xEF)
    spelled = lead[(lines.array[lead + 1] == 0xBF) & (lines.array[lead + 2] == 0xBD)]
    count = len(lines.ends)
    more: NDArray[np.bool_] = np.bincount(decoded, minlength=count) > np.bincount(
        np.searchsorted(lines.ends, spelled), minlength=count
    )
    return more


def _read_singles(
    lines: _Lines, chosen: Positions, last: Positions, header: Header, max_record: int
) -> tuple[list[_Single], NDArray[np.bool_]] | None:
    """Read the records that begin on the ``chosen`` lines one by one.

    Returns (records, whether each line lies within one of them, behind its first line), or None where a record does not
    end on the line that ``last`` names. Chosen lines within a record begin none.
    """
    singles: list[_Single] = []
    swallowed = np.zeros(len(lines.ends), bool)
    chains: Chains = {}
    resume, delimiter = 0, header.delimiter.encode()
    for line in chosen.tolist():
        if line < resume:
            continue
        start = int(lines.starts[line])
        record = read_record(lines.data, start, delimiter, header.fields, max_record, chains)
        resume = line + 1
        if record.end > lines.ends[line] + 1:  # its quoted fields hold the next lines
            resume = int(np.searchsorted(lines.starts, record.end))
            swallowed[line + 1 : resume] = True
        if last[line] not in (_UNKNOWN, resume - 1):
            return None
        singles.append((line, start, record))
    return singles, swallowed


def _parse_plain(lines: _Lines, plain: Positions, header: Header, max_record: int) -> TextColumns | None:
    """Parse the ``plain`` lines by Polars; None where the scanner finds something else in their bytes."""
    if not len(plain):
        return no_columns(header)
    if not header.usable:  # no column is needed
        return TextColumns({}, lines.starts[plain], lines.stops[plain], plain)
    data = _join_lines(lines, plain)
    texts = text_parser.parse(data, header)
    if texts is None or check(data, texts, header, max_record) is None:
        return None
    return TextColumns(texts, lines.starts[plain], lines.stops[plain], plain)


def _join_lines(lines: _Lines, chosen: Positions) -> bytes:
    """The bytes of the ``chosen`` lines, in order; slices are taken of runs of neighbours, which are few."""
    gaps = np.flatnonzero(np.diff(chosen) != 1)
    first = lines.starts[chosen[np.concatenate(([0], gaps + 1))]].tolist()
    behind = (lines.ends[chosen[np.concatenate((gaps, [len(chosen) - 1]))]] + 1).tolist()
    return b"".join(lines.data[start:stop] for start, stop in zip(first, behind, strict=True))


def _add_singles(found: TextColumns, singles: list[_Single], header: Header, max_record: int) -> TextColumns:
    """``found`` with the records that were read one by one behind its own."""
    good = [(line, start, record.raw, record.values) for line, start, record in singles if record.values is not None]
    bad = [(line, start, record) for line, start, record in singles if record.values is None]
    rejected = pl.concat([found.rejected, _rejected_singles(bad, max_record)]) if bad else found.rejected
    if not good:
        return replace(found, rejected=rejected)
    texts = {
        role: pl.concat([found.texts[role], pl.Series([v[index].decode() for *_, v in good], dtype=pl.String)])
        for role, index in header.columns.items()
    }
    offsets = np.concatenate((found.offsets, [start for _, start, _, _ in good]))
    stops = np.concatenate((found.stops, [start + len(raw) for _, start, raw, _ in good]))
    lines = np.concatenate((found.lines, [line for line, *_ in good]))
    return TextColumns(texts, offsets, stops, lines, rejected)


def _rejected_singles(bad: list[_Single], max_record: int) -> pl.DataFrame:
    """The malformed records, as ``REJECTED``."""
    return pl.DataFrame(
        {
            "line": [line for line, _, _ in bad],
            "offset": [start for _, start, _ in bad],
            "reason": [record.reason for _, _, record in bad],
            "column": None,
            "value": None,
            "raw": [record.raw[:max_record] for _, _, record in bad],
        },
        schema=text_parser.REJECTED,
    )
