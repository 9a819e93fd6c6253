"""Where many records end, against the reader of one record."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reading.quoted_ends import find_ends
from pipeline.reading.single_record import read_record

PIECES = st.sampled_from(['"', '""', ",", "\n", "\r\n", "a", "b c", ";", '","', '"\n', '\n"', "é"])
TEXTS = st.lists(PIECES, max_size=40).map(lambda pieces: "".join(pieces).encode())


@settings(max_examples=300)
@given(TEXTS, st.integers(1, 4))
def test_a_record_ends_where_the_reader_of_one_record_ends_it(text: bytes, fields: int) -> None:
    data, begins, ends, at = text + b"\n", [], [], 0
    while at < len(data):
        record = read_record(data, at, b",", fields, 2**20)
        if record.values is not None:
            begins.append(at)
            ends.append(at + len(record.raw))
        at = record.end
    array = np.frombuffer(text, np.uint8)
    line_ends = np.flatnonzero(array == ord("\n"))
    starts = np.array(begins, np.int64)
    found = find_ends(array, line_ends, np.searchsorted(line_ends, starts), starts, ord(","))
    for begin, end, stop in zip(begins, ends, found.tolist(), strict=True):
        assert stop in (end, -1), (begin, end)


def test_records_with_quoted_fields_and_line_ends_are_found_at_once() -> None:
    records = [b'1,"a,b",x', b'2,"two\nlines ""q""",y', b"3,plain,", b'"4","",""', b'5,"\r\n\n",z']
    text = b"\r\n".join(records) + b"\n"
    starts = np.array([text.index(record) for record in records], np.int64)
    array = np.frombuffer(text, np.uint8)
    line_ends = np.flatnonzero(array == ord("\n"))
    found = find_ends(array, line_ends, np.searchsorted(line_ends, starts), starts, ord(","))
    assert [text[start:stop] for start, stop in zip(starts.tolist(), found.tolist(), strict=True)] == records
    assert find_ends(array[:-1], line_ends[:-1], np.searchsorted(line_ends, starts), starts, ord(","))[-1] == -1
