"""Rows of files that cannot be read again, copied with half of each pair."""

from types import SimpleNamespace
from typing import Any, cast

import polars as pl

from pipeline.exchange.bucket_rows import read_rows
from pipeline.exchange.workspace import Workspace, split_file
from pipeline.inspection.geo_diff.pairs import UNREAD, split_pair
from pipeline.inspection.geo_diff.unread_files import copy_unread
from pipeline.native.arrow import to_frame
from tests.harness import HEADER, Harness
from tests.pipeline.inspection.explain.conftest import known_files
from tests.pipeline.inspection.geo_diff.conftest import Tables

FILES = [
    b"a,u1,,,,1.1.1.1,1\nb,u2,,,,2.1.1.1,2\nc,u3,,,,9.9.9.9,3\nd,u4,,,,10.0.0.1,4\ne,u5,,,,nowhere,5\n",
    b"f,u1,,,,1.1.1.1,6\n",
    b"g,u1,,,,1.1.1.1,bad\n",
]


def test_rows_get_pairs_whose_new_region_is_unread(tables: Tables) -> None:
    with Harness([HEADER + file for file in FILES], buckets=4) as run, Harness([HEADER + FILES[1]]) as again:
        known = known_files(run)
        published = SimpleNamespace(counted=known, store=run.workspace)
        phase1 = again.read()
        ledgers = copy_unread(
            cast(Any, published), again.workspace, run.names, tables.pairs.names, phase1, {1: "gone", 3: "gone"}
        )
        first = max(split.result.split.number for split in phase1.splits) + 1
        assert [ledger.file.path for ledger in ledgers] == [known[0].path, known[2].path]
        assert [placed.result.split.number for ledger in ledgers for placed in ledger.splits] == [first, first + 1]
        assert [ledger.handed_over for ledger in ledgers] == [5, 0]
        assert not any(ledger.at_hand for ledger in ledgers)
        rows = read_all(again.workspace, first, 4)
        found = {user: split_pair(tables.pairs.names[code]) for user, code in rows.select("user_id", "region").rows()}
        assert found == {
            "u1": ("Asia", UNREAD),
            "u2": ("Europe", UNREAD),
            "u3": ("UNKNOWN", UNREAD),
            "u4": ("PRIVATE", UNREAD),
            "u5": ("INVALID", UNREAD),
        }
        stored = read_all(run.workspace, known[0].splits[0].number, 4)
        assert rows.drop("region").equals(stored.drop("region"))
        index_file = run.workspace.path("index", split_file(known[0].splits[0].number, "npy"))
        copied_index = again.workspace.path("index", split_file(first, "npy"))
        assert copied_index.read_bytes() == index_file.read_bytes()
        assert not again.workspace.path("rows", split_file(first + 1)).exists()


def read_all(store: Workspace, split: int, buckets: int) -> pl.DataFrame:
    """All rows of a split, bucket by bucket: a bucket's rows must be where they were."""
    tables = [read_rows(store.path("rows", split_file(split)), bucket, buckets) for bucket in range(buckets)]
    return pl.concat(
        [
            to_frame(table).with_columns(bucket=pl.lit(bucket))
            for bucket, table in enumerate(tables)
            if table is not None
        ]
    )
