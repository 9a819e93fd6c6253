"""Packets of MySQL's text protocol become the rows that were written into them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.native.packets import Stop, Walk, read_packets
from tests.harness import library

END = b"\xfe\0\0\0\0"
FAULT = b"\xff\x15\x04#28000no"
VALUES = st.one_of(st.none(), st.sampled_from(["", "a", "é🐘", "x" * 250, "y" * 251, "z" * 70_000]))


def length(size: int) -> bytes:
    if size < 251:
        return bytes([size])
    return b"\xfc" + size.to_bytes(2, "little") if size < 2**16 else b"\xfd" + size.to_bytes(3, "little")


def packet(payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + b"\7" + payload


def row(values: tuple[str | None, ...]) -> bytes:
    texts = [None if value is None else value.encode() for value in values]
    return packet(b"".join(b"\xfb" if text is None else length(len(text)) + text for text in texts))


def read(data: bytes, columns: int) -> tuple[list[tuple[str | None, ...]], int, Stop]:
    array = np.frombuffer(data, np.uint8)
    walk = Walk(Path(library()), array)
    stop = walk.on(len(array) // 2)
    stop = walk.on(len(array)) if stop == Stop.CUT else stop
    return read_packets(Path(library()), array[: walk.at], columns).rows(), walk.at, stop


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=12), st.integers(0, 10**6))
def test_rows_are_those_that_were_written_wherever_the_bytes_are_cut(
    rows: list[tuple[str | None, ...]], cut: int
) -> None:
    data = b"".join(row(values) for values in rows)
    cut = cut % (len(data) + 1)
    first, taken, stop = read(data[:cut], 3)
    assert stop == Stop.CUT
    second, more, stop = read(data[taken:] + packet(END), 3)
    assert (first + second, taken + more, stop) == (rows, len(data), Stop.END)


@pytest.mark.parametrize(("rest", "stop"), [(packet(FAULT), Stop.FAULT), (b"\xff\xff\xff\0abc", Stop.TOO_LARGE)])
def test_what_ends_the_rows(rest: bytes, stop: Stop) -> None:
    good = row(("a", None))
    assert read(good + rest, 2) == ([("a", None)], len(good), stop)


@pytest.mark.parametrize(
    "payload",
    [b"\1a", b"\1a\1b\1c", b"\1a\5b", b"\1a\xfc\1", b"\1a\xfe\xff\xff\xff\xff\xff\xff\xff\xffb", b"\1a\xff", b""],
)
def test_a_packet_that_is_no_row_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="no row"):
        read(row(("a", None)) + packet(payload), 2)


def test_a_text_may_begin_as_the_end_does() -> None:
    huge = b"\xfe" + (70_000).to_bytes(8, "little") + b"x" * 70_000
    assert read(packet(huge) + packet(END), 1) == ([("x" * 70_000,)], 70_013, Stop.END)
