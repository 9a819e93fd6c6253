"""In how many buckets a data set is made, by its memory."""

import polars as pl

from pipeline.datasets.dataset import dataset
from pipeline.datasets.sizes import Memory, choose_buckets
from pipeline.sources.columns import Int
from pipeline.sources.contract import Contract


class _Row(Contract):
    a = Int("first")
    b = Int("second")


@dataset(_Row, grain="one row per a", by="a", key="a")
def _whole(given: pl.LazyFrame) -> pl.LazyFrame:
    return given


@dataset(_Row, grain="one row per a", by="a", key="a", partition_by="b")
def _parts(given: pl.LazyFrame) -> pl.LazyFrame:
    return given


def test_a_table_of_partitions_has_buckets_where_another_one_of_its_size_has_one() -> None:
    """As many bytes as four million payments have, under 2 GB: they took 1.7 GB, and 2.05 GB with all processes."""
    memory = Memory(2 * 10**9, 2)
    assert choose_buckets(_whole, 404_000_000, 0, memory, alone=True) == 1
    assert choose_buckets(_parts, 404_000_000, 0, memory, alone=True) == 2
