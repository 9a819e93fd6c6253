"""Keys that the library finds are those that Python's sets find, and copies are those that a dict finds."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange.id_index import FINE_MASK
from pipeline.native.copies import Part, find_keys, judge_copies
from tests.harness import library

WORD = 2**64 - 1
Row = tuple[int, int, str, int, int]
"""id_hi, id_lo, user_id, region, micro-minutes."""
ROWS = st.lists(
    st.tuples(
        st.sampled_from([1, 2, WORD]),
        st.sampled_from([0, 16, WORD]),  # 0 and 16 share a slot of the hash table
        st.sampled_from(["", "u", "v", "longer"]),
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    max_size=12,
)


@given(st.data())
def test_all_positions_of_wanted_keys_and_no_others(data: st.DataObject) -> None:
    leading = data.draw(st.sampled_from([0, 1, 9, 30, 48]))
    mask = data.draw(st.sampled_from([WORD, WORD ^ int(FINE_MASK)]))
    common = data.draw(st.integers(0, WORD)) & ~(WORD >> leading)
    keys = st.integers(0, WORD >> leading).map(lambda rest: common | rest)
    wanted = sorted({key & mask for key in data.draw(st.lists(keys, max_size=60))})
    near = st.sampled_from(wanted).flatmap(lambda key: st.integers(0, 3).map(key.__xor__)) if wanted else keys
    parts = data.draw(st.lists(st.lists(keys | near, max_size=60), max_size=4))
    spare_bits = data.draw(st.integers(3, 10))
    arrays = [np.array(part, np.uint64) for part in parts]
    found = find_keys(
        Path(library()), arrays, np.array(wanted, np.uint64), mask=mask, leading=leading, spare_bits=spare_bits
    )
    expected = [[position for position, key in enumerate(part) if key & mask in set(wanted)] for part in parts]
    assert [positions.tolist() for positions in found] == expected


def test_of_many_keys_the_same_are_found_as_by_numpy() -> None:
    dice = np.random.default_rng(3)
    keys = dice.integers(0, 2**64, 200_000, np.uint64)
    wanted = np.unique(np.append(keys[::7], dice.integers(0, 2**64, 5_000, np.uint64)))
    (found,) = find_keys(Path(library()), [keys], wanted)
    assert np.array_equal(found, np.flatnonzero(np.isin(keys, wanted)))


def part_of(rows: list[Row]) -> Part:
    id_hi, id_lo, users, region, micro = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return Part(
        np.array(id_hi, np.uint64),
        np.array(id_lo, np.uint64),
        pa.array(["front", *users], pa.large_string())[1:],  # texts that do not begin at their buffer's start
        np.array(region, np.uint16),
        np.array(micro, np.int64),
    )


@given(st.lists(ROWS, min_size=1, max_size=3), st.data())
def test_candidates_of_one_id_are_copies_or_ambiguous(parts: list[list[Row]], data: st.DataObject) -> None:
    rows = [row for part in parts for row in part]
    positions = [position for position in range(len(rows)) if data.draw(st.booleans())]
    contents: dict[tuple[int, int], list[tuple[str, int, int]]] = defaultdict(list)
    copies, ambiguous = [], []
    for number, position in enumerate(positions):
        id_hi, id_lo, *content = rows[position]
        if contents[id_hi, id_lo]:
            copies.append(number)
        contents[id_hi, id_lo].append(tuple(content))
    for number, position in enumerate(positions):
        if len(set(contents[rows[position][:2]])) > 1:
            ambiguous.append(number)
    found = judge_copies(Path(library()), [part_of(part) for part in parts], np.array(positions, np.int64))
    assert found.ambiguous.tolist() == ambiguous
    assert found.copies.tolist() == [number for number in copies if number not in ambiguous]
