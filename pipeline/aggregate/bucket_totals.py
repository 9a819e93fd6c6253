"""Totals of a bucket in bounded memory: where they take too much, they wait on disk in parts, by user.

A part has all sums of its users, so that parts are added up one by one. Sums of integers make this exact.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import polars_hash as plh
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.totals import open_totals
from pipeline.exchange.bucket_totals import (
    RegionSums,
    mean_bytes,
    read_totals_in_pieces,
    write_pieces,
    write_totals,
)
from pipeline.exchange.row_memory import batch_rows
from pipeline.exchange.workspace import bucket_file
from pipeline.machine import writing
from pipeline.native.arrow import to_arrow, to_frame
from pipeline.staging import staged

_PARTS = 256
"""Parts of the users of a bucket. Each is added up alone."""
_MIX = 0x9E3779B97F4A7C15
"""An odd number that spreads a hash: users of one bucket have the same leading bits."""


class BucketTotals:
    """The totals of one bucket: add to them, then ``write`` them. Its ``with`` block frees them.

    ``expected``: about how many totals come.
    """

    def __init__(self, context: AggregateContext, bucket: int, expected: int = 0) -> None:
        self._context, self._bucket = context, bucket
        self._adder = open_totals(context.library, expected)
        self._adder.__enter__()
        self._spilled: list[Path] = []

    def __enter__(self) -> "BucketTotals":
        return self

    def __exit__(self, *_: object) -> None:
        self._adder.__exit__()
        for path in self._spilled:
            path.unlink(missing_ok=True)

    def add(self, rows: pa.Table, skipped: NDArray[np.bool_], sign: int = 1) -> None:
        """Add one event for each row that is not ``skipped`` (``TotalsAdder.add``)."""
        self._adder.add(rows, skipped, sign)
        self._check_memory()

    def add_totals(self, totals: pa.Table) -> None:
        """Add sums of earlier rows (``TotalsAdder.add_totals``)."""
        self._adder.add_totals(totals)
        self._check_memory()

    def add_frame(self, rows: pl.DataFrame) -> None:
        """Add one event for each row (``TotalsAdder.add_frame``)."""
        self._adder.add_frame(rows)
        self._check_memory()

    def write(self) -> tuple[RegionSums, int]:
        """Write the totals of the bucket (``write_totals``); returns their sums, and the number of users.

        Raises BalanceError where a sum passes int64.
        """
        path = self._context.workspace.path("totals", bucket_file(self._bucket))
        if not self._spilled:
            table, users = self._adder.ordered()
            return write_totals(path, table), users
        self._spill()
        return self._join_parts(path)

    @property
    def memory(self) -> int:
        """Bytes that the totals take now (``TotalsAdder.memory``)."""
        return self._adder.memory

    def _check_memory(self) -> None:
        if self._adder.memory > self._context.bucket_bytes:
            self._spill()

    def _spill(self) -> None:
        """Move all sums to a file with a row group for each part."""
        table, _ = self._adder.ordered(whole=True)
        self._adder.__exit__()
        path = self._path(f"spilled-{len(self._spilled)}")
        self._spilled.append(path)
        parts = _part_of(table)
        with (
            writing(path),
            pq.ParquetWriter(
                path,
                table.schema,
                compression="lz4",
                use_dictionary=False,
                write_statistics=False,
                write_batch_size=batch_rows(mean_bytes(table)),
            ) as writer,
        ):
            for part in range(_PARTS):
                writer.write_table(
                    table.take(to_arrow(np.flatnonzero(parts == part))), row_group_size=max(1, len(table))
                )
        del table
        self._adder = open_totals(self._context.library)
        self._adder.__enter__()

    def _join_parts(self, path: Path) -> tuple[RegionSums, int]:
        """Add up every part, and write all of them in order of region."""
        users = 0
        parts: list[tuple[Path, RegionSums]] = []
        for number in range(_PARTS):
            with open_totals(self._context.library) as adder:
                for spilled in self._spilled:
                    adder.add_totals(_read_part(spilled, number))
                table, found = adder.ordered()
            users += found
            if len(table):
                of_part = self._path(f"part-{number}")
                parts.append((of_part, write_totals(of_part, table)))
            del table
        sums = _add_sums(sums for _, sums in parts)
        write_pieces(path, chain.from_iterable(_rows_of(region, parts) for region in sums))
        for of_part, _ in parts:
            of_part.unlink()
        return sums, users

    def _path(self, name: str) -> Path:
        return staged(self._context.workspace.path("totals", f"{name}-{bucket_file(self._bucket)}"))


def _part_of(totals: pa.Table) -> NDArray[np.int64]:
    """The part of each total, by its user."""
    users = to_frame(totals.select(["user_id"]))
    hashed = users.select(plh.col("user_id").nchash.xxh3_64()).to_series().to_numpy()
    mixed = hashed * np.uint64(_MIX)  # the product wraps
    return (mixed >> np.uint64(64 - (_PARTS.bit_length() - 1))).astype(np.int64)


def _read_part(path: Path, number: int) -> pa.Table:
    return pq.ParquetFile(path, pre_buffer=False).read_row_group(number, use_threads=False)


def _add_sums(parts: Iterable[RegionSums]) -> RegionSums:
    """The sums of all parts, in order of the regions' codes."""
    sums: dict[int, Counter[int]] = {}
    for part in parts:
        for region, values in part.items():
            sums.setdefault(region, Counter()).update(dict(enumerate(values)))
    return {region: (values[0], values[1], values[2]) for region, values in sorted(sums.items())}


def _rows_of(region: int, parts: list[tuple[Path, RegionSums]]) -> Iterator[pa.Table]:
    """The rows of a region in all parts."""
    for path, sums in parts:
        first = sum(rows for code, (rows, _, _) in sums.items() if code < region)
        if region in sums:
            yield from read_totals_in_pieces(path, first, sums[region][0])
