"""The independent scanner: counts records and checks parsed columns against the bytes, sharing nothing with the parser.

Conservation rests on this module, so it knows the record contract from the bytes alone: NumPy over the positions of
line ends, delimiters and quotes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

LF, CR, QUOTE = 0x0A, 0x0D, 0x22


_PREFIX_MASK = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF], dtype=np.uint32)
_SAMPLE = 16
_INLINE = 12  # bytes of a value that a string view holds itself
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Tally:
    """What a stretch of bytes holds: records, blank lines, physical lines, and the bytes that they take.

    ``unfinished``: a quoted field goes on where the data ends, so that the counts hold only if nothing follows within
    the longest record.
    """

    records: int
    blank_lines: int
    lines: int
    length: int
    unfinished: bool = False


def check(data: bytes, delimiter: int, fields: int, columns: dict[int, pl.Series], max_record: int) -> Positions | None:
    """Start of every record if ``columns`` are exactly what ``data`` says, else None.

    ``data`` ends with LF; ``columns`` maps a field's position to the String column that was parsed from it. Passed are
    only stretches without any doubt: every line has ``fields`` fields, quotes are well-formed within their line and
    hold no doubled quote, no NUL, valid UTF-8, no blank line, no over-long record. Of every single field the length
    and four bytes are compared, and every byte of a sample of rows.
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
    # Exactly every last one of ``fields`` separators is a line end: every line has the right number of fields.
    if len(separators) != count * fields or not np.all(array[separators[fields - 1 :: fields]] == LF):
        return None
    stops = np.ascontiguousarray(separators.reshape(count, fields).T.astype(np.int32))
    starts = np.concatenate((np.zeros(1, np.int32), stops[-1, :-1] + 1))
    if b"\r" in data:
        stops[-1] -= (array[stops[-1] - 1] == CR) & (stops[-1] > starts)
    if np.max(stops[-1] - starts, initial=0) > max_record:
        return None
    sample = np.unique(np.linspace(0, count - 1, _SAMPLE, dtype=np.int64)) if count else separators
    for place, column in columns.items():
        first = starts if place == 0 else stops[place - 1] + 1
        if not _same_fields(array, first, stops[place] - first, column, sample, quoted=quoted):
            return None
    return starts.astype(np.int64)


def confirm(data: bytes, delimiter: int, fields: int, separators: NDArray[np.int32], max_record: int) -> bool:
    """Whether ``separators`` are the ends of the fields of ``data``: of all of them, in order, and of nothing else.

    ``data`` ends with LF. Only stretches without any doubt pass, as in ``check``. Increasing positions, each of a
    delimiter or a line end outside quotes, and as many as there are: then no field can be missing, doubled or shifted.
    """
    if b"\0" in data or not is_utf8(data) or not len(separators) or len(separators) % fields:
        return False
    array = np.frombuffer(data, np.uint8)
    expected = int(np.count_nonzero(array == LF)) + int(np.count_nonzero(array == delimiter))
    if b'"' in data:
        quotes = np.flatnonzero(array == QUOTE)
        if not _well_formed(array, quotes, np.flatnonzero(array == LF), delimiter):
            return False
        hidden = _between(array, quotes, delimiter)
        place = np.minimum(np.searchsorted(separators, hidden), len(separators) - 1)
        if np.any(separators[place] == hidden):
            return False
        expected -= len(hidden)
    if len(separators) != expected or not np.all(separators[1:] > separators[:-1]):
        return False
    if separators[0] < 0 or separators[-1] >= len(array):  # NumPy takes a negative one from the end
        return False
    found = array[separators].reshape(-1, fields)
    if not (np.all(found[:, -1] == LF) and np.all(found[:, :-1] == delimiter)):
        return False
    line_ends = separators[fields - 1 :: fields]
    return int(np.max(np.diff(line_ends), initial=line_ends[0] + 1)) <= max_record + 1


def _between(array: NDArray[np.uint8], quotes: Positions, delimiter: int) -> Positions:
    """Positions of the delimiters and line ends between the first and second, third and fourth, ... of ``quotes``."""
    length = quotes[1::2] - quotes[::2]
    inside = np.repeat(quotes[::2] - np.cumsum(length) + length, length) + np.arange(length.sum())
    hidden: Positions = inside[(array[inside] == delimiter) | (array[inside] == LF)]
    return hidden


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
    """Whether every value of ``column`` has its field's length and the same four bytes, and some are equal throughout.

    The four bytes are the last ones in a column of long values, because ids often begin alike; otherwise the first.
    """
    if len(column) != len(first) or column.null_count():
        return False
    if quoted:
        opened = (length > 0) & (array[first] == QUOTE)
        first = first + opened
        length = length - 2 * opened
    arrow = column.to_arrow(compat_level=pl.CompatLevel.newest())
    # A string view is 16 bytes: length, first four bytes (zero-filled), then the rest or where the rest lies.
    views = np.frombuffer(arrow.buffers()[1], np.uint32).reshape(-1, 4)[arrow.offset : arrow.offset + len(arrow)]
    if not np.array_equal(views[:, 0], length):
        return False
    same_bytes = _same_tails if len(length) and length.min() > _INLINE else _same_heads
    if not same_bytes(array, first, length, arrow, views):
        return False
    fields = (array[at : at + size].tobytes() for at, size in zip(first[sample], length[sample], strict=True))
    return all(field == value.encode() for field, value in zip(fields, column.gather(sample), strict=True))


def _same_heads(
    array: NDArray[np.uint8],
    first: NDArray[np.int32],
    length: NDArray[np.int32],
    _: pa.Array,
    views: NDArray[np.uint32],
) -> bool:
    """Whether every value begins as its field; fields that begin in the last three bytes are compared one by one."""
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
    """Whether every value, of more than 12 bytes, ends as its field."""
    buffers = [memoryview(buffer) for buffer in arrow.buffers()[2:]]
    tails = _words(array.data)[first + (length - 4)]
    owner, place = views[:, 2], views[:, 3] + (length - 4).astype(np.uint32)
    runs = [0, *(np.flatnonzero(owner[1:] != owner[:-1]) + 1).tolist(), len(owner)]
    return all(
        np.array_equal(_words(buffers[owner[begin]])[place[begin:end]], tails[begin:end])
        for begin, end in pairwise(runs)
    )


def _words(data: memoryview) -> NDArray[np.uint32]:
    """The four bytes at every position, as one number."""
    size = data.nbytes - 3
    return np.ndarray(size, dtype="<u4", buffer=data, strides=(1,)) if size > 0 else np.empty(0, np.uint32)


def _well_formed(array: NDArray[np.uint8], quotes: Positions, ends: Positions, delimiter: int) -> bool:
    """Whether all quotes open and close fields within their line, and none is doubled."""
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
    """Count the records that begin before ``limit``, which is a line's start, in any bytes whatever.

    ``data`` ends with LF. A result that is ``unfinished`` counts only where it holds ``max_record + 2`` bytes beyond
    ``limit``, or the file's end: then the quoted field does not close.
    """
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == LF)
    starts = np.concatenate(([0], ends[:-1] + 1))
    swallowed = np.zeros(len(ends), bool)
    unfinished = False
    if b'"' in data:
        resume = 0
        found, unfinished = _records_of_several_lines(array, starts, ends, limit, delimiter, fields, max_record)
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


def _records_of_several_lines(
    array: NDArray[np.uint8],
    starts: Positions,
    ends: Positions,
    limit: int,
    delimiter: int,
    fields: int,
    max_record: int,
) -> tuple[Iterator[tuple[int, int]], bool]:
    """(first line, last line) wherever a well-formed record of several lines could begin before ``limit``, in order;
    and whether one goes on where the data ends.

    A record that leaves its first line in a quoted field goes on through all lines that it enters and leaves so, to
    the next line that it does not leave so: a count over these lines is the difference of two running sums.
    """
    quoted, begun, entered = _trace_quotes(array, starts, ends, delimiter)
    closing = np.flatnonzero(entered.state != _INSIDE)
    opening = np.flatnonzero((begun.state == _INSIDE) & (starts[quoted] < limit))
    place = np.searchsorted(closing, opening, side="right")
    unfinished = bool(np.any(place == len(closing)))
    opening = opening[place < len(closing)]
    last = closing[place[place < len(closing)]]
    running = np.cumsum(entered.delimiters)
    count = begun.delimiters[opening] + running[last] - running[opening] + 1
    stop = ends[quoted[last]]
    stop = stop - (array[stop - 1] == CR)
    good = (entered.state[last] == _OUTSIDE) & (count == fields) & (stop - starts[quoted[opening]] <= max_record)
    return zip(quoted[opening[good]].tolist(), quoted[last[good]].tolist(), strict=True), unfinished


_OUTSIDE, _INSIDE, _BROKEN = 0, 1, 2


@dataclass(frozen=True)
class _Trace:
    """For each line with quotes: how a record leaves it, and how many delimiters end its fields there."""

    state: NDArray[np.uint8]
    delimiters: Positions


def _trace_quotes(
    array: NDArray[np.uint8], starts: Positions, ends: Positions, delimiter: int
) -> tuple[Positions, _Trace, _Trace]:
    """(numbers of the lines with quotes, their traces where a record begins on them, where it enters them quoted).

    A run of quotes takes each state to another. What the runs of a line do together, up to each of them, is found by
    composing these functions over twice the distance in every step (Hillis and Steele, 1986).
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
    """For each run of quotes the states that follow _OUTSIDE, _INSIDE and _BROKEN (RFC 4180; contract: records)."""
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
