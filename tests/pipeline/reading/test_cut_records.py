"""Many records that are cut out at once, against the reader of one record."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.cut_records import cut_records
from pipeline.reading.single_record import read_record
from tests.examples import tries
from tests.harness import library

PIECES = st.sampled_from(['"', '""', ",", "\n", "\r\n", "a", "b c", ";", '","', '"\n', '\n"', "é"])
TEXTS = st.lists(PIECES, max_size=40).map(lambda pieces: "".join(pieces).encode())


COMPILED = pytest.mark.parametrize("compiled", [True, False])


def cut(compiled: bool, text: bytes, begins: list[int]) -> list[tuple[int, int, bytes]]:
    """(line ends before, stop, bytes) of each record."""
    found = cut_records(Path(library()) if compiled else None, text, np.array(begins, np.int64), ord(","))
    of_each = zip(begins, found.stops.tolist(), found.lines.tolist(), strict=True)
    return [(lines, stop, text[begin : max(begin, stop)]) for begin, stop, lines in of_each]


@COMPILED
@tries(300)
@given(TEXTS, st.integers(1, 4), st.data())
def test_records_are_those_of_the_reader_of_one_record(
    compiled: bool, text: bytes, fields: int, data: st.DataObject
) -> None:
    whole, records, at = text + b"\n", {}, 0
    while at < len(whole):
        record = read_record(whole, at, b",", fields, 2**20)
        if record.values is not None and data.draw(st.booleans()):
            records[at] = record.raw
        at = record.end
    for (begin, raw), (lines, stop, found) in zip(records.items(), cut(compiled, text, list(records)), strict=True):
        assert lines == text[:begin].count(b"\n")
        assert (stop, found) in ((begin + len(raw), raw), (-1, b""))


@COMPILED
def test_records_with_quoted_fields_and_line_ends_are_found_at_once(compiled: bool) -> None:
    records = [
        b'1,"a,b",x',
        b'2,"two\nlines ""q""",y',
        b"3,plain,",
        b'"4","",""',
        b"",
        b'5,"\r\n\n",z',
        b'"6\r\n"',
        b"7,",
    ]
    text = b"\r\n".join(records) + b"\n"
    begins = [text.index(record) for record in records if record]
    found = cut(compiled, text, begins)
    assert [raw for _, _, raw in found] == [record for record in records if record]
    assert [lines for lines, _, _ in found] == [text[:begin].count(b"\n") for begin in begins]
    assert cut(compiled, text[:-1], begins)[-1][1:] == (-1, b""), "the record may go on behind the text"
    assert cut(compiled, text[: text.index(b"z")], begins[:5])[-1][1:] == (-1, b"")


@COMPILED
def test_a_quote_where_none_should_be_is_left_to_the_reader_of_one_record(compiled: bool) -> None:
    text = b'1,q"u\n2,"a"b"\n3,x\n'
    assert cut(compiled, text, [0, 6, 14]) == [(0, -1, b""), (1, -1, b""), (2, 17, b"3,x")]
