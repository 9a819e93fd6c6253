"""Records that the library finds: what they are, and that the scanner confirms nothing else."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.native.library import load
from pipeline.reading import record_finder
from pipeline.reading.header import Header
from pipeline.reading.record_finder import FoundRecords, RecordFinder, copied_rightly
from tests.examples import tries
from tests.harness import library

MAX_RECORD = 60
HEADER = Header("|", ("a", "b", "c"), {"log_id": 0, "user_id": 1, "watch_time": 2}, 0, 1, 1.0)


def find(data: bytes, limit: int | None = None, *, whole: bool = True) -> FoundRecords | None:
    finder = RecordFinder(Path(library()), HEADER, MAX_RECORD)
    return finder.find(data, len(data) if limit is None else limit, len(data), whole=whole)


def described(found: FoundRecords | None) -> tuple:
    """(texts of the good records, rejected lines: number, first byte, reason, bytes), as plain values."""
    assert found is not None
    texts = RecordFinder(Path(library()), HEADER, MAX_RECORD).texts(
        found, np.arange(len(found.separators), dtype=np.int32)
    )
    records = list(zip(*(texts.texts[role].to_list() for role in HEADER.columns), strict=True))
    assert copied_rightly(found, texts, HEADER)
    return records, [(*row[:3], row[5]) for row in texts.rejected.iter_rows()]


CASES = {
    "plain": (b"1|2|3\n4||6\r\n", [("1", "2", "3"), ("4", "", "6")], [], 0),
    "quoted": (b'"1|"|"2"|""\n', [("1|", "2", "")], [], 0),
    "doubled quotes": (b'"""1"|"2"""|"a""""b"\r\n', [('"1', '2"', 'a""b')], [], 0),
    "only quotes": (b'""""|""""""|""\n', [('"', '""', "")], [], 0),
    "line ends in quotes": (b'"1\n2"|"\r\n"|3\n4|5|"6\n"\r\n', [("1\n2", "\r\n", "3"), ("4", "5", "6\n")], [], 0),
    "quotes in unquoted fields": (b'1"|2""|3"4"\na"b"c|"d"|e"\n', [('1"', '2""', '3"4"'), ('a"b"c', "d", 'e"')], [], 0),
    "a CR in a field": (b"1\r|2\r3|4\n", [("1\r", "2\r3", "4")], [], 0),
    "blank lines": (b"\n1|2|3\n\r\n\n4|5|6\n\n", [("1", "2", "3"), ("4", "5", "6")], [], 4),
    "too few and too many": (
        b"1|2\n1|2|3\n1|2|3|4\n",
        [("1", "2", "3")],
        [(0, 0, "wrong_field_count", b"1|2"), (2, 10, "wrong_field_count", b"1|2|3|4")],
        0,
    ),
    "text behind a quote": (b'1|"2"x|3\n4|5|6\n', [("4", "5", "6")], [(0, 0, "bad_quote", b'1|"2"x|3')], 0),
    "a quote that another record closes": (
        b'1|"2|3\n4|"5"|6\n7|8|9\n',
        [("4", "5", "6"), ("7", "8", "9")],
        [(0, 0, "bad_quote", b'1|"2|3')],
        0,
    ),
    "a quote that nothing closes": (
        b'1|"2|3\n4|5|6\n',
        [("4", "5", "6")],
        [(0, 0, "unclosed_quote", b'1|"2|3')],
        0,
    ),
    "lines in quotes and too few fields": (
        b'1|"2\n3"\n4|5|6\n',
        [("4", "5", "6")],
        [(0, 0, "wrong_field_count", b'1|"2'), (1, 5, "wrong_field_count", b'3"')],
        0,
    ),
    "a record as long as allowed": (b"1|2|" + b"x" * 56 + b"\r\n", [("1", "2", "x" * 56)], [], 0),
    "a line that is too long": (
        b"1|2|" + b"x" * 57 + b"\n4|5|6\n",
        [("4", "5", "6")],
        [(0, 0, "record_too_long", b"1|2|" + b"x" * 56)],
        0,
    ),
    "lines that are too long together": (
        b'1|2|"' + b"x" * 54 + b'\n"\n4|5|6\n',
        [("4", "5", "6")],
        [(0, 0, "unclosed_quote", b'1|2|"' + b"x" * 54), (1, 60, "unclosed_quote", b'"')],
        0,
    ),
    "NUL and bytes that are no UTF-8": (
        b'1|\0|3\n4|"\n\xff"|6\n7|8|\xc3\xa9\n\xffx\n',
        [("7", "8", "é")],
        [
            (0, 0, "nul_byte", b"1|\0|3"),
            (1, 6, "invalid_utf8", b'4|"\n\xff"|6'),
            (4, 22, "invalid_utf8", b"\xffx"),
        ],
        0,
    ),
}


@pytest.mark.parametrize(("data", "records", "rejected", "blank"), CASES.values(), ids=CASES)
def test_what_is_found(data: bytes, records: list, rejected: list, blank: int) -> None:
    found = find(data)
    assert described(found) == (records, rejected)
    assert found is not None
    tally = found.tally
    assert (tally.records, tally.blank_lines) == (len(records) + len(rejected), blank)
    assert (tally.lines, tally.length) == (data.count(b"\n"), len(data))


@pytest.mark.parametrize("filler", [0, 1, 7, 60, 63, 64, 65, 127, 128, 600, 40_000])
@pytest.mark.parametrize(("data", "records", "rejected", "blank"), CASES.values(), ids=CASES)
def test_what_is_found_lies_anywhere_in_a_chunk(
    data: bytes, records: list, rejected: list, blank: int, filler: int
) -> None:
    """Before and behind many records, and at every place of the blocks that are looked at together."""
    before = b"1|2|3\n" * (filler // 6) + (b"1|2|" + b"x" * (filler % 6 + 1) + b"\n" if filler % 6 else b"")
    found = find(before + data + b"1|2|3\n" * 30)
    lines = before.count(b"\n")
    all_records, all_rejected = described(found)
    assert all_records[lines : len(all_records) - 30] == records
    assert found.tally.blank_lines == blank
    if "nothing closes" not in str(rejected):
        assert [(line - lines, at - len(before), reason, raw) for line, at, reason, raw in all_rejected] == rejected


def test_a_record_that_may_go_on_is_left_out() -> None:
    data = b'1|2|3\n4|"5\n'
    assert described(find(data, whole=False)) == ([("1", "2", "3")], [])
    assert find(data[6:], whole=False).length == 0
    more = data + b'6"|7\n8|9|0\n'
    found = find(more, len(data), whole=True)
    assert described(found) == ([("1", "2", "3"), ("4", "5\n6", "7")], [])
    assert (found.length, found.lines) == (len(more) - 6, 3)


def test_a_mess_is_given_up_before_its_time_is_the_square_of_its_size() -> None:
    """Every line enters and leaves a quoted field, so that each record would be followed for its whole length."""
    finder = RecordFinder(Path(library()), HEADER, 1 << 20)
    mess = b'x"|"\n' * 400_000
    assert finder.find(mess, len(mess), len(mess), whole=True) is None
    # A damaged record among good ones does not make a mess, however far its quote reaches.
    few = (b"1|2|3\n" * 100_000 + b'1|"2|3\n') * 3
    found = finder.find(few, len(few), len(few), whole=True)
    assert found is not None
    assert (len(found.separators), len(found.odd.start)) == (300_000, 3)


pieces = st.sampled_from(
    [
        *(b"1|2|3\n", b'"1"|"2"|"3"\n', b'"a""b"|"c\nd"|e\r\n', b'x"|y""|z\n', b"\n", b"1|2\n", b'1|"2"x|3\n'),
        *(b'1|"2|3\n', b"1|\0|3\n", b"\xff|2|3\n", b"1|2|" + b"x" * 70 + b"\n", b"1|2|\xc3\xa9\n"),
        *(b'"', b"|", b"\r\n", b'"|"', b'"\n'),
    ]
)
CHANGES = ("move", "drop", "double", "odd", "kind", "stop", "consumed", "records", "swap")


@tries(500)
@given(st.lists(pieces, max_size=14).map(b"".join), st.data())
def test_no_other_claim_is_certified(data: bytes, draw: st.DataObject) -> None:
    """For the bytes of a chunk there is one right claim; a changed one is refused, whatever was changed."""
    data += b"\n"
    finder = RecordFinder(Path(library()), HEADER, MAX_RECORD)
    chunk = record_finder._Chunk(data, len(data), len(data), ord("|"), 3, MAX_RECORD, 1)
    found = finder._search(chunk)
    assert found is not None
    lines = ctypes.c_int64()
    certify = load(Path(library())).certify
    given_ = ctypes.byref(chunk), ctypes.byref(found), ctypes.byref(lines)
    assert certify(*given_) & 1
    assert lines.value == data.count(b"\n")
    ends, odd, count = finder._separators, finder._odd, found.records * 3
    change = draw.draw(st.sampled_from(CHANGES))
    place = draw.draw(st.integers(0, max(0, count - 1)))
    row = draw.draw(st.integers(0, max(0, found.odd - 1)))
    by = draw.draw(st.integers(-4, 4).filter(bool))
    before = (ends[:count].tolist(), odd.start[: found.odd].tolist(), odd.stop[: found.odd].tolist())
    before = (*before, odd.kind[: found.odd].tolist(), found.consumed, found.records)
    if change == "move" and count:
        ends[place] += by
    elif change == "drop" and count:
        ends[place // 3 * 3 : count - 3] = ends[place // 3 * 3 + 3 : count].copy()
        found.records -= 1
    elif change == "double" and count:
        ends[place // 3 * 3 + 3 : count + 3] = ends[place // 3 * 3 : count].copy()
        found.records += 1
    elif change == "odd" and found.odd:
        odd.start[row] += by
    elif change == "kind" and found.odd:
        odd.kind[row] = (int(odd.kind[row]) + by) % 5
    elif change == "stop" and found.odd:
        odd.stop[row] += by
    elif change == "consumed":
        found.consumed += by
    elif change == "records":
        found.records += by
    elif change == "swap" and count > 1:
        ends[[0, place]] = ends[[place, 0]]
    count = max(0, found.records * 3)
    after = (ends[:count].tolist(), odd.start[: found.odd].tolist(), odd.stop[: found.odd].tolist())
    after = (*after, odd.kind[: found.odd].tolist(), found.consumed, found.records)
    assert bool(certify(*given_)) == (after == before)


contents = st.lists(
    st.sampled_from([b"x", b"x" * 7, b"x" * 30, b"x" * 61, b'""', b'""' * 30, b'"', b"|", b"\n"]), max_size=20
).map(b"".join)


@tries(500)
@given(contents, st.sampled_from([0, 1, 9]))
def test_quoted_fields_are_certified_where_all_quotes_are_doubled(content: bytes, behind: int) -> None:
    """Wherever a pair of quotes lies among the bytes that are looked at together, and at the chunk's end."""
    records = [b'1|"' + content + b'"|3\n', *[b"1|2|3\n"] * behind]
    data = b"".join(records)
    first = [1, len(content) + 4, len(records[0]) - 1]
    ends = [*first, *(len(records[0]) + 6 * record + end for record in range(behind) for end in (1, 3, 5))]
    finder = RecordFinder(Path(library()), HEADER, 1000)
    chunk = record_finder._Chunk(data, len(data), len(data), ord("|"), 3, 1000, 1)
    claim = finder._search(chunk)
    assert claim is not None
    finder._separators[: len(ends)] = ends
    claim.records, claim.odd, claim.consumed = len(records), 0, len(data)
    certified = load(Path(library())).certify(ctypes.byref(chunk), ctypes.byref(claim), ctypes.byref(ctypes.c_int64()))
    assert bool(certified) == (b'"' not in content.replace(b'""', b""))


@pytest.mark.timeout(60)
def test_bytes_behind_the_records_are_not_looked_at() -> None:
    """A record of them is no UTF-8, as one before them is: the search for it went round for ever."""
    found = find(b"\xff|2|3\n1|2|3\n\xff|2|3\n", 12)
    assert found
    assert found.length == 12
    assert described(found) == ([("1", "2", "3")], [(0, 0, "invalid_utf8", b"\xff|2|3")])
