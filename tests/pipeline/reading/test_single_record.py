"""The record contract, record by record: what is accepted, and the reason and extent of what is rejected."""

import time

import pytest

from pipeline.reading.header import Header
from pipeline.reading.scanner import tally
from pipeline.reading.single_record import Chains, byte_fault, read_record
from tests.pace import patient

MAX = 64


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b"a,b,c\n", [b"a", b"b", b"c"]),
        (b"a,b,c\r\n", [b"a", b"b", b"c"]),
        (b",,\n", [b"", b"", b""]),
        (b' a ,"", c\n', [b" a ", b"", b" c"]),
        (b'"a,1","b\n2","c""3"\r\n', [b"a,1", b"b\n2", b'c"3']),
        (b'"""",b,""""""\n', [b'"', b"b", b'""']),
        (b'a"b,5",c""\n', [b'a"b', b'5"', b'c""']),
        (b"a\rb,\r,c\r\r\n", [b"a\rb", b"\r", b"c\r"]),
        ('é,"漢\n",😀\n'.encode(), ["é".encode(), "漢\n".encode(), "😀".encode()]),
        (b"x" * (MAX - 4) + b",b,c\r\n", [b"x" * (MAX - 4), b"b", b"c"]),
        (b'"' + b"\n" * (MAX - 6) + b'",b,c\r\n', [b"\n" * (MAX - 6), b"b", b"c"]),
    ],
)
def test_accepted(data: bytes, values: list[bytes]) -> None:
    record = read_record(data + b"d,e,f\n", 0, b",", 3, MAX)
    assert (record.values, record.reason) == (tuple(values), None)
    assert record.end == len(data)
    assert record.raw == data.removesuffix(b"\n").removesuffix(b"\r")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a,b", "wrong_field_count"),
        (b"a,b,c,d", "wrong_field_count"),
        (b'"a",b', "wrong_field_count"),
        (b'a,"b', "wrong_field_count"),  # the field closes two lines on, and the record has too few fields
        (b'"a"b,c,d', "bad_quote"),
        (b'a,b,"c" ', "bad_quote"),
        (b'"a"\rb,c,d', "bad_quote"),
        (b"a,\0,c", "nul_byte"),
        (b"a,\xff,c", "invalid_utf8"),
        (b"a,\xed\xa0\x80,c", "invalid_utf8"),
        (b"a,\xc3", "invalid_utf8"),
        (b"x" * (MAX - 3) + b",b,c", "record_too_long"),
        (b"\ra", "wrong_field_count"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_damage_is_one_line(line: bytes, reason: str, end: bytes) -> None:
    data = line + end + b'next,"\nx\n'
    if reason != "wrong_field_count" or not line.endswith(b'"b'):
        data = line + end + b"d,e,f\n"
    record = read_record(data, 0, b",", 3, MAX)
    assert (record.values, record.raw, record.end) == (None, line, len(line + end))
    assert record.reason == reason


def test_unclosed_quote() -> None:
    record = read_record(b'"a,b\nc,d,e\n' + b"x\n" * 40, 0, b",", 3, MAX)
    assert (record.reason, record.raw, record.end) == ("unclosed_quote", b'"a,b', 5)


def test_a_quoted_field_that_closes_beyond_the_limit_does_not_close() -> None:
    inside = b'"' + b"\n" * (MAX - 6) + b'",b,c\n'
    beyond = b'"' + b"\n" * (MAX - 5) + b'",b,c\n'
    assert read_record(inside, 0, b",", 3, MAX).values is not None
    assert read_record(beyond, 0, b",", 3, MAX).raw == b'"'


def test_bytes_that_are_no_text_are_rejected_whole() -> None:
    record = read_record(b'"a\n\xff",b,c\nd,e,f\n', 0, b",", 3, MAX)
    assert (record.reason, record.raw, record.end) == ("invalid_utf8", b'"a\n\xff",b,c', 10)
    assert byte_fault(b"a\0\xff") == "nul_byte"


HOSTILE = {
    "every line reopens the quote": b'a","b\n',
    "every line opens a quote": b'"x\n',
    "quotes alone": b'"\n',
    "doubled quotes": b'""""""\n',
    "opens in the last field": b'a,b,"c\n',
    "stray": b'5" x,y" z,"\n',
}


@pytest.mark.parametrize("fields", [7, 1000])
@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_hostile_quotes_cost_no_more_than_their_bytes(line: bytes, fields: int) -> None:
    """Were a record followed to the limit from every line, a megabyte would take hours.

    With a quarter of one and time enough for a busy machine; the time grows with the bytes alone.
    """
    data = line * (2**18 // len(line))
    began = time.process_time()
    chains: Chains = {}
    for start in range(0, len(data), len(line)):
        read_record(data, start, b",", fields, 2**20, chains)
    assert time.process_time() - began < patient(5)
    began = time.process_time()
    tally(data, len(data), ord(","), fields, 2**20)
    assert time.process_time() - began < patient(5)


def test_a_header_knows_its_fields() -> None:
    assert Header(",", ("a", "b"), {}, 0, 1, 0.0).fields == 2
