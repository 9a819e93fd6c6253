"""Finds where the first record of a split begins, without reading the file from its start.

Line ends that lie in quoted fields end no record. Only what lies before a split tells for certain which line ends these
are, but a reader that begins on a wrong line meets damage at once and finds itself on a right one soon (contract:
records). Reading therefore begins some records before the split, behind a run of good ones.
"""

from collections.abc import Callable

from pipeline.reading.single_record import Chains, read_record
from pipeline.reading.splits import Split

_RUN = 8
"""Good records, one behind the other, after which the reader is taken to be on a right line."""

_FIRST_LOOK, _LAST_LOOK = 16 * 1024, 4 * 2**20
"""Bytes before the split that are read at first, and at most."""

_MOST_RECORDS = 5_000
"""Most records that are read one by one for one split."""

Read = Callable[[int, int], bytes]
"""(byte of the file, number of bytes) → the bytes; fewer only at the file's end."""


def find_record_start(read: Read, split: Split, max_record: int) -> int:
    """The byte at or behind ``split.start`` at which a record begins, as far as some records before it tell.

    Where no quote lies near before it, it is the first byte of a line. The answer can be wrong; then it is not
    where the split before ends.
    """
    look = _FIRST_LOOK
    while True:
        begin = max(split.header.data_start, split.start - look)
        found = _find_near(read, split, begin, max_record)
        if found is not None:
            return found
        if begin == split.header.data_start or look >= _LAST_LOOK:
            return next_line(read, split.start - 1)
        look *= 16


def next_line(read: Read, position: int) -> int:
    """The byte behind the first line end at or after ``position``; the file's size if there is none."""
    while data := read(position, 1 << 16):
        end = data.find(b"\n") + 1
        if end:
            return position + end
        position += len(data)
    return position


def _find_near(read: Read, split: Split, begin: int, max_record: int) -> int | None:
    """The start of a record, read from byte ``begin`` on; None where too few good records lie before the split."""
    exact = begin == split.header.data_start
    following = next_line(read, split.start - 1)
    data = read(begin, split.start - begin)
    if b'"' not in data and b'"' not in read(split.start, following - split.start):
        # A quoted field that began earlier would have to close later, behind text that looks like records.
        return following
    line = 0 if exact else data.find(b"\n") + 1
    if not exact and not line:
        return None
    data += read(split.start, max_record + 2)
    if not data.endswith(b"\n"):
        data += b"\n"
    header, wanted = split.header, split.start - begin
    chains: Chains = {}
    delimiter, run = header.delimiter.encode(), _RUN if exact else 0
    for _ in range(_MOST_RECORDS):
        if line >= wanted:
            return min(begin + line, split.size) if run >= _RUN else None
        record = read_record(data, line, delimiter, header.fields, max_record, chains)
        line = record.end
        good = record.values is not None
        run = run + 1 if good or run >= _RUN else 0
    return None
