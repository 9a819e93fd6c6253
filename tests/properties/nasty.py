"""Strategies for hostile files: the alphabet that breaks CSV readers, and rows that collide."""

from collections.abc import Sequence

from hypothesis import strategies as st

MAX_RECORD = 256

COLUMNS = [b"log_id", b"user_id", b"timestamp", b"video_id", b"device_type", b"ip_address", b"watch_time(min)"]
TIMES = [b"2026-01-0%dT00:00:0%dZ" % (day, second) for day in (1, 2) for second in (0, 1)]
TIMES += [b"", b"soon", b"1767225600", b"1767225600000.5", b"2026-01-01 00:00:00.000001", b"2026-01-01T01:00:00+01:00"]

TOKENS = [
    *(b'"', b'"', b'""', b'"""', b',"', b'",', b'","', b'"\n', b'"\r\n', b'"\r', b'\n"', b'a"'),
    *(b",", b",", b",,,,,,", b",,,,,,1", b";", b"\t", b"|"),
    *(b"\n", b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"\r\r\n"),
    *(b"\0", b"\xef\xbb\xbf", b"\xff", b"\xc3", b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xe2\x80\x83"),
    *(b"a", b"id1", b" ", b"1", b"2.5", b"x" * 60, b"x" * 120, b"x" * 255, b"x" * 256, b"x" * 257, b"x" * 400),
]

ids = st.sampled_from([b"a", b"b", b"c", b"d", b"id-e", b"\xc3\xa9", b'"f"', b'"g,h"', b'"i""j"', b'"k\nl"', b"", b" "])
users = st.sampled_from([b"u1", b"u2", b"u3", b"u4", b"user-5", b"\xe6\xbc\xa2", b'"v,w"', b'"x\r\ny"', b"\xc2\xa0"])
addresses = st.sampled_from([b"1.1.1.1", b"2.2.2.2", b"3.3.3.3", b"::1", b"", b'"1"'])
minutes = st.sampled_from([b"1", b"2.5", b"2.5", b"0", b"-0", b"1e1", b"0.0000005", b"0.0000015", b"1000000000"])
bad_minutes = st.sampled_from([b"", b"NaN", b"inf", b"-5", b"1e999", b'"12,5"', b"abc", b" 1", b"1_0", b"1000000001"])


LAYOUTS = [COLUMNS, [*COLUMNS, b"extra"], COLUMNS[::-1]]


@st.composite
def fields(draw: st.DrawFn, columns: Sequence[bytes] = COLUMNS, broken: float = 0.1) -> list[bytes]:
    """The fields of a record, in the order of ``columns``."""
    wrong = draw(st.integers(0, 9)) < broken * 10
    values = {
        b"log_id": ids,
        b"user_id": users,
        b"timestamp": st.sampled_from(TIMES),
        b"video_id": st.sampled_from([b"v", b"v9", b'"v"', b'"a, b"', b'"two\nlines"', b'"\xf0\x9f\x98\x80\r\n"']),
        b"device_type": st.sampled_from([b"tv", b"phone", b"", b'5" screen', b'say ""']),
        b"ip_address": addresses,
        b"watch_time(min)": bad_minutes if wrong else minutes,
    }
    return [draw(values.get(column, st.just(b"more"))) for column in columns]


@st.composite
def records(draw: st.DrawFn, delimiter: bytes = b",", columns: Sequence[bytes] = COLUMNS, broken: float = 0.1) -> bytes:
    """The bytes of one record that is good or has a bad value, with its line end."""
    line = delimiter.join(draw(fields(columns, broken)))
    return line + draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))


soup = st.lists(st.sampled_from(TOKENS), max_size=14).map(b"".join)


@st.composite
def torn_records(draw: st.DrawFn, delimiter: bytes = b",", columns: Sequence[bytes] = COLUMNS) -> bytes:
    """A record into which tokens were thrown."""
    line = draw(records(delimiter, columns))
    at = draw(st.integers(0, len(line)))
    return line[:at] + draw(soup) + line[at + draw(st.integers(0, 3)) :]


@st.composite
def hostile_files(draw: st.DrawFn) -> bytes:
    """A file with a header in its first lines, and anything after it."""
    delimiter = draw(st.sampled_from([b",", b",", b",", b";", b"\t", b"|"]))
    columns = draw(st.sampled_from(LAYOUTS))
    header = delimiter.join(columns)
    lines = st.one_of(
        records(delimiter, columns),
        records(delimiter, columns),
        records(delimiter, columns),
        torn_records(delimiter, columns),
        soup,
        st.sampled_from([b"\n", b"\r\n", header + b"\n", b"\xef\xbb\xbf" + header + b"\r\n"]),
    )
    start = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\n", b"# log\r\n\n", b"\xef\xbb\xbfpreamble\n"]))
    body = b"".join(draw(st.lists(lines, max_size=12)))
    if draw(st.booleans()):
        body = body.removesuffix(b"\n")
    return start + header + draw(st.sampled_from([b"\n", b"\r\n"])) + body


sizes = st.one_of(st.integers(64, 400), st.sampled_from([64, 65, 127, 128, 100_000]))
keeps = st.sampled_from(["longest", "first", "last"])
