"""Records on lines with quotes, traced all at once, are those that a walk over their bytes finds."""

import re
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.reading import quoted_lines
from pipeline.reading.header import Header
from pipeline.reading.quoted_lines import CLOSED, MANY, OPEN, WRONG, trace_records
from tests.examples import tries

HEADER = Header(",", ("a", "b"), {}, 0, 2, 10.0)
TOKENS = [b'"', b'""', b'"""', b",", b'","', b'",', b',"', b"\n", b"\r\n", b"\r", b"a", b'"a"', b'"\n', b'\n"']


class Traced(NamedTuple):
    """What begins on a line; the values are those of ``QuotedRecords``."""

    ending: int
    last: int
    stop: int
    fields: int


def follow(data: bytes, start: int) -> Traced:
    """Read the record that begins at ``start``, byte by byte (RFC 4180)."""
    at, fields, quoted = start, 1, data.startswith(b'"', start)
    at += quoted
    while at < len(data):
        byte = data[at : at + 1]
        if quoted:
            at += 1
            if byte != b'"':
                continue
            if data.startswith(b'"', at):
                at += 1
                continue
            quoted = False
            if not data.startswith((b",", b"\n", b"\r\n"), at):
                return Traced(WRONG, data.count(b"\n", 0, at), at, 0)
        elif byte == b",":
            at += 1
            fields += 1
            quoted = data.startswith(b'"', at)
            at += quoted
        elif byte == b"\n":
            stop = at - (at > start and data[at - 1 : at] == b"\r")
            return Traced(CLOSED, data.count(b"\n", 0, at), stop, fields)
        else:
            at += 1
    return Traced(OPEN, -1, len(data), 0)


def is_plain(line: bytes) -> bool:
    """Whether all quotes of a line enclose whole fields, and none is doubled."""
    field = rb'(?:"[^"]*"|[^",]*)'
    return re.fullmatch(field + rb"(?:," + field + rb")*", line.removesuffix(b"\r")) is not None


def trace(data: bytes) -> tuple[quoted_lines.QuotedRecords, list[int], list[bytes]]:
    """(records, first byte of each line, each line without LF)."""
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == 0x0A)
    starts = np.concatenate(([0], ends[:-1] + 1))
    stops = ends - ((array[ends - 1] == 0x0D) & (ends > starts))
    return trace_records(array, starts, stops, ends, HEADER), starts.tolist(), data.split(b"\n")[:-1]


def with_quotes(tokens: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return tokens.map(lambda data: data + b"\n").filter(lambda data: b'"' in data)


DATA = with_quotes(st.lists(st.sampled_from(TOKENS), max_size=25).map(b"".join))


@tries(400)
@given(DATA)
@example(b'"a\n"",\n"b"\n')
@example(b'a"b,"c"\r\n')
@example(b'"a"b\n"c\n')
@example(b'""\n"""a"""\n')
def test_records_are_those_of_a_walk(data: bytes) -> None:
    found, starts, lines = trace(data)
    assert found.lines.tolist() == [number for number, line in enumerate(lines) if b'"' in line]
    for index, line in enumerate(found.lines.tolist()):
        expected = follow(data, starts[line])
        assert found.ending[index] == expected.ending
        if expected.ending in (CLOSED, WRONG):
            assert (found.last[index], found.stops[index]) == (expected.last, expected.stop)
        if expected.ending == CLOSED:
            assert found.fields[index] == expected.fields
        assert found.plain[index] == is_plain(lines[line])


@tries(200)
@given(DATA, st.integers(1, 3))
@example(b'"a\nb","c","d"\n', 2)
@example(b'"a","b"\n"c\nd"\n', 1)
def test_lines_with_more_runs_than_rounds_are_left(data: bytes, rounds: int) -> None:
    """A record is ``MANY`` as soon as it comes to a line with too many runs, whatever follows there."""
    with patch.object(quoted_lines, "_ROUNDS", rounds):
        found, starts, lines = trace(data)
    many = [len(re.findall(rb'"+', line)) > rounds for line in lines]
    for index, line in enumerate(found.lines.tolist()):
        expected = follow(data, starts[line])
        last = len(lines) - 1 if expected.ending == OPEN else expected.last
        reached = any(many[line : last + 1])
        assert found.ending[index] == (MANY if reached else expected.ending)
        assert not (found.plain[index] and many[line])
