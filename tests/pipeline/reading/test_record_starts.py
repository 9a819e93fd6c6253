"""Where the records of a split begin: rightly guessed where line ends lie in quotes, so that little is read twice."""

import random

import pytest

from pipeline.reading.header import Header
from pipeline.reading.record_starts import find_record_start
from pipeline.reading.splits import Split

NAMES = ("log_id", "user_id", "text", "watch_time")
START = b"log_id,user_id,text,watch_time\n"


def texts_of_lines(kind: str, number: int) -> bytes:
    rng = random.Random(number)
    lines = [f"line {rng.randrange(10**6)}" for _ in range(rng.randrange(1, 40))]
    if kind == "lines that look like records":
        lines = [f"i{rng.randrange(99)},u,v" for _ in lines]
    if kind == "indented JSON":
        lines = ["{", *(f'  ""{line}"": ""a, b"",' for line in lines), "}"]
    if kind == "JSON at the left":
        lines = ["{", *(f'""{line}"": ""a, b"",' for line in lines), "}"]
    return b'i%d,u%d,"%s",%d\n' % (number, number % 9, "\n".join(lines).encode(), number)


KINDS = ["words", "lines that look like records", "indented JSON", "JSON at the left"]


def starts_of(records: list[bytes]) -> list[int]:
    starts, at = [], len(START)
    for record in records:
        starts.append(at)
        at += len(record)
    return [*starts, at]


def guess(data: bytes, at: int, max_record: int = 1 << 20) -> int:
    header = Header(",", NAMES, {"log_id": 0, "user_id": 1, "watch_time": 3}, len(START), 2, 50.0)
    split = Split(1, "", len(data), at, len(data), False, header)
    return find_record_start(lambda begin, size: data[max(begin, 0) : begin + size], split, max_record)


def wrong_guesses(data: bytes, starts: list[int], tries: int) -> list[int]:
    rng = random.Random(7)
    places = [rng.randrange(len(START) + 1, len(data)) for _ in range(tries)]
    return [at for at in places if guess(data, at) != next(start for start in starts if start >= at)]


@pytest.mark.parametrize("kind", KINDS)
def test_line_ends_in_quotes_are_no_starts(kind: str) -> None:
    records = [texts_of_lines(kind, number) for number in range(3000)]
    assert wrong_guesses(START + b"".join(records), starts_of(records), 100) == []


def test_records_without_quotes_begin_behind_the_next_line_end() -> None:
    records = [b"i%d,u,v,1\n" % number for number in range(5000)]
    assert wrong_guesses(START + b"".join(records), starts_of(records), 100) == []


def test_damaged_records_before_a_start_are_no_reason_to_pass_it() -> None:
    """Also a damaged line begins a record, and the split begins with it."""
    records = [b"too,short\n" if number % 5 == 0 else b'i%d,"u\n%d",v,1\n' % (number, number) for number in range(4000)]
    runs = [b'i,"u\n",v,1\n' * 12 if number % 100 == 1 else record for number, record in enumerate(records)]
    singles = [record for run in runs for record in (run.split(b"1\n")[:-1] if run.count(b",v,1\n") > 1 else [run])]
    singles = [record + b"1\n" if record.endswith(b",v,") else record for record in singles]
    assert b"".join(singles) == b"".join(runs)
    assert wrong_guesses(START + b"".join(singles), starts_of(singles), 60) == []


def test_the_start_of_the_records_is_certain() -> None:
    """Near the file's first record nothing is guessed."""
    records = [b'i,"u\n",v,1\n', b"x\n", b'"', b'",\n', b"i,u,v,1\n"]
    data = START + b'i,"u\n",v,1\n' + b"x\n" + b'i,"u\ni,u,v,1\n",v,1\n' + b"i,u,v,1\n"
    starts = [len(START), len(START) + 11, len(START) + 13, len(data) - 8, len(data)]
    assert len(records) == 5
    for at in range(len(START) + 1, len(data)):
        assert guess(data, at) == next(start for start in starts if start >= at)


def test_a_record_that_spans_the_split_leaves_it_nothing() -> None:
    data = START + b"i,u,v,1\n" * 20 + b'i,u,"' + b"a\n" * 100 + b'",1\ni,u,v,2\n'
    assert guess(data, data.index(b"a\n") + 50) == len(data) - 8
    last = START + b"i,u,v,1\n" * 20 + b'i,u,"' + b"a\n" * 100 + b'",1'
    assert guess(last, last.index(b"a\n") + 50) == len(last)


def test_rubbish_is_no_reason_to_look_for_ever() -> None:
    data = START + b'x","\n' * 100_000
    assert guess(data, 250_000) == data.index(b"\n", 249_999) + 1
