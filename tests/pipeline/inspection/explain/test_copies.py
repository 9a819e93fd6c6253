"""Rows of the store by id and by user; the id index finds what NumPy finds by comparing all with all."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange.id_index import FINE_MASK
from pipeline.inspection.explain.copies import (
    NO_ROWS,
    count_rows_beside_user,
    fine_bucket,
    id_halves,
    prefixes_in_index,
    prefixes_of,
    rows_beside_user,
    rows_of_ids,
)
from tests.examples import tries
from tests.pipeline.inspection.explain.conftest import Make


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


def test_rows_are_found_by_id_whatever_bucket_they_are_in(make: Make) -> None:
    published = make().published
    splits = [split for file in published.counted for split in file.splits]
    wanted = np.sort(np.array([id_prefix(log_id) for log_id in ("a", "c", "none")], np.uint64))
    rows = rows_of_ids(published.store, splits, wanted)
    found = sorted(rows.select("user_id", "micro_minutes").rows())
    assert found == [("u1", 5_000_000), ("u1", 10_000_000), ("u1", 12_000_000), ("u2", 7_000_000)]
    assert rows.schema == NO_ROWS.schema
    assert {place >> 32 for place in rows["place"]} == {split.number for split in splits}


def test_rows_in_the_bucket_of_a_user_are_left_out(make: Make) -> None:
    published = make(buckets=1024).published
    splits = [split for file in published.counted for split in file.splits]
    prefixes = np.array([id_prefix("c")], np.uint64)
    assert rows_of_ids(published.store, splits, prefixes, besides=fine_bucket("u1"))["user_id"].to_list() == ["u2"]
    assert rows_of_ids(published.store, splits, prefixes, besides=fine_bucket("u2"))["user_id"].to_list() == ["u1"]


def test_no_prefix_and_no_index_find_nothing(make: Make) -> None:
    published = make().published
    splits = [split for file in published.counted for split in file.splits]
    assert len(rows_of_ids(published.store, splits, np.empty(0, np.uint64))) == 0
    prefixes = np.array([id_prefix("a")], np.uint64)
    unfinished = [replace(split, result=None) for split in splits]
    assert len(rows_of_ids(published.store, unfinished, prefixes)) == 0
    assert count_rows_beside_user(unfinished, "u1") == 0


@pytest.mark.parametrize("passes", [1, 2, 8])
@pytest.mark.parametrize("buckets", [1, 1024])
def test_the_passes_over_a_users_buckets_share_its_rows(passes: int, buckets: int, make: Make) -> None:
    file = b"".join(b"id%03d,u%d,,,,1.0.0.1,%d\n" % (number, number % 3, number) for number in range(90))
    published = make([file], buckets=buckets, totals={}).published
    splits = [split for known in published.counted for split in known.splits]
    parts = [rows_beside_user(published.store, splits, "u1", passes, number) for number in range(passes)]
    rows = pl.concat(parts)
    assert len(rows) == count_rows_beside_user(splits, "u1")
    own = rows.filter(pl.col("user_id") == "u1")
    assert sorted(own["micro_minutes"]) == [number * 10**6 for number in range(1, 90, 3)]
    for number, part in enumerate(parts):
        leading = {(id_hi & 2**64 - 1) >> 64 - (passes.bit_length() - 1) for id_hi in part["id_hi"]}
        assert leading <= {number}


@tries(30)
@given(st.text(max_size=20))
def test_ids_and_buckets_follow_from_the_hashes(text: str) -> None:
    high, low = id_halves(text)
    assert ((high & 2**64 - 1) << 64 | low & 2**64 - 1) == xxhash.xxh3_128_intdigest(text.encode())
    assert -(2**63) <= min(high, low) <= max(high, low) < 2**63
    assert fine_bucket(text) == xxhash.xxh3_64_intdigest(text.encode()) // 2**54
    rows = pl.DataFrame({"id_hi": [high]})
    assert prefixes_of(rows).tolist() == [id_prefix(text)]


def id_prefix(log_id: str) -> int:
    """The leading 54 bits of an id, as the index has them."""
    return xxhash.xxh3_128_intdigest(log_id.encode()) >> 64 & ~1023
