"""Keys that are looked for in compiled code: those that Python's sets find."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange.id_index import FINE_MASK
from pipeline.native.copies import find_keys
from tests.harness import library

WORD = 2**64 - 1


@given(st.data())
def test_all_places_of_wanted_keys_and_no_others(data: st.DataObject) -> None:
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
    expected = [[place for place, key in enumerate(part) if key & mask in set(wanted)] for part in parts]
    assert [places.tolist() for places in found] == expected


def test_of_many_keys_the_same_are_found_as_by_numpy() -> None:
    dice = np.random.default_rng(3)
    keys = dice.integers(0, 2**64, 200_000, np.uint64)
    wanted = np.unique(np.append(keys[::7], dice.integers(0, 2**64, 5_000, np.uint64)))
    (found,) = find_keys(Path(library()), [keys], wanted)
    assert np.array_equal(found, np.flatnonzero(np.isin(keys, wanted)))
