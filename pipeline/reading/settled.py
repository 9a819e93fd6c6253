"""The settled beginning of a log that is being appended: its records that nothing which follows can change."""

from typing import BinaryIO

from pipeline.reading.header import Header
from pipeline.reading.single_record import Chains, read_record


def find_settled_end(stream: BinaryIO, begin: int, size: int, header: Header, max_record: int) -> int:
    """The byte behind the last settled record of the first ``size`` bytes of ``stream``.

    A record begins at byte ``begin``. The last record is not settled where its line has no end, or where a quoted field
    of it may go on behind ``size``: a field that has not closed after ``max_record`` bytes never will.
    """
    stream.seek(begin)
    data = stream.read(size - begin)
    text = data[: data.rfind(b"\n") + 1]
    if b'"' not in text:
        return begin + len(text)
    chains: Chains = {}
    position, delimiter = 0, header.delimiter.encode()
    rejected: list[tuple[int, int]] = []
    while position < len(text):
        line_end = text.index(b"\n", position)
        if text.find(b'"', position, line_end) < 0:
            position = line_end + 1
            continue
        record = read_record(text, position, delimiter, header.fields, max_record, chains)
        if record.values is None:
            reach = _reach(text, position, delimiter)
            if reach > len(text) and len(data) - position <= max_record + 2:
                break
            if reach - position <= max_record + 2:
                rejected.append((position, reach))
        position = record.end
    for begin_of_rejected, reach in reversed(rejected):  # such a record is what it is because of bytes behind its line
        if begin_of_rejected < position < reach:
            position = begin_of_rejected
    return begin + position


def _reach(text: bytes, start: int, delimiter: bytes) -> int:
    """Behind which byte the fate of the record at ``start`` is decided, whatever follows; more than all bytes where a
    quoted field of it is open at the end."""
    position = start
    while True:
        if not text.startswith(b'"', position):
            stops = [stop for stop in (text.find(delimiter, position), text.find(b"\n", position)) if stop >= 0]
            stop = min(stops, default=len(text))
            if not text.startswith(delimiter, stop):
                return stop + 1
            position = stop + 1
            continue
        position += 1
        while True:
            quote = text.find(b'"', position)
            if quote < 0:
                return len(text) + 1
            if not text.startswith(b'"', quote + 1):
                break
            position = quote + 2
        if not text.startswith(delimiter, quote + 1):
            return quote + 1 + text.startswith(b"\r", quote + 1) + 1  # it ends here, or is damaged
        position = quote + 2
