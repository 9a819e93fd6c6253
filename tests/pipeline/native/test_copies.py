"""Keys that the library finds are those that Python's sets find, and copies are those that a dict finds."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange.id_index import FINE_MASK
from pipeline.native.copies import Part, decide_copies, find_keys, sort_keys
from tests.harness import library

WORD = 2**64 - 1
MISSING = -(2**63)
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


@given(
    alike=st.sampled_from([0, 1, 9, 30, 48, 63]),
    few=st.lists(st.integers(0, WORD), min_size=1, max_size=40),
    often=st.integers(1, 60),
    seed=st.integers(0, 2**32),
)
def test_keys_are_sorted_whatever_they_have_in_common(alike: int, few: list[int], often: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    keys = dice.choice(np.array(few, np.uint64), len(few) * often)
    keys[::3] = dice.integers(0, 2**64, len(keys[::3]), np.uint64)
    keys = keys >> np.uint64(alike) | np.uint64(few[0]) & ~np.uint64(WORD >> alike)
    expected = sorted(keys.tolist())
    assert sort_keys(Path(library()), keys.copy()).tolist() == expected
    assert sort_keys(None, keys).tolist() == expected


@pytest.mark.parametrize("count", [0, 1, 16, 17, 4096, 4097, 300_000])
def test_many_keys_are_sorted(count: int) -> None:
    dice = np.random.default_rng(count)
    for keys in (dice.integers(0, 2**64, count, np.uint64), np.arange(count, 0, -1).astype(np.uint64)):
        assert np.array_equal(sort_keys(Path(library()), keys.copy()), np.sort(keys))


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


@given(st.lists(ROWS, min_size=1, max_size=3), st.sampled_from(["longest", "first", "last"]), st.data())
def test_of_each_id_one_content_stands_and_others_lose(parts: list[list[Row]], keep: str, data: st.DataObject) -> None:
    rows = [row for part in parts for row in part]
    positions = [position for position in range(len(rows)) if data.draw(st.booleans())]
    times = [data.draw(st.sampled_from([None, 1, 2, 3])) for _ in positions]
    ranks = data.draw(st.sampled_from([[0, 1], [1, 0]]))
    contents: dict[tuple[int, int], dict[tuple[str, int, int], list[int]]] = defaultdict(dict)
    for number, position in enumerate(positions):
        id_hi, id_lo, *content = rows[position]
        contents[id_hi, id_lo].setdefault(tuple(content), []).append(number)

    def order(content: tuple[str, int, int], numbers: list[int]) -> tuple[object, ...]:
        user, region, micro = content
        known = [time for number in numbers if (time := times[number]) is not None]
        decides = {"longest": [0], "first": known, "last": [-time for time in known]}[keep]
        return (min(decides, default=9), -micro, user.encode(), ranks[region])

    copies = sorted(number for of_id in contents.values() for numbers in of_id.values() for number in numbers[1:])
    losers = sorted(
        numbers[0]
        for of_id in contents.values()
        for _, numbers in sorted(of_id.items(), key=lambda item: order(*item))[1:]
    )
    stamps = None
    if keep != "longest":
        stamps = np.array([MISSING if time is None else time for time in times], np.int64)
    arguments = Path(library()), [part_of(part) for part in parts], np.array(positions, np.int64), keep
    found = decide_copies(*arguments, np.array(ranks, np.uint16), stamps)
    assert np.flatnonzero(found.copies).tolist() == copies
    assert np.flatnonzero(found.losers).tolist() == losers
    assert np.flatnonzero(found.stand).tolist() == sorted({*range(len(positions))} - {*copies, *losers})
    only_copies = decide_copies(*arguments, None, stamps)
    assert np.array_equal(only_copies.copies, found.copies)
    assert not only_copies.losers.any()
    for answer in found, only_copies:
        if answer.timestamps is not None:
            best = max if keep == "last" else min
            for numbers in (numbers for of_id in contents.values() for numbers in of_id.values()):
                known = [time for number in numbers if (time := times[number]) is not None]
                assert answer.timestamps[numbers[0]] == best(known, default=MISSING)


@pytest.mark.parametrize("seed", range(20))
def test_contents_that_lie_far_apart_are_compared(seed: int) -> None:
    """Ids with one to five contents, each one to three times, in any order: more rows than are looked ahead."""
    dice = np.random.default_rng(seed)
    contents = [(key, micro) for key in range(60) for micro in range(1, 1 + int(dice.integers(1, 6)))]
    rows = [content for content in contents for _ in range(dice.integers(1, 4))]
    dice.shuffle(rows)
    longest = dict(contents)  # the last content of each id is the longest
    first = {content: rows.index(content) for content in contents}
    losers = sorted(position for (key, micro), position in first.items() if micro < longest[key])
    part = part_of([(key, key * 16, f"user-{micro}", 0, micro) for key, micro in rows])
    found = decide_copies(Path(library()), [part], np.arange(len(rows)), "longest", np.zeros(1, np.uint16))
    assert np.flatnonzero(~found.copies).tolist() == sorted(first.values())
    assert np.flatnonzero(found.losers).tolist() == losers


@pytest.mark.parametrize("odd", [0, 1, 7, 40])
def test_ids_that_grow_are_decided_like_those_that_do_not(odd: int) -> None:
    """2,000 ids grow or shrink from copy to copy, some of them with copies of the longest; ``odd`` ids have contents in
    any order, ties and copies of shorter ones: few enough to be compared apart from the others, or too many."""
    dice = np.random.default_rng(odd)
    rows: list[tuple[int, int, str]] = []
    for copy in range(6):
        for key in range(2_000):
            if key < odd:
                rows.append((key, int(dice.integers(1, 5)), f"user-{dice.integers(2)}"))
            else:
                rows.append((key, [copy + 1, 9 - copy, max(1, copy)][key % 3], "user"))
    contents: dict[int, dict[tuple[int, str], int]] = defaultdict(dict)
    for position, (key, *content) in enumerate(rows):
        contents[key].setdefault((content[0], content[1]), position)
    winners = {min(of_id.items(), key=lambda item: (-item[0][0], item[0][1]))[1] for of_id in contents.values()}
    firsts = {position for of_id in contents.values() for position in of_id.values()}
    part = part_of([(key, key * 16, user, 0, micro) for key, micro, user in rows])
    found = decide_copies(Path(library()), [part], np.arange(len(rows)), "longest", np.zeros(1, np.uint16))
    assert np.flatnonzero(~found.copies).tolist() == sorted(firsts)
    assert np.flatnonzero(found.losers).tolist() == sorted(firsts - winners)
    only_copies = decide_copies(Path(library()), [part], np.arange(len(rows)), "longest", None)
    assert np.array_equal(only_copies.copies, found.copies)
    assert not only_copies.losers.any()


def test_a_million_users_of_one_id_are_compared_in_a_moment() -> None:
    users = np.arange(200_000)
    bounds = np.arange(0, 8 * len(users) + 1, 8)
    texts = pa.LargeStringArray.from_buffers(
        len(users), pa.py_buffer(bounds), pa.py_buffer("".join(f"{user:08d}" for user in users).encode())
    )
    one, zero = np.ones(len(users), np.uint64), np.zeros(len(users), np.uint16)
    part = Part(one, one, texts, zero, np.full(len(users), 7, np.int64))
    found = decide_copies(Path(library()), [part], users, "longest", np.zeros(1, np.uint16))
    assert (found.copies.sum(), found.losers.sum(), np.flatnonzero(found.stand).tolist()) == (0, len(users) - 1, [0])
