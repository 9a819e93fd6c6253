"""The kernel of ``geo-diff``: what moves between regions in one bucket, whose totals are by pairs of regions.

Rows were read with a table of pairs (``geo_diff/pairs.py``). The rule of deduplication compares regions last, as text.
Therefore an id's winning user and watch time are the same by either table; the winning region is the first, as text,
among the copies with this user and watch time. The names of pairs begin with the old region, so that the totals have
the winner by the old table. Where copies with different new regions could win, ``_corrections`` moves the event to the
winner by the new table.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.aggregate.context import AggregateContext
from pipeline.dedupe import CONTENT, ID, distinct_contents, rows_with_keys
from pipeline.engines import Advance
from pipeline.exchange.bucket_rows import read_rows
from pipeline.exchange.row_files import placed_rows
from pipeline.exchange.workspace import bucket_file, read_frame, split_file
from pipeline.inspection.geo_diff.pairs import UNREAD, split_pair

Sums = tuple[int, int, int]
"""Users, events, micro-minutes."""


@dataclass(frozen=True)
class RelocationTask:
    """Compare a bucket; ``splits``: the numbers of the splits that have rows in it."""

    bucket: int
    splits: tuple[int, ...]


@dataclass(frozen=True)
class Relocation:
    """Sums over the users of a bucket.

    Attributes:
        pairs: by (old region, new region).
        before: by old region.
        after: by new region.
        moved_users: users with an event that moves.
    """

    pairs: dict[tuple[str, str], Sums]
    before: dict[str, Sums]
    after: dict[str, Sums]
    moved_users: int


def relocate(context: AggregateContext, task: RelocationTask, advance: Advance) -> Relocation:
    """Compare one bucket, whose totals and conflicts Phase 2 has written."""
    regions = context.region_names
    total = read_frame(context.workspace.path("totals", bucket_file(task.bucket)))
    total = _with_regions(total.select("user_id", "micro_minutes", "event_count", code="region"), regions)
    total = pl.concat([total, _corrections(context, task)])
    total = total.group_by("user_id", "old", "new").sum().filter(pl.col("event_count") != 0)
    moved = total.filter((pl.col("old") != pl.col("new")) & (pl.col("new") != UNREAD))
    advance(1)
    return Relocation(
        {(names[0], names[1]): sums for names, sums in _sums(total, "old", "new")},
        {names[0]: sums for names, sums in _sums(total, "old")},
        {names[0]: sums for names, sums in _sums(total, "new")},
        moved["user_id"].n_unique(),
    )


def _sums(total: pl.DataFrame, *by: str) -> list[tuple[list[str], Sums]]:
    """For each combination of ``by``: its distinct users, events, and micro-minutes, which may exceed int64."""
    sums = pl.col("event_count").sum(), pl.col("micro_minutes").cast(pl.Int128).sum()
    rows = total.group_by(by).agg(pl.col("user_id").n_unique(), *sums).rows()
    return [(list(row[: len(by)]), (row[-3], row[-2], row[-1])) for row in rows]


def _with_regions(frame: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """Replace the column ``code`` by its regions ``old`` and ``new``."""
    old, new = (pl.Series(side, dtype=pl.String) for side in zip(*map(split_pair, names), strict=True))
    return frame.drop("code").with_columns(old=old.gather(frame["code"]), new=new.gather(frame["code"]))


def _corrections(context: AggregateContext, task: RelocationTask) -> pl.DataFrame:
    """Signed totals that move events to the winner by the new table: minus one event at the pair in the totals, plus
    one at the pair of the same old region and the first new region of the copies that could win."""
    contents = _contents_in_conflict(context, task)
    names = context.region_names
    if not len(contents):
        return _with_regions(_NO_TOTALS, names)
    losers = pl.concat([read_frame(path).select(CONTENT) for path in _loser_files(context, task.bucket)])
    winners = contents.join(losers, on=CONTENT, how="anti")
    same = [*ID, "user_id", "micro_minutes", *(["timestamp"] if context.keep != "longest" else [])]
    rivals = contents.select(*same, code="region").join(
        winners.select(*same, winner="region"), on=same, nulls_equal=True
    )
    rivals = _with_regions(rivals, names).with_columns(code="winner").drop("winner")
    best = rivals.group_by(ID).agg(pl.col("user_id", "micro_minutes", "code").first(), best=pl.col("new").min())
    moved = _with_regions(best, names).filter(pl.col("best") != pl.col("new"))
    one = pl.lit(1, pl.Int64)
    columns = ["user_id", "micro_minutes", "event_count", "old", "new"]
    minus = moved.with_columns(-pl.col("micro_minutes"), event_count=-one)
    plus = moved.with_columns(new="best", event_count=one)
    return pl.concat([minus.select(columns), plus.select(columns)])


def _contents_in_conflict(context: AggregateContext, task: RelocationTask) -> pl.DataFrame:
    """The distinct contents, in this bucket, of ids of which one lost."""
    losers = [read_frame(path).select(ID) for path in _loser_files(context, task.bucket)]
    if not losers:
        return pl.DataFrame()
    ids = pl.concat(losers).unique()
    keys = np.unique(ids["id_hi"].to_numpy().view(np.uint64))
    frames = []
    for split in task.splits:
        table = read_rows(
            context.workspace.path("rows", split_file(split)), task.bucket, context.buckets, library=context.library
        )
        if table is not None:
            rows = placed_rows(table, split)
            frames.append(rows[rows_with_keys(rows["id_hi"].to_numpy().view(np.uint64), keys)])
    return distinct_contents(pl.concat(frames).join(ids, on=ID, how="semi"), context.keep)


def _loser_files(context: AggregateContext, bucket: int) -> list[Path]:
    names = bucket_file(bucket), f"settled-{bucket_file(bucket)}"
    paths = [context.workspace.path("losers", name) for name in names]
    return [path for path in paths if path.exists()]


_NO_TOTALS = pl.DataFrame(
    schema={"user_id": pl.String, "micro_minutes": pl.Int64, "event_count": pl.Int64, "code": pl.UInt16}
)
