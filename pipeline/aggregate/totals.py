"""Adds up watch times and events by user and region: row by row in the library, or frame by frame in Polars."""

from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import BalanceError
from pipeline.native.arrow import column, to_frame, to_numpy
from pipeline.native.totals import TotalsTable

_SAFE_SUM = 2.0**62 * (1 - 1e-9)
"""If a floating-point sum is below this, the sum of the integers fits int64 with room to spare."""
_WAITING_ROWS = 2_000_000
"""Rows that Polars collects before it adds them up."""
_WAITING_BYTES = 100_000_000
"""Bytes of these rows, at most."""
_FRAME_COPIES = 3
"""How often Polars has a frame in memory while it adds it up."""
_USED = ["user_id", "region", "micro_minutes"]
_TOTALS = [*_USED, "event_count"]
_EMPTY = {"user_id": pl.String, "region": pl.UInt16, "micro_minutes": pl.Int64, "event_count": pl.Int64}


class TotalsAdder(Protocol):
    """Adds up events by user and region. Its ``with`` block frees the sums."""

    def __enter__(self) -> "TotalsAdder": ...

    def __exit__(self, *fault: object) -> None: ...

    def add(self, rows: pa.Table, skipped: NDArray[np.bool_], sign: int = 1) -> None:
        """Add one event for each row that is not ``skipped``; subtract it where ``sign`` is -1.

        ``rows`` has user_id, region and micro_minutes as in ``exchange.row_files.ROW_SCHEMA``, in one chunk.
        """

    def add_totals(self, totals: pa.Table) -> None:
        """Add sums of earlier rows, in columns of ``exchange.bucket_totals.SCHEMA``."""

    def add_frame(self, rows: pl.DataFrame) -> None:
        """Add one event for each row; columns user_id, region and micro_minutes."""

    def ordered(self, *, whole: bool = False) -> tuple[pa.Table, int]:
        """All sums, as ``order_totals`` returns them; if ``whole``, also those without events. Raises BalanceError
        where a sum passes int64."""

    @property
    def memory(self) -> int:
        """Bytes that the sums take, with the copies that ``ordered`` makes."""


def open_totals(library: Path | None, expected: int = 0) -> TotalsAdder:
    """Open an adder: the library's if there is one, else that of Polars. ``expected``: about how many sums come."""
    return _CompiledTotals(library, expected) if library else _PolarsTotals()


class _CompiledTotals:
    def __init__(self, library: Path, expected: int) -> None:
        self._totals = TotalsTable(library, expected)

    def __enter__(self) -> "_CompiledTotals":
        return self

    def __exit__(self, *_: object) -> None:
        self._totals.free()

    def add(self, rows: pa.Table, skipped: NDArray[np.bool_], sign: int = 1) -> None:
        if len(rows):
            users = rows["user_id"].chunk(0)
            self._totals.add(users, column(rows, "region"), column(rows, "micro_minutes"), skipped, sign)

    def add_totals(self, totals: pa.Table) -> None:
        for batch in totals.select(_TOTALS).to_batches():
            self._totals.add_totals(batch["user_id"], *(to_numpy(batch[name]) for name in _TOTALS[1:]))

    def add_frame(self, rows: pl.DataFrame) -> None:
        table = rows.select(_USED).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        self.add(table, np.zeros(len(rows), bool))

    @property
    def memory(self) -> int:
        return self._totals.memory

    def ordered(self, *, whole: bool = False) -> tuple[pa.Table, int]:
        table, users, beyond = self._totals.ordered(whole=whole)
        if beyond is not None:
            raise _too_large()
        return table, users


class _PolarsTotals:
    def __init__(self) -> None:
        self._waiting: list[pl.DataFrame] = []
        self._rows = self._bytes = 0  # of those that wait

    def __enter__(self) -> "_PolarsTotals":
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting, self._rows, self._bytes = [], 0, 0

    def add(self, rows: pa.Table, skipped: NDArray[np.bool_], sign: int = 1) -> None:
        self.add_frame(to_frame(rows.select(_USED)).filter(pl.Series(~skipped)), sign)

    def add_totals(self, totals: pa.Table) -> None:
        self._add(to_frame(totals.select(_TOTALS)))

    def add_frame(self, rows: pl.DataFrame, sign: int = 1) -> None:
        self._add(
            rows.select("user_id", "region", pl.col("micro_minutes") * sign, event_count=pl.lit(sign, dtype=pl.Int64))
        )

    def _add(self, totals: pl.DataFrame) -> None:
        self._waiting.append(totals)
        self._rows, self._bytes = self._rows + len(totals), self._bytes + int(totals.estimated_size())
        first = self._waiting[0]
        if self._rows > _WAITING_ROWS + 2 * len(first) or self._bytes > _WAITING_BYTES + 2 * int(
            first.estimated_size()
        ):
            merged = self._merged()
            self._waiting, self._rows, self._bytes = [merged], len(merged), int(merged.estimated_size())

    @property
    def memory(self) -> int:
        return self._bytes * _FRAME_COPIES

    def ordered(self, *, whole: bool = False) -> tuple[pa.Table, int]:
        return order_totals(self._merged(), whole=whole)

    def _merged(self) -> pl.DataFrame:
        waiting = self._waiting or [pl.DataFrame(schema=_EMPTY)]
        return merge_totals(pl.concat(waiting, rechunk=True))


def order_totals(totals: pl.DataFrame, *, whole: bool = False) -> tuple[pa.Table, int]:
    """(The totals that have events, or all if ``whole``, stably sorted by region; number of their users).

    Columns of both: user_id (String), region (uint16), micro_minutes and event_count (int64); one row for each user and
    region.
    """
    chosen = totals.select(_TOTALS) if whole else totals.select(_TOTALS).filter(pl.col("event_count") != 0)
    totals = chosen.sort("region", maintain_order=True)
    return totals.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()), totals["user_id"].n_unique()


def merge_totals(totals: pl.DataFrame) -> pl.DataFrame:
    """Add up partial totals by user and region: user_id, region, micro_minutes and event_count, in any order.

    Raises BalanceError where a sum of micro-minutes passes int64, or comes within a billionth of its limit.
    """
    sums = [pl.col("micro_minutes").sum(), pl.col("event_count").sum()]
    groups = totals.group_by("user_id", "region")
    if not len(totals) or float(np.abs(totals["micro_minutes"].to_numpy()).sum(dtype=np.float64)) < _SAFE_SUM:
        return groups.agg(sums)
    # Integer sums wrap silently. Where that of all rows could wrap, each group's sum is taken in floating point, too.
    merged = groups.agg(*sums, pl.col("micro_minutes").cast(pl.Float64).sum().alias("about"))
    if (merged["about"] >= 2 * _SAFE_SUM).any():
        raise _too_large()
    return merged.drop("about")


def _too_large() -> BalanceError:
    return BalanceError(  # without the user, because a log keeps the message
        "The watch times of one user in one region add up to more than 9.2e12 minutes, which a 64-bit sum of "
        "micro-minutes cannot hold. Nothing was published. Look for absurd watch times, or reject them by a rule with "
        "max_minutes (RECORD_RULES)."
    )
