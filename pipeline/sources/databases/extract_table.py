"""Extracts rows of a table: the good ones, typed, into Parquet files, and the rejected ones."""

import functools
import json
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import polars as pl

from pipeline.engines import Advance
from pipeline.sources.contract import Contract
from pipeline.sources.extracted import Extracted, ExtractWriter, Stamp
from pipeline.sources.typed_rows import Rejected, type_rows

_SEEDS = (1, 2)


def row_hash(columns: Sequence[str], seed: int) -> pl.Expr:
    """A hash of 64 bits of each row, an eighth of the work that hashing a struct is. Each column has a seed of its own,
    so that no value counts the same in two columns."""
    cells = (pl.col(name).hash(seed * 1_000_003 + number) for number, name in enumerate(columns))
    return functools.reduce(operator.add, cells).hash(seed)


@dataclass
class RowDigest:
    """A digest of rows as a multiset: equal rows in any order have equal digests, with one version of Polars."""

    rows: int = 0
    _sums: list[int] = field(default_factory=lambda: [0 for _ in _SEEDS])

    def add(self, rows: pl.DataFrame) -> None:
        """Take further rows in."""
        if not len(rows):
            return
        found = rows.select(row_hash(rows.columns, seed).sum().alias(str(seed)) for seed in _SEEDS).row(0)
        self.rows += len(rows)
        self._sums = [(before + more) % 2**64 for before, more in zip(self._sums, found, strict=True)]

    def join(self, other: "RowDigest") -> None:
        """Take the rows of another digest in."""
        self.rows += other.rows
        self._sums = [(one + more) % 2**64 for one, more in zip(self._sums, other._sums, strict=True)]

    @property
    def text(self) -> str:
        """Hexadecimal digits, behind the number of rows."""
        return "-".join([str(self.rows), *(f"{value:016x}" for value in self._sums)])


def extract_rows(
    batches: Iterable[pl.DataFrame], contract: type[Contract], stamp: Stamp, writer: ExtractWriter, advance: Advance,
    key: Sequence[str] = (),
) -> tuple[Extracted, RowDigest]:  # fmt: skip
    """Extract batches of rows with ``writer``. Columns that they lack become null.

    Returns what was written, and the digest of all rows. ``line`` of a rejected row counts the rows as they came, its
    bytes are the row as JSON, and the columns ``key`` tell which row it is.
    """
    digest, before = RowDigest(), 0
    for batch in batches:
        _extract_batch(batch, contract, stamp, writer, digest, key, before)
        before += len(batch)
        advance(len(batch))
    return writer.finish(), digest


def _extract_batch(
    batch: pl.DataFrame, contract: type[Contract], stamp: Stamp, writer: ExtractWriter, digest: RowDigest,
    key: Sequence[str], before: int,
) -> None:  # fmt: skip
    """Extract one batch, behind ``before`` rows. Its frames are gone when the next batch is read."""
    texts = batch.select(
        pl.col(name) if name in batch.columns else pl.lit(None, column.dtype).alias(name)
        for name, column in contract.columns.items()
    )
    good, rejected = type_rows(texts, contract)
    digest.add(good)
    if len(good):
        writer.add(stamp.add_to(good))
    if rejected:
        digest.add(rejected.reasons)
        _reject(writer, stamp.source, before, texts, rejected, key)


def key_text(key: Sequence[str]) -> pl.Expr:
    """The key of a row as one text; null where a column is null. No two keys have one text: of several columns each
    value has its length before it."""
    texts = [pl.col(name).cast(pl.String) for name in key]
    if len(texts) == 1:
        return texts[0]
    return pl.concat_str([pl.format("{}:{}", text.str.len_bytes(), text) for text in texts], separator=",")


def _reject(
    writer: ExtractWriter, source: str, before: int, texts: pl.DataFrame, rejected: Rejected, key: Sequence[str]
) -> None:
    rows = texts[list(rejected.rows)].iter_rows(named=True)
    reasons = rejected.reasons.iter_rows(named=True)
    known = writer.hide(rejected.typed.select(key)).select(key_text(key)).to_series() if key else repeat(None)
    for number, row, found, name in zip(rejected.rows, rows, reasons, known, strict=bool(key)):
        raw = json.dumps(row, ensure_ascii=False, default=str).encode()
        writer.reject(source, before + number + 1, found["check"], found["column"], found["value"], raw, name)
