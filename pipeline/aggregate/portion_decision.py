"""Decides the ids of one portion of a bucket: by compiled code, or frame by frame in Polars."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.aggregate.bucket_portions import Portion
from pipeline.aggregate.context import AggregateContext
from pipeline.dedupe import CONTENT, Keys, Positions, Resolution, region_ranks, resolve, rows_with_keys
from pipeline.exchange.id_index import FINE_MASK
from pipeline.exchange.loser_places import NO_PLACES, Places
from pipeline.exchange.split_rows import NO_TIMESTAMP
from pipeline.native.arrow import column, to_arrow, to_frame, to_series
from pipeline.native.copies import Part, decide_copies


@dataclass(frozen=True)
class Decided:
    """What is decided about the rows of a portion that may have copies.

    ==============  ================================================================================
    ``duplicates``  how many rows repeat a content of their id
    ``places``      of the losers, in any order
    ``skipped``     positions of the rows that do not count as they stand
    ``instead``     rows that count in their place
    ``pending``     winners of cross-bucket ids: CONTENT, place, timestamp if it decides
    ``losers``      the losers in the same columns; None where the context does not keep them
    ==============  ================================================================================
    """

    duplicates: int
    places: Places
    skipped: Positions
    instead: pl.DataFrame | None
    pending: pl.DataFrame
    losers: pl.DataFrame | None


def decide_portion(context: AggregateContext, portion: Portion, cross_bucket: Keys) -> Decided:
    """Decide every id among the rows of a portion that may have copies, by the rule of ``dedupe.resolve``.

    ``cross_bucket``: sorted prefixes of ids that have copies in other buckets, too.
    """
    if not len(portion.compare):
        none = pl.DataFrame()
        return Decided(0, NO_PLACES, portion.compare, None, none, none if context.keep_losers else None)
    if context.library is None:
        return _decide_in_polars(context, portion, cross_bucket)
    return _decide_compiled(context, context.library, portion, cross_bucket)


def _decide_in_polars(context: AggregateContext, portion: Portion, cross_bucket: Keys) -> Decided:
    rows = pl.concat([to_frame(table) for table in _taken(portion.tables, portion.compare)])
    found = resolve(rows, context.keep, context.region_names)
    columns = _columns(context)
    winners = found.winners.select(columns)
    return Decided(
        duplicates=found.duplicates,
        places=found.losers["place"].to_numpy().astype(np.uint64),
        skipped=portion.compare,
        instead=winners,
        pending=winners[rows_with_keys(winners["id_hi"].to_numpy().view(np.uint64) & ~FINE_MASK, cross_bucket)],
        losers=found.losers.select(columns) if context.keep_losers else None,
    )


def _decide_compiled(context: AggregateContext, library: Path, portion: Portion, cross_bucket: Keys) -> Decided:
    tables = [table for table in portion.tables if len(table)]
    parts, rows = [_part(table) for table in tables], portion.compare
    times = None if context.keep == "longest" else _timestamps(tables, rows)
    found = decide_copies(library, parts, rows, context.keep, region_ranks(context.region_names), times)
    pending = np.flatnonzero(found.stand & _crosses(parts, rows, cross_bucket))
    losers = np.flatnonzero(found.losers)
    return Decided(
        duplicates=int(found.copies.sum()),
        places=_places(tables, rows[losers]),
        skipped=rows[~found.stand],
        instead=None,
        pending=_frame(context, tables, rows, pending, found.timestamps),
        losers=_frame(context, tables, rows, losers, found.timestamps) if context.keep_losers else None,
    )


def resolve_rows(context: AggregateContext, rows: pl.DataFrame) -> Resolution:
    """Decide every id among ``rows`` as ``dedupe.resolve`` does, by compiled code if there is some.

    Winners and losers have the columns of ``rows``.
    """
    if context.library is None or not len(rows):
        return resolve(rows, context.keep, context.region_names)
    rows = rows.sort("place").rechunk()  # the first row of a content stands for it
    table = rows.select(*CONTENT).to_arrow(compat_level=pl.CompatLevel.oldest())
    times = rows["timestamp"].fill_null(NO_TIMESTAMP).to_numpy() if context.keep != "longest" else None
    ranks, everything = region_ranks(context.region_names), np.arange(len(rows))
    found = decide_copies(context.library, [_part(table)], everything, context.keep, ranks, times)
    if found.timestamps is not None:
        rows = rows.with_columns(pl.Series("timestamp", found.timestamps).replace(NO_TIMESTAMP, None))
    return Resolution(rows.filter(found.stand), rows.filter(found.losers), int(found.copies.sum()))


def _part(table: pa.Table) -> Part:
    names = ("id_hi", "id_lo", "region", "micro_minutes")
    return Part(user_id=table["user_id"].chunk(0), **{name: column(table, name) for name in names})


def _crosses(parts: Sequence[Part], rows: Positions, cross_bucket: Keys) -> NDArray[np.bool_]:
    """Whether the id of each of ``rows`` is a cross-bucket one."""
    crosses = np.zeros(len(rows), bool)
    if len(cross_bucket) and len(rows):
        ids = np.concatenate([part.id_hi.view(np.uint64) for part in parts])
        crosses[rows_with_keys(ids[rows] & ~FINE_MASK, cross_bucket)] = True
    return crosses


def _places(tables: Sequence[pa.Table], rows: Positions) -> Places:
    """The places of rows, which ascend."""
    found = [NO_PLACES]
    for table, positions in _wanted(tables, rows):
        found.append(column(table, "place")[positions].view(np.uint64))
    return np.concatenate(found)


def _timestamps(tables: Sequence[pa.Table], rows: Positions) -> NDArray[np.int64]:
    """The timestamps of rows, which ascend; NO_TIMESTAMP where one is missing."""
    found = [np.empty(0, np.int64)]
    for table, positions in _wanted(tables, rows):
        found.append(to_series(table["timestamp"].chunk(0)).fill_null(NO_TIMESTAMP).to_numpy()[positions])
    return np.concatenate(found)


def _frame(
    context: AggregateContext,
    tables: Sequence[pa.Table],
    rows: Positions,
    wanted: Positions,
    timestamps: NDArray[np.int64] | None,
) -> pl.DataFrame:
    """The rows ``wanted``, by position among ``rows``: CONTENT, place, and the one of ``timestamps`` if it decides."""
    frames = [to_frame(table) for table in _taken(tables, rows[wanted])]
    if not frames:
        return pl.DataFrame()
    frame = pl.concat(frames)
    if timestamps is not None:
        decisive = pl.Series("timestamp", timestamps[wanted])
        frame = frame.with_columns(decisive.replace(NO_TIMESTAMP, None))
    return frame.select(_columns(context))


def _columns(context: AggregateContext) -> list[str]:
    return [*CONTENT, "place", *(["timestamp"] if context.keep != "longest" else [])]


def _taken(tables: Sequence[pa.Table], rows: Positions) -> Iterator[pa.Table]:
    """Of each table the rows at the positions in ``rows``, which ascend; tables without any are left out."""
    for table, positions in _wanted(tables, rows):
        yield table.take(to_arrow(positions)).combine_chunks()


def _wanted(tables: Sequence[pa.Table], rows: Positions) -> Iterator[tuple[pa.Table, Positions]]:
    """Of each table the positions in it of ``rows``, which ascend; tables without any are left out."""
    first = 0
    for table in tables:
        wanted = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + len(table))]
        if len(wanted):
            yield table, wanted - first
        first += len(table)
