"""Counts records and checks parsed columns against the bytes, without any code of the parsers.

The balance of a run rests on this scanner: a fault of a parser shows as a difference between counts. The scanner
applies the record contract (contract: records) to the positions of line ends, delimiters and quotes, by NumPy. What the
compiled library found is checked by scanner.c.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

LF, CR, QUOTE = 0x0A, 0x0D, 0x22
Positions = NDArray[np.int64]

_PREFIX_MASK = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF], dtype=np.uint32)
"""Masks the first bytes of a word, by their number."""

_SAMPLED_ROWS = 16
"""Rows of a chunk of which every byte is compared."""

_INLINE_BYTES = 12
"""Longest value that an Arrow string view holds itself."""


@dataclass(frozen=True)
class Tally:
    """Counts of a stretch of bytes.

    ===============  ===================================================================================================
    ``records``      records, well-formed or malformed
    ``blank_lines``  blank lines, which are no records
    ``lines``        physical lines
    ``length``       bytes of these lines
    ``unfinished``   whether a quoted field goes on where the data ends: the counts hold only if it does not close later
    ===============  ===================================================================================================
    """

    records: int
    blank_lines: int
    lines: int
    length: int
    unfinished: bool = False


def check(data: bytes, delimiter: int, fields: int, columns: dict[int, pl.Series], max_record: int) -> Positions | None:
    """Compare columns with the bytes that they were parsed from: the start of every record, or None if they differ.

    ``data`` ends with LF. ``columns``: number of a field, from 0 → String column. Only clean data passes: every line
    has ``fields`` fields and at most ``max_record`` bytes; quotes enclose whole fields, within a line, and none is
    doubled; there is no NUL and no blank line; all bytes are UTF-8. The length and four bytes of every field are
    compared, and every byte in a sample of rows.
    """
    if b"\0" in data or not is_utf8(data):
        return None
    array = np.frombuffer(data, np.uint8)
    line_ends = array == LF
    separators = np.flatnonzero((array == delimiter) | line_ends)
    quoted = b'"' in data
    if quoted:
        quotes = np.flatnonzero(array == QUOTE)
        if not _well_formed(array, quotes, np.flatnonzero(line_ends), delimiter):
            return None
        separators = _outside(separators, quotes)
    count = int(np.count_nonzero(line_ends))
    # Every line has the right number of fields if, of each ``fields`` separators, the last one is a line end.
    if len(separators) != count * fields or not np.all(array[separators[fields - 1 :: fields]] == LF):
        return None
    stops = np.ascontiguousarray(separators.reshape(count, fields).T.astype(np.int32))
    starts = np.concatenate((np.zeros(1, np.int32), stops[-1, :-1] + 1))
    if b"\r" in data:
        stops[-1] -= (array[stops[-1] - 1] == CR) & (stops[-1] > starts)
    if np.max(stops[-1] - starts, initial=0) > max_record:
        return None
    sample = np.unique(np.linspace(0, count - 1, _SAMPLED_ROWS, dtype=np.int64)) if count else separators
    for field, column in columns.items():
        first = starts if field == 0 else stops[field - 1] + 1
        if not _same_fields(array, first, stops[field] - first, column, sample, quoted=quoted):
            return None
    return starts.astype(np.int64)


def _outside(positions: Positions, quotes: Positions) -> Positions:
    """The positions that do not lie between the first and second, third and fourth, ... of ``quotes``."""
    first, last = np.searchsorted(positions, quotes[::2]), np.searchsorted(positions, quotes[1::2])
    length = last - first
    inside = np.repeat(first - np.cumsum(length) + length, length) + np.arange(length.sum())
    return np.delete(positions, inside)


def is_utf8(data: bytes) -> bool:
    """Whether ``data`` is UTF-8 throughout."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _same_fields(
    array: NDArray[np.uint8],
    first: NDArray[np.int32],
    length: NDArray[np.int32],
    column: pl.Series,
    sample: Positions,
    *,
    quoted: bool,
) -> bool:
    """Whether every value of ``column`` has the length and four bytes of its field, and all bytes in the sample.

    ``first`` and ``length``: bytes of the fields in ``array``; ``sample``: row numbers. Of long values the last four
    bytes are compared, because ids often begin alike; of other values the first four.
    """
    if len(column) != len(first) or column.null_count():
        return False
    if quoted:
        opened = (length > 0) & (array[first] == QUOTE)
        first = first + opened
        length = length - 2 * opened
    arrow = column.to_arrow(compat_level=pl.CompatLevel.newest())
    # A string view has 16 bytes: length, first four bytes (zero-filled), then the other bytes or where the value lies.
    views = np.frombuffer(arrow.buffers()[1], np.uint32).reshape(-1, 4)[arrow.offset : arrow.offset + len(arrow)]
    if not np.array_equal(views[:, 0], length):
        return False
    is_long = len(length) > 0 and length.min() > _INLINE_BYTES
    same = _same_tails(array, first, length, arrow, views) if is_long else _same_heads(array, first, length, views)
    if not same:
        return False
    fields = (array[at : at + size].tobytes() for at, size in zip(first[sample], length[sample], strict=True))
    return all(field == value.encode() for field, value in zip(fields, column.gather(sample), strict=True))


def _same_heads(
    array: NDArray[np.uint8], first: NDArray[np.int32], length: NDArray[np.int32], views: NDArray[np.uint32]
) -> bool:
    """Whether the first four bytes of every value are those of its field.

    Fields that begin in the last three bytes of ``array`` are compared one by one.
    """
    words = _words(array.data)
    inside = int(np.searchsorted(first, len(words)))
    heads = words[first[:inside]] & _PREFIX_MASK[np.minimum(length[:inside], 4)]
    return np.array_equal(heads, views[:inside, 1]) and all(
        int.from_bytes(array[first[i] : first[i] + min(length[i], 4)].tobytes(), "little") == views[i, 1]
        for i in range(inside, len(first))
    )


def _same_tails(
    array: NDArray[np.uint8],
    first: NDArray[np.int32],
    length: NDArray[np.int32],
    arrow: pa.Array,
    views: NDArray[np.uint32],
) -> bool:
    """Whether the last four bytes of every value are those of its field; all values have more than 12 bytes."""
    buffers = [memoryview(buffer) for buffer in arrow.buffers()[2:]]
    tails = _words(array.data)[first + (length - 4)]
    owner, offset = views[:, 2], views[:, 3] + (length - 4).astype(np.uint32)
    runs = [0, *(np.flatnonzero(owner[1:] != owner[:-1]) + 1).tolist(), len(owner)]
    return all(
        np.array_equal(_words(buffers[owner[begin]])[offset[begin:end]], tails[begin:end])
        for begin, end in pairwise(runs)
    )


def _words(data: memoryview) -> NDArray[np.uint32]:
    """The four bytes at every position, as one little-endian number."""
    size = data.nbytes - 3
    return np.ndarray(size, dtype="<u4", buffer=data, strides=(1,)) if size > 0 else np.empty(0, np.uint32)


def _well_formed(array: NDArray[np.uint8], quotes: Positions, ends: Positions, delimiter: int) -> bool:
    """Whether all quotes enclose whole fields within their line, and none is doubled."""
    if len(quotes) % 2:
        return False
    line = np.searchsorted(ends, quotes)
    if np.any(line[::2] != line[1::2]):
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before, after = array[opening - 1], array[closing + 1]
    at_start = (opening == 0) | (before == LF) | (before == delimiter)
    crlf = (after == CR) & (array[np.minimum(closing + 2, len(array) - 1)] == LF)
    return bool(np.all(at_start & ((after == LF) | (after == delimiter) | crlf)))


def tally(data: bytes, limit: int, delimiter: int, fields: int, max_record: int) -> Tally:
    """Count the records that begin before ``limit``, which is the start of a line, in any bytes.

    ``data`` ends with LF. An ``unfinished`` result is final only if ``data`` reaches ``max_record + 2`` bytes beyond
    ``limit`` or to the end of the file.
    """
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == LF)
    starts = np.concatenate(([0], ends[:-1] + 1))
    swallowed = np.zeros(len(ends), bool)
    unfinished = False
    if b'"' in data:
        resume = 0
        found, unfinished = _find_long_records(array, starts, ends, limit, delimiter, fields, max_record)
        for line, last in found:
            if line >= resume:
                resume = last + 1
                swallowed[line + 1 : resume] = True
    lines = int(np.searchsorted(starts, limit))
    while lines < len(swallowed) and swallowed[lines]:
        lines += 1
    empty = (ends == starts) | ((ends == starts + 1) & (array[starts] == CR))
    blank = int(np.count_nonzero(empty[:lines] & ~swallowed[:lines]))
    records = lines - blank - int(np.count_nonzero(swallowed[:lines]))
    return Tally(records, blank, lines, int(ends[lines - 1]) + 1 if lines else 0, unfinished)


def _find_long_records(
    array: NDArray[np.uint8],
    starts: Positions,
    ends: Positions,
    limit: int,
    delimiter: int,
    fields: int,
    max_record: int,
) -> tuple[Iterator[tuple[int, int]], bool]:
    """(first and last line of every possible record, whether a record goes on where the data ends).

    A possible record is well-formed, has several lines and begins on a line before ``limit``. Possible records may
    overlap; the first one counts. A record that leaves its first line inside quotes goes on through all lines that it
    enters and leaves inside quotes, to the next line that it does not leave so. Its delimiters are counted as the
    difference of two running sums.
    """
    quoted, begun, entered = _trace_quotes(array, starts, ends, delimiter)
    closing = np.flatnonzero(entered.state != _INSIDE)
    opening = np.flatnonzero((begun.state == _INSIDE) & (starts[quoted] < limit))
    next_closing = np.searchsorted(closing, opening, side="right")
    closes = next_closing < len(closing)
    unfinished = not np.all(closes)
    opening, last = opening[closes], closing[next_closing[closes]]
    running = np.cumsum(entered.delimiters)
    count = begun.delimiters[opening] + running[last] - running[opening] + 1
    stop = ends[quoted[last]]
    stop = stop - (array[stop - 1] == CR)
    good = (entered.state[last] == _OUTSIDE) & (count == fields) & (stop - starts[quoted[opening]] <= max_record)
    return zip(quoted[opening[good]].tolist(), quoted[last[good]].tolist(), strict=True), unfinished


_OUTSIDE, _INSIDE, _BROKEN = 0, 1, 2
"""States of a record: outside quotes, inside quotes, broken by text behind a closing quote."""


@dataclass(frozen=True)
class _Trace:
    """For each line with quotes, the state in which a record leaves the line, and how many delimiters end fields."""

    state: NDArray[np.uint8]
    delimiters: Positions


def _trace_quotes(
    array: NDArray[np.uint8], starts: Positions, ends: Positions, delimiter: int
) -> tuple[Positions, _Trace, _Trace]:
    """(numbers of the lines with quotes, traces of records that begin on them, traces of records that enter in quotes).

    Each run of quotes is a function from states to states. The composition of a line's functions up to each run is a
    prefix sum, which doubles the number of composed functions in every step (Hillis and Steele, 1986).
    """
    quotes = np.flatnonzero(array == QUOTE)
    heads = np.append(True, np.diff(quotes) != 1)
    first, after = quotes[heads], quotes[np.append(heads[1:], True)] + 1
    owner = np.searchsorted(ends, first)
    step = _steps_of_runs(array, first, after, starts[owner], delimiter)
    begins = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    quoted = owner[begins]
    runs = np.diff(begins, append=len(owner))
    rank = np.arange(len(owner)) - np.repeat(begins, runs)
    distance, later = 1, np.flatnonzero(rank >= 1)
    while len(later):
        step[later] = np.take_along_axis(step[later], step[later - distance].astype(np.intp), axis=1)
        distance *= 2
        later = later[rank[later] >= distance]
    delimiters = np.flatnonzero(array == delimiter)
    before = np.searchsorted(delimiters, first)
    line_ends = np.searchsorted(delimiters, ends[quoted])
    behind = np.append(before[1:], 0)
    behind[begins + runs - 1] = line_ends
    behind -= before
    in_front = before[begins] - np.searchsorted(delimiters, starts[quoted])
    traces = [
        _Trace(step[begins + runs - 1, entry], np.add.reduceat(np.where(step[:, entry] == _OUTSIDE, behind, 0), begins))
        for entry in (_OUTSIDE, _INSIDE)
    ]
    begun = _Trace(traces[0].state, traces[0].delimiters + in_front)
    return quoted, begun, traces[1]


def _steps_of_runs(
    array: NDArray[np.uint8], first: Positions, after: Positions, line_start: Positions, delimiter: int
) -> NDArray[np.uint8]:
    """For each run of quotes, the states that follow _OUTSIDE, _INSIDE and _BROKEN (RFC 4180; contract: records)."""
    odd = (after - first) % 2 == 1
    at_start = (first == line_start) | (array[first - 1] == delimiter)
    following = array[after]
    at_end = (following == delimiter) | (following == LF)
    at_end |= (following == CR) & (array[np.minimum(after + 1, len(array) - 1)] == LF)
    step = np.full((len(first), 3), _BROKEN, np.uint8)
    closed = np.where(at_end, _OUTSIDE, _BROKEN)
    step[:, _OUTSIDE] = np.where(at_start, np.where(odd, _INSIDE, closed), _OUTSIDE)
    step[:, _INSIDE] = np.where(odd, closed, _INSIDE)
    return step
