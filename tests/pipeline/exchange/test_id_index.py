"""Id indexes on disk: any stretch of their keys, found by bounds and by prefixes."""

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.exchange import id_index
from pipeline.exchange.id_index import (
    FINE_BUCKET_BITS,
    bucket_shift,
    cut_index,
    keys_with_prefixes,
    read_key_range,
    read_keys,
    write_index,
)
from pipeline.staging import attempting
from tests.exchanges import FolderExchange

KEY = st.integers(0, 9) | st.integers(0, 2**64 - 1) | st.integers(2**64 - 5, 2**64 - 1)


@given(st.lists(KEY, max_size=50), st.lists(st.integers(0, 2**64) | KEY, max_size=6))
def test_the_keys_between_two_bounds_are_read(values: list[int], bounds: list[int]) -> None:
    bounds = sorted([0, *bounds, 2**64])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "split-000001.npy"
        write_index(path, np.array(sorted(values), np.uint64))
        assert np.load(path).tolist() == sorted(values)
        assert [entry.name for entry in Path(folder).iterdir()] == [path.name]
        cuts = cut_index(path, bounds)
        found = [read_keys(path, *cut).tolist() for cut in pairwise(cuts)]
        assert [read_key_range(path, *pair).tolist() for pair in pairwise(bounds)] == found
    assert found == [[key for key in sorted(values) if low <= key < high] for low, high in pairwise(bounds)]


def test_an_index_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "split-000001.npy"
    write_index(path, np.arange(9, dtype=np.uint64))
    begin, stop = cut_index(path, [0, 2**64])
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(OSError, match=r"split-000001\.npy"):
        read_keys(path, begin, stop)


def test_a_large_index_is_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "split-000001.npy"
    write_index(path, np.arange(5_000, dtype=np.uint64) * 3)
    assert read_key_range(path, 7, 16).tolist() == [9, 12, 15]
    assert len(read_key_range(path, 0, 2**64)) == 5_000


@pytest.mark.parametrize("damaged", [b"", b"x" * 200, b"\x93NUMPY\x01\x00" + bytes(125)], ids=["empty", "other", "cut"])
def test_a_file_that_is_no_index_is_an_error(damaged: bytes, tmp_path: Path) -> None:
    path = tmp_path / "split-000001.npy"
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"empty|damaged"):
        cut_index(path, [0])
    with pytest.raises(ValueError, match=r"damaged"):
        read_key_range(path, 0, 9)


@given(st.lists(st.tuples(st.sampled_from((0, 1, 2, 7, 2**54 - 1)), st.integers(0, 1023)), max_size=40), st.data())
def test_keys_are_found_by_their_first_54_bits(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    wanted = data.draw(st.sets(st.sampled_from((0, 1, 3, 7, 2**54 - 1))))
    index = sorted(prefix << 10 | bucket for prefix, bucket in pairs)
    prefixes = np.array([prefix << 10 for prefix in sorted(wanted)], np.uint64)
    found = keys_with_prefixes(np.array(index, np.uint64), prefixes)
    assert found.tolist() == [key for key in index if key >> 10 in wanted]


def test_a_fine_bucket_belongs_to_the_bucket_of_its_leading_bits() -> None:
    for bits in range(FINE_BUCKET_BITS + 1):
        buckets = 2**bits
        assert {fine >> bucket_shift(buckets) for fine in range(1024)} == set(range(buckets))
        assert 1023 >> bucket_shift(buckets) == buckets - 1


@given(st.lists(KEY, max_size=200), KEY | st.integers(0, 2**64), KEY | st.integers(0, 2**64))
@example([7] * 200, 7, 8)
@example(list(range(100)) + [2**64 - 1] * 100, 99, 2**64)
def test_of_an_index_elsewhere_the_same_keys_are_read(values: list[int], low: int, stop: int) -> None:
    """With windows of few keys, so that every search takes several."""
    low, stop = sorted((low, stop))
    with TemporaryDirectory() as folder, mock.patch.object(id_index, "_WINDOW", 2):
        write_index(Path(folder) / "a.npy", np.array(sorted(values), np.uint64))
        with attempting(Path(folder) / "attempt", FolderExchange(Path("/between"), Path(folder))):
            found = read_key_range(Path("/between/a.npy"), low, stop).tolist()
    assert found == [key for key in sorted(values) if low <= key < stop]


@pytest.mark.parametrize("skewed", [False, True])
def test_of_a_large_index_elsewhere_little_more_is_read_than_wanted(skewed: bool, tmp_path: Path) -> None:
    keys = np.sort(np.random.default_rng(1).integers(0, 2**64, 1_000_000, np.uint64))
    if skewed:
        keys = np.sort(keys >> np.uint64(40))
    low, stop = int(keys[400_000]), int(keys[410_000])
    write_index(tmp_path / "a.npy", keys)
    exchange = FolderExchange(Path("/between"), tmp_path)
    with attempting(tmp_path / "attempt", exchange):
        found = read_key_range(Path("/between/a.npy"), low, stop)
    assert np.array_equal(found, keys[(keys >= low) & (keys < stop)])
    assert sum(size for _, size in exchange.reads) < 2_000_000
    assert len(exchange.reads) <= (20 if skewed else 1)
