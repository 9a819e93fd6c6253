"""What is settled never changes, whatever is appended: each record before the settled end is one of the whole text."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.header import Header
from pipeline.reading.settled import find_settled_end
from pipeline.reading.single_record import read_record

HEADER = Header(",", ("a", "b"), {}, 0, 1, 0.0)
MAX_RECORD = 12
PIECES = st.sampled_from(["a", "b", ",", '"', '""', "\n", "\r\n", '","', '"\n', "\0", "é", "long" * 4])


def records(text: bytes) -> list[tuple[int, bytes, str | None]]:
    """(begin, bytes, reason) of all records of a text whose last line may lack its end."""
    whole, position, found = text if text.endswith(b"\n") else text + b"\n", 0, []
    while position < len(text):
        record = read_record(whole, position, b",", 2, MAX_RECORD)
        found.append((position, record.raw, record.reason))
        position = record.end
    return found


@given(st.lists(PIECES, max_size=30), st.lists(PIECES, max_size=30), st.integers(0, 5))
def test_what_is_appended_changes_no_settled_record(beginning: list[str], more: list[str], cut: int) -> None:
    begun = "".join(beginning).encode()
    begun = begun[: len(begun) - cut]  # also within a character
    end = find_settled_end(BytesIO(begun), 0, len(begun), HEADER, MAX_RECORD)
    settled = records(begun[:end])
    assert sum(1 for begin, _, _ in records(begun) if begin < end) == len(settled)
    whole = records(begun + "".join(more).encode())
    assert whole[: len(settled)] == settled
    assert len(whole) == len(settled) or whole[len(settled)][0] == end


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b"", 0),
        (b"a,b", 0),
        (b"a,b\n", 4),
        (b"a,b\nc,", 4),
        (b"a,b\r\nc,d\r", 5),
        (b'a,"b\n', 0),
        (b'a,"b\nc"\n', 8),
        (b'a,"b"\n', 6),
        (b'a,"b"x\n', 7),
        (b'a,"b\n' + b"c,d\n" * 4, 21),  # no record is so long: it never closes
        (b'a"b,"\n', 6 - 6),
    ],
)
def test_where_settled_records_end(text: bytes, end: int) -> None:
    assert find_settled_end(BytesIO(text), 0, len(text), HEADER, MAX_RECORD) == end


def test_the_search_begins_where_a_record_does() -> None:
    text = b'x"\na,b\nc'
    assert find_settled_end(BytesIO(text), 3, len(text), HEADER, MAX_RECORD) == 7
