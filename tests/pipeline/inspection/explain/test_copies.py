"""The id index asked for many ids at once: what NumPy finds by comparing all with all."""

import numpy as np
import pytest

from pipeline.exchange.id_index import FINE_MASK
from pipeline.inspection.explain.copies import prefixes_in_index


@pytest.mark.parametrize("size", [0, 1, 5_000])
def test_many_prefixes_are_found_in_one_pass(size: int) -> None:
    chance = np.random.default_rng(size)
    ends = np.array([0, 1023, 1024, 2**63 - 1, 2**63, 2**64 - 1024, 2**64 - 1], np.uint64)
    index = np.sort(np.append(chance.integers(0, 2**64, size, np.uint64), ends))
    index = np.sort(np.append(index, index[::7]))  # some ids twice
    wanted = np.unique(np.append(index[::3], chance.integers(0, 2**64, 1_000, np.uint64)) & ~FINE_MASK)
    found = prefixes_in_index(index, wanted)
    assert found.tolist() == wanted[np.isin(wanted, index & ~FINE_MASK)].tolist()


def test_an_empty_index_has_none() -> None:
    assert len(prefixes_in_index(np.empty(0, np.uint64), np.array([0, 1024], np.uint64))) == 0
