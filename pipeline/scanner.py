"""The independent scanner: counts records and checks parsed columns against the bytes, sharing nothing with the parser.

Conservation rests on this module, so it knows the record contract from the bytes alone: NumPy over the positions of
line ends, delimiters and quotes, and one regular expression for records with unusual quotes.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
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
    """What a stretch of bytes holds: records, blank lines, physical lines, and the bytes that they take."""

    records: int
    blank_lines: int
    lines: int
    length: int


def check(data: bytes, delimiter: int, fields: int, columns: dict[int, pl.Series], max_record: int) -> Positions | None:
    """Start of every record if ``columns`` are exactly what ``data`` says, else None.

    ``data`` ends with LF; ``columns`` maps a field's position to the String column that was parsed from it. Passed are
    only stretches without any doubt: every line has ``fields`` fields, quotes are well-formed within their line and
    hold no doubled quote, no NUL, valid UTF-8, no blank line, no over-long record. Of every single field the length
    and four bytes are compared, and every byte of a sample of rows.
    """
    if b"\0" in data or not _is_utf8(data):
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
    if b"\0" in data or not _is_utf8(data) or not len(separators) or len(separators) % fields:
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


def _is_utf8(data: bytes) -> bool:
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
    return len(quotes) % 2 == 0 and not len(_odd_quotes(array, quotes, ends, delimiter, doubled=False))


def _odd_quotes(
    array: NDArray[np.uint8], quotes: Positions, ends: Positions, delimiter: int, *, doubled: bool
) -> Positions:
    """Line numbers of the lines whose quotes do not all open and close fields within the line."""
    line = np.searchsorted(ends, quotes)
    rank = np.arange(len(quotes)) - np.searchsorted(line, line)
    opening = rank & 1 == 0
    before = array[quotes - 1]
    at_start = (quotes == 0) | (before == LF) | (before == delimiter)
    after = array[quotes + 1]
    crlf = (after == CR) & (array[np.minimum(quotes + 2, len(array) - 1)] == LF)
    at_end = (after == LF) | (after == delimiter) | crlf
    if doubled:
        at_start |= before == QUOTE
        at_end |= after == QUOTE
    odd = np.where(opening, ~at_start, ~at_end)
    last = np.append(line[1:] != line[:-1], True) if len(line) else np.empty(0, bool)
    odd |= last & opening
    return _distinct(line[odd])


def _distinct(ascending: Positions) -> Positions:
    """Each of them once (``np.unique`` hashes, which takes twenty times as long)."""
    return ascending[np.append(True, ascending[1:] != ascending[:-1])] if len(ascending) else ascending


def tally(data: bytes, limit: int, delimiter: int, fields: int, max_record: int) -> Tally:
    """Count the records that begin before ``limit``, which is a line's start, in any bytes whatever.

    ``data`` ends with LF and holds at least ``max_record + 2`` bytes beyond ``limit`` (or the file's end), so that a
    record that begins before ``limit`` can be followed.
    """
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == LF)
    starts = np.concatenate(([0], ends[:-1] + 1))
    swallowed = np.zeros(len(ends), bool)
    if b'"' in data:
        quotes = np.flatnonzero(array == QUOTE)
        chains = _Chains(data, starts, ends, _distinct(np.searchsorted(ends, quotes)), delimiter)
        resume = 0
        odd = _odd_quotes(array, quotes, ends, delimiter, doubled=True)
        for line in odd[: np.searchsorted(odd, np.searchsorted(starts, limit))].tolist():
            if line < resume:
                continue
            count, last = chains.follow(line)
            stop = int(ends[last])
            stop -= stop > starts[last] and array[stop - 1] == CR
            if count == fields and stop - starts[line] <= max_record:
                resume = last + 1
                swallowed[line + 1 : resume] = True
    lines = int(np.searchsorted(starts, limit))
    while lines < len(swallowed) and swallowed[lines]:
        lines += 1
    empty = (ends == starts) | ((ends == starts + 1) & (array[starts] == CR))
    blank = int(np.count_nonzero(empty[:lines] & ~swallowed[:lines]))
    records = lines - blank - int(np.count_nonzero(swallowed[:lines]))
    return Tally(records, blank, lines, int(ends[lines - 1]) + 1 if lines else 0)


class _Chains:
    """Follows records through their quoted line ends, line by line.

    What a line holds for a record that enters it inside a quoted field is the same for every such record, so it is
    found once: the time is in proportion to the bytes, whatever they are.
    """

    def __init__(self, data: bytes, starts: Positions, ends: Positions, quoted: Positions, delimiter: int) -> None:
        self._data, self._starts, self._ends = data, starts, ends
        self._quoted = quoted.data  # there may be a million: no list
        self._begin, self._inside, self._field = _line_patterns(delimiter)
        self._known: dict[int, tuple[int, int]] = {}

    def follow(self, line: int) -> tuple[int, int]:
        """(number of fields, last line) of the record that begins at ``line``; no fields where it is malformed."""
        place = bisect_left(self._quoted, line)
        count, closed = self._step(self._begin, line)
        path: list[tuple[int, int]] = []
        last = line
        while not closed and count >= 0:
            place += 1
            if place == len(self._quoted):
                count = -1
                break
            last = self._quoted[place]
            if last in self._known:
                rest, last = self._known[last]
                count = -1 if rest < 0 else count + rest
                break
            path.append((last, count))
            more, closed = self._step(self._inside, last)
            count = -1 if more < 0 else count + more
        while path:
            entered, before = path.pop()
            self._known[entered] = (-1 if count < 0 else count - before, last)
        return max(count, 0), last

    def _step(self, pattern: re.Pattern[bytes], line: int) -> tuple[int, bool]:
        """(fields that end on the line or -1 where it is malformed, whether the record ends with it)."""
        match = pattern.match(self._data, self._starts[line], self._ends[line] + 1)
        if match is None:
            return -1, False
        whole, last, opened, close, still = match.group("whole", "last", "open", "close", "still")
        count = len(self._field.findall(whole)) if whole else 0
        return count + (close is not None) + (last is not None), opened is None and still is None


@lru_cache(maxsize=16)
def _line_patterns(delimiter: int) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """A physical line at whose beginning a record begins; one that begins inside a quoted field; a field and its
    delimiter. All are possessive, so they never go back."""
    d = re.escape(bytes([delimiter]))
    text = rb'(?:[^"\n]++|"")*+'
    field = rb'(?:"' + text + rb'"|(?!")[^' + d + rb"\n]*+)"
    fields = rb"(?P<whole>(?:" + field + d + rb")*+)"
    rest = fields + rb"(?:(?P<last>" + field + rb")\r?\n|(?P<open>\"" + text + rb"\n))"
    inside = text + rb"(?:(?P<close>\")(?:\r?\n|" + d + rest + rb")|(?P<still>\n))"
    begin = rest + rb"|(?!)(?P<close>)(?P<still>)"  # the same groups
    return re.compile(begin), re.compile(inside), re.compile(field + d)
