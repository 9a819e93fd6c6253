"""The careful path: what it does for all lines at once is what ``read_record`` finds one by one, and it stays fast."""

import io
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.reading.careful_parser import parse_carefully
from pipeline.reading.csv_reader import SplitReader
from pipeline.reading.header import Header
from pipeline.reading.splits import Split
from pipeline.reading.text_parser import TextColumns
from tests.examples import tries
from tests.pace import patient

NAMES = ("log_id", "user_id", "ip_address", "watch_time(min)")
COLUMNS = {"log_id": 0, "user_id": 1, "ip_address": 2, "watch_time": 3}
HEADER = Header(",", NAMES, COLUMNS, 0, 2, 10.0)
MAX = 128
TOKENS = [
    *(b'"', b'""', b'"""', b'","', b',"', b'",', b'"\n', b'\n"', b'"\r\n', b'"\r', b"\r", b"\r\n", b"\n", b"\n\n"),
    *(b",", b",,,", b"a", b"a,b,c,1\n", b'"a",b,c,1\n', b'a,"b\nb",c,1\n', b"\0", b"\xff", "é\ufffd".encode()),
    *(b"x" * 130, b'"",' * 70, b'"",\n' * 70, b'"a"b'),
]


def in_order(found: TextColumns) -> TextColumns:
    order = found.lines.argsort()
    texts = {role: text.gather(order) for role, text in found.texts.items()}
    return TextColumns(texts, found.offsets[order], found.stops[order], found.lines[order], found.rejected)


@tries(600)
@given(st.lists(st.sampled_from(TOKENS), max_size=30).map(b"".join), st.integers(0, 30))
@example(b"a,b,c\r,1\n", 30)
@example(b'"' + b'"",' * 70 + b'\n"a\n",b,c,1\n', 30)
def test_all_lines_at_once_are_what_they_are_one_by_one(data: bytes, cut: int) -> None:
    data += b"\n"
    limit = [at + 1 for at, byte in enumerate(data) if byte == 0x0A][: cut + 1][-1]
    fast = parse_carefully(data, limit, HEADER, MAX, trust_polars=True)
    slow = parse_carefully(data, limit, HEADER, MAX, trust_polars=False)
    assert fast is not None, "Polars and the check agree, so that nothing is read twice"
    assert slow is not None
    assert fast.rejected.sort("line").rows() == slow.rejected.rows()
    fast, slow = in_order(fast), in_order(slow)
    assert fast.lines.tolist() == slow.lines.tolist()
    assert fast.offsets.tolist() == slow.offsets.tolist()
    assert fast.stops.tolist() == slow.stops.tolist()
    assert all(fast.texts[role].equals(slow.texts[role]) for role in COLUMNS)


RUBBISH = {
    "values": b"a,b,c,many\n",
    "one field": b"x\n",
    "blank": b"\n",
    "quotes": b'"\n',
    "opened": b'"a\n',
    "wrong": b'"a"b\n',
    "reopened": b'"a","b\n',
    "stray": b'a"a,b,c,1\n',
    "quoted line ends": b'a,"b\n",c,1\n',
    "not UTF-8": b"\xff\n",
    "NUL": b"\0,b,c,1\n",
    "carriage returns": b"a\r,b,c,1\n",
    "many quotes": b'"",' * 30_000 + b"\n",
}


@pytest.mark.parametrize("line", RUBBISH.values(), ids=RUBBISH)
def test_rubbish_takes_no_more_than_seconds_a_megabyte(line: bytes) -> None:
    """The slowest takes a third of this CPU time: good records of ten bytes that must be read one by one."""
    data = line * (2**18 // len(line))
    split = Split(0, "", len(data), 0, len(data), True, HEADER)
    began = time.process_time()
    batches = list(SplitReader(split, io.BytesIO(data), 2**21, 2**20))
    assert time.process_time() - began < patient(1)
    several_lines = data.count(b"\n") // data.count(b"1\n") if line.endswith(b"1\n") else 1
    records = sum(batch.records + batch.blank_lines for batch in batches)
    assert records == data.count(b"\n") // several_lines
