"""Which rejected lines are headers, and which of them changes how the records behind it are read."""

import polars as pl
import pytest

from pipeline.reading.header import Header
from pipeline.reading.header_changes import DIRECTIVE, REPEATED_HEADER, UNUSABLE_HEADER, HeaderChange, header_at
from pipeline.reading.later_headers import Found, HeaderFinder, find_headers, with_reasons
from pipeline.reading.text_parser import REJECTED

NAMES = ("log_id", "user_id", "video", "minutes")
WANTED = {"log_id": ("log_id",), "user_id": ("user_id",), "watch_time": ("minutes",)}
COLUMNS = {"log_id": 0, "user_id": 1, "watch_time": 3}
CURRENT = Header(",", NAMES, COLUMNS, 30, 2, 20.0)
FINDER = HeaderFinder(WANTED, {})


def judge(line: bytes, current: Header = CURRENT, behind: tuple[bytes, ...] = ()) -> Found | None:
    return FINDER.judge(line, current, lambda: 500, lambda _: list(behind))


@pytest.mark.parametrize("line", [b"log_id,user_id,video,minutes", b"\xef\xbb\xbflog_id,user_id,video,minutes"])
def test_the_same_header_again_changes_nothing(line: bytes) -> None:
    assert judge(line) == Found(REPEATED_HEADER)


@pytest.mark.parametrize(
    ("line", "delimiter", "names", "columns"),
    [
        (b"log_id,video,user_id,minutes", ",", ("log_id", "video", "user_id", "minutes"), (0, 2, 3)),
        (b"LOG_ID,VIDEO,USER_ID,MINUTES", ",", ("LOG_ID", "VIDEO", "USER_ID", "MINUTES"), (0, 2, 3)),
        (b"log_id,user_id,minutes", ",", ("log_id", "user_id", "minutes"), (0, 1, 2)),
        (b"x,log_id,user_id,video,minutes", ",", ("x", "log_id", "user_id", "video", "minutes"), (1, 2, 4)),
        (b"log_id;user_id;video;minutes", ";", NAMES, (0, 1, 3)),
        (b'\xef\xbb\xbf"minutes","user_id","log_id"', ",", ("minutes", "user_id", "log_id"), (2, 1, 0)),
        (b"#Fields: user_id log_id minutes", " ", ("user_id", "log_id", "minutes"), (1, 0, 2)),
    ],
)
def test_another_header(line: bytes, delimiter: str, names: tuple[str, ...], columns: tuple[int, ...]) -> None:
    roles = dict(zip(WANTED, columns, strict=True))
    assert judge(line) == Found(REPEATED_HEADER, Header(delimiter, names, roles, 500, 0, 20.0))


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (b"user_id,log_id", ("user_id", "log_id")),
        (b"USER_ID, log_id ", ("USER_ID", "log_id")),
        (b"video,minutes,video", ("video", "minutes", "video")),
        (b"log_id,user_id,who", ("log_id", "user_id", "who")),
        (b"log_id,user_id,a,b,c", ("log_id", "user_id", "a", "b", "c")),
        (b"uid,log_id,video,duration", ("uid", "log_id", "video", "duration")),
        (b"log_id,user_id,log_id,minutes", ("log_id", "user_id", "log_id", "minutes")),
    ],
)
def test_a_header_that_lacks_columns_or_has_one_twice(line: bytes, names: tuple[str, ...]) -> None:
    found = judge(line)
    assert found == Found(UNUSABLE_HEADER, Header(",", names, {}, 500, 0, 20.0))
    assert found
    assert found.header
    assert not found.header.usable


@pytest.mark.parametrize("line", [b"#Fields: log_id user_id", b"#FIELDS: cs-uri\tsc-status", b"#Fields: date,log_id"])
def test_a_directive_that_lacks_columns_announces_records_that_cannot_be_read(line: bytes) -> None:
    found = judge(line)
    assert found
    assert found.reason == UNUSABLE_HEADER
    assert found.header
    assert not found.header.usable


@pytest.mark.parametrize(
    "line",
    [
        b"a1,u1,v,ten",
        b",,,",
        b"log_id",
        b"log_id,log_id",
        b"log_id,who,what",
        b"log_id user_id x",
        b"the log_id user_id minutes of it",
        b'a1,"log_id,user_id,minutes',
        b"\x00\xff",
        b"#comment",
    ],
)
def test_any_other_line_is_a_bad_record(line: bytes) -> None:
    assert judge(line) is None


def test_spaces_divide_names_where_they_divide_records() -> None:
    current = Header(" ", NAMES, COLUMNS, 30, 2, 20.0)
    found = judge(b"minutes user_id log_id", current)
    assert found
    assert found.header
    assert found.header.columns == {"log_id": 2, "user_id": 1, "watch_time": 0}


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        (b"a1,u1,v,10log_id,video,user_id,minutes", {"log_id": 0, "user_id": 2, "watch_time": 3}),
        (b"a1,u1,v,10\xef\xbb\xbflog_id,video,user_id,minutes", {"log_id": 0, "user_id": 2, "watch_time": 3}),
        (b'a1,u1,v,"10""log_id","video","user_id","minutes"', {"log_id": 0, "user_id": 2, "watch_time": 3}),
        (b"a1,u1,v,10day;log_id;user_id;minutes", {"log_id": 1, "user_id": 2, "watch_time": 3}),
        (b"a1,u1,v,10day,log_id,user_id,minutes", {"log_id": 1, "user_id": 2, "watch_time": 3}),
    ],
)
def test_a_header_behind_a_record_without_a_line_end(line: bytes, columns: dict[str, int]) -> None:
    found = judge(line, behind=(b"1,2,3,4",))
    assert found
    assert found.reason is None, "the line stays a record with too many fields"
    assert found.header
    assert found.header.columns == columns


def test_the_same_header_behind_a_record_changes_nothing() -> None:
    assert judge(b"a1,u1,v,10log_id,user_id,video,minutes") == Found(None)


@pytest.mark.parametrize("line", [b"#Date: 2026-01-01", b"#VERSION: 1.0", b"\xef\xbb\xbf#Remark: log_id"])
def test_directives_have_a_reason_of_their_own(line: bytes) -> None:
    assert judge(line) == Found(DIRECTIVE)


def test_the_lines_behind_tell_how_records_end() -> None:
    found = judge(b"user_id,log_id,minutes", behind=(b"u,a,1,", b"u,b,2,"))
    assert found
    assert found.header
    assert found.header.names == ("user_id", "log_id", "minutes", "")


def test_names_beyond_ascii() -> None:
    finder = HeaderFinder({"log_id": ("schlüssel",), "user_id": ("benutzer",)}, {})
    current = Header(",", ("schlüssel", "benutzer"), {"log_id": 0, "user_id": 1}, 30, 2, 20.0)
    found = finder.judge("BENUTZER,SCHLÜSSEL".encode(), current, lambda: 500, lambda _: [])
    assert found
    assert found.header
    assert found.header.columns == {"log_id": 1, "user_id": 0}


def test_only_the_lines_up_to_the_first_change_are_told() -> None:
    lines = [b"#Date: x", b"bad", b"log_id,user_id,video,minutes", b"minutes,log_id,user_id", b"user_id,log_id"]
    offsets = [10, 30, 40, 80, 110]
    rejected = pl.DataFrame(
        {"line": range(5), "offset": offsets, "reason": "why", "column": "minutes", "value": "x", "raw": lines},
        schema=REJECTED,
    )
    found = find_headers(rejected[::-1], FINDER, CURRENT, 1000, lambda at: at + 1, lambda _: [])
    assert found.reasons == {10: DIRECTIVE, 40: REPEATED_HEADER, 80: REPEATED_HEADER}
    assert found.repeated
    end = 80 + len(lines[3]) + 1
    expected = Header(
        ",", ("minutes", "log_id", "user_id"), {"log_id": 1, "user_id": 2, "watch_time": 0}, 1000 + end, 0, 20.0
    )
    assert found.change == HeaderChange(end, 3, expected)
    assert with_reasons(rejected, found.reasons).select("reason", "column", "value").rows() == [
        (DIRECTIVE, None, None),
        ("why", "minutes", "x"),
        (REPEATED_HEADER, None, None),
        (REPEATED_HEADER, None, None),
        ("why", "minutes", "x"),
    ]


def test_the_header_in_force_at_an_offset() -> None:
    one, two = (Header(",", (name,), {}, 0, 0, 1.0) for name in "ab")
    changes = (HeaderChange(10, 1, one), HeaderChange(20, 2, two))
    assert [header_at(CURRENT, changes, offset) for offset in (0, 9, 10, 19, 20, 99)] == [
        CURRENT,
        CURRENT,
        one,
        one,
        two,
        two,
    ]
