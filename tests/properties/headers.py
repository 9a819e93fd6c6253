"""Strategies for files with headers in every dress, and with several logs one behind the other."""

from collections.abc import Sequence

from hypothesis import strategies as st

from tests.properties.nasty import COLUMNS, records, soup, torn_records

MARK = b"\xef\xbb\xbf"
delimiters = st.sampled_from([b",", b",", b",", b";", b"\t", b"|", b" "])
line_ends = st.sampled_from([b"\n", b"\n", b"\r\n"])


@st.composite
def dressed_names(draw: st.DrawFn, columns: Sequence[bytes], delimiter: bytes) -> bytes:
    """A header line without its line end: the names as they are, or in another case, quoted, or with things around."""
    dress = draw(st.sampled_from(["plain", "plain", "case", "quoted", "around", "comment"]))
    names = list(columns)
    if dress == "case":
        names = [draw(st.sampled_from([name, name.upper(), name.title()])) for name in names]
    if dress == "quoted":
        names = [b'"%s"' % name for name in names]
    if dress == "around" and delimiter != b" ":
        names = [draw(st.sampled_from([b"", b" ", b"\xc2\xa0", b"#"])) + name for name in names]
        names = [name + draw(st.sampled_from([b"", b" ", b"\xe3\x80\x80"])) for name in names]
    line = delimiter.join(names)
    if delimiter in b" \t" and draw(st.booleans()):
        return draw(st.sampled_from([b"#Fields: ", b"#fields:"])) + b" ".join(columns)
    return draw(st.sampled_from([b"# ", b"#"])) + line if dress == "comment" and delimiter != b" " else line


@st.composite
def layouts(draw: st.DrawFn) -> list[bytes]:
    """The columns of a log: all in some order, with others among them, without some, or one of them twice."""
    kind = draw(st.sampled_from(["order", "order", "more", "fewer", "required", "twice", "unusable"]))
    columns = list(draw(st.permutations(COLUMNS)))
    if kind == "more":
        columns.insert(draw(st.integers(0, len(columns))), draw(st.sampled_from([b"extra", b"", b"VIDEO_ID"])))
    if kind == "fewer":
        columns = [name for name in columns if name not in (b"video_id", b"device_type")]
    if kind == "required":
        columns = [b"log_id", b"user_id", b"ip_address", b"watch_time(min)", b"timestamp"]
    if kind == "twice":
        columns.append(draw(st.sampled_from([b"log_id", b"User_ID", b"video_id"])))
    if kind == "unusable":
        columns = columns[: draw(st.integers(1, 4))]
    return columns


@st.composite
def logs(draw: st.DrawFn, columns: Sequence[bytes], before: bool = False) -> bytes:
    """A header, in front of which may be what is no log, and some records, each of which may end with a delimiter."""
    delimiter = draw(delimiters)
    tail = draw(st.sampled_from([b"", b"", b"", delimiter]))
    odd = [b"\n", b"#Date: today\n", b"# x\n", b"log_id\n", b"user_id,log_id\n", b"\x1c,\x1c,t,v,tv,x,\x1c\n"]
    good = records(delimiter, columns)
    record = st.one_of(good, good, good, torn_records(delimiter, columns), soup, st.sampled_from(odd))
    if tail:
        record = st.one_of(record, records(delimiter, columns).map(lambda line: _end_with(line, tail)))
    if tail and draw(st.booleans()):
        record = records(delimiter, columns).map(lambda line: _end_with(line, tail))
    preamble = b""
    if before:
        comments = st.sampled_from([b"\n", b"# made by x\n", b"#Version: 1.0\r\n", b"a,b\n"])
        preamble = b"".join(draw(st.lists(st.one_of(comments, records(delimiter, columns)), max_size=4)))
    header = draw(dressed_names(columns, delimiter)) + draw(st.sampled_from([b"", b"", b"", delimiter]))
    body = b"".join(draw(st.lists(record, max_size=6)))
    return preamble + header + draw(line_ends) + body


def _end_with(line: bytes, tail: bytes) -> bytes:
    text = line.rstrip(b"\r\n")
    return text + tail + line[len(text) :]


@st.composite
def files_of_logs(draw: st.DrawFn) -> bytes:
    """One to four logs, of which the first has all columns; between two of them a line end may be missing."""
    first = draw(st.permutations(COLUMNS))
    pieces = [draw(logs(first, before=draw(st.booleans())))]
    for _ in range(draw(st.integers(0, 3))):
        again = draw(st.booleans())
        pieces.append(draw(logs(first if again else draw(layouts()))))
    joined = draw(st.sampled_from([b"", MARK, MARK * 2]))
    for piece in pieces:
        if joined.strip(MARK) and draw(st.integers(0, 5)) == 0:
            joined = joined.removesuffix(b"\n").removesuffix(b"\r")
        joined += draw(st.sampled_from([b"", b"", b"", MARK])) + piece
    return joined


@st.composite
def headless_files(draw: st.DrawFn, columns: Sequence[bytes]) -> bytes:
    """Records without a header, perhaps behind comments, perhaps with a log behind them."""
    delimiter = draw(delimiters)
    comments = b"".join(draw(st.lists(st.sampled_from([b"# made by x\n", b"\n"]), max_size=2)))
    tail = draw(st.sampled_from([b"", b"", delimiter]))
    body = [_end_with(line, tail) for line in draw(st.lists(records(delimiter, columns), min_size=1, max_size=6))]
    behind = draw(logs(draw(layouts()))) if draw(st.booleans()) else b""
    return comments + b"".join(body) + behind
