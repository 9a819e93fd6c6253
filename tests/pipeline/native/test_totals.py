"""Totals in the library are those that a dict of Python adds up."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.native.totals import TotalsTable
from tests.harness import library

Row = tuple[str, int, int, bool]
"""user_id, region, micro-minutes, whether the row is skipped."""
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b", "é", "a" * 40]),
        st.sampled_from([0, 1, 7, 65_535]),
        st.integers(0, 10**15),
        st.booleans(),
    ),
    max_size=40,
)
Totals = dict[tuple[str, int], list[int]]
"""(user_id, region) -> [micro-minutes, events]."""


@contextmanager
def totals_table(expected: int = 0) -> Iterator[TotalsTable]:
    table = TotalsTable(Path(library()), expected)
    try:
        yield table
    finally:
        table.free()


def add(table: TotalsTable, rows: list[Row], sign: int) -> None:
    users, regions, micro, skipped = zip(*rows, strict=True) if rows else ((), (), (), ())
    table.add(
        pa.array(["front", *users], pa.large_string())[1:],  # texts that do not begin at their buffer's start
        np.array(regions, np.uint16),
        np.array(micro, np.int64),
        np.array(skipped, bool),
        sign,
    )


def add_up(totals: Totals, rows: list[Row], sign: int) -> None:
    for user, region, micro, skipped in rows:
        if not skipped:
            totals[user, region][0] += sign * micro
            totals[user, region][1] += sign


def read(table: TotalsTable) -> tuple[Totals, int, str | None]:
    found, users, beyond = table.ordered()
    assert found.schema.types == [pa.large_string(), pa.uint16(), pa.int64(), pa.int64()]
    assert found["region"].to_pylist() == sorted(found["region"].to_pylist())
    totals = {(row["user_id"], row["region"]): [row["micro_minutes"], row["event_count"]] for row in found.to_pylist()}
    assert len(totals) == len(found), "a user and region is in two rows"
    return totals, users, beyond


@given(ROWS, ROWS, st.integers(0, 2))
@example([("a", 1, 5, False)], [("a", 1, 5, False)], 0)
def test_rows_are_added_and_subtracted(added: list[Row], subtracted: list[Row], copies: int) -> None:
    expected: Totals = defaultdict(lambda: [0, 0])
    with totals_table() as table:
        for rows, sign in ([(added, 1)] * (1 + copies)) + [(subtracted, -1)]:
            add(table, rows, sign)
            add_up(expected, rows, sign)
        found, users, beyond = read(table)
    expected = {key: total for key, total in expected.items() if total[1]}
    assert found == expected
    assert users == len({user for user, _ in expected})
    assert beyond is None


@given(ROWS, st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 10**15), st.integers(1, 9))))
@example([], [("a", 1, 5, 2), ("a", 1, 6, 3)])
def test_totals_of_earlier_rows_are_added(rows: list[Row], earlier: list[tuple[str, int, int, int]]) -> None:
    expected: Totals = defaultdict(lambda: [0, 0])
    with totals_table() as table:
        add(table, rows, 1)
        add_up(expected, rows, 1)
        for kind in (pa.string(), pa.large_string()):
            users, regions, micro, events = zip(*earlier, strict=True) if earlier else ((), (), (), ())
            table.add_totals(
                pa.array(users, kind),
                np.array(regions, np.uint16),
                np.array(micro, np.int64),
                np.array(events, np.int64),
            )
            for user, region, minutes, count in earlier:
                expected[user, region][0] += minutes
                expected[user, region][1] += count
        found, _, beyond = read(table)
    assert found == {key: total for key, total in expected.items() if total[1]}
    assert beyond is None


@pytest.mark.parametrize("room", [0, 100_000])
def test_the_table_grows_beyond_the_room_that_was_expected(room: int) -> None:
    numbers = np.arange(50_000)
    users = pa.array([f"user-{number // 2}" for number in numbers], pa.large_string())
    with totals_table(room) as table:
        for _ in range(2):
            table.add(users, (numbers % 2).astype(np.uint16), numbers, np.zeros(50_000, bool), 1)
        found, count, _ = read(table)
    assert count == 25_000
    assert found == {(f"user-{number // 2}", number % 2): [2 * number, 2] for number in range(50_000)}


@pytest.mark.parametrize("user", ["a", "b"], ids=["first total", "later total"])
def test_a_sum_beyond_int64_names_its_user(user: str) -> None:
    with totals_table() as table:
        add(table, [("a", 1, 2**62, False), ("b", 1, 2**62, False), ("b", 2, 2**62, False)], 1)
        assert read(table)[2] is None
        add(table, [(user, 1, 2**62, False)], 1)
        assert read(table)[2] == user


def test_nothing_gives_a_table_without_rows() -> None:
    with totals_table() as table:
        add(table, [], 1)
        assert read(table) == ({}, 0, None)
