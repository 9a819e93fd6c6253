"""Splits made by hand for Phase 2, and what plain Python over dicts makes of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xxhash

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.tasks import BucketResult, Phase2Result
from pipeline.engines import Advance, Context, Kernel, Result, Task
from pipeline.exchange.id_index import write_index
from pipeline.exchange.row_files import write_rows
from pipeline.exchange.split_rows import NO_TIMESTAMP, SplitRows
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.splits import Split
from pipeline.timing import Span
from tests.harness import library

NAMES = ("Europe", "Asia", "Oceania")
"""Regions by code; their order as text is another one."""
OFFSET = 100
"""Bytes of a record."""


@dataclass(frozen=True)
class Row:
    """A row as Phase 1 hands it over; no two rows of one split have the same id and content."""

    id_hi: int
    id_lo: int
    user: str
    region: int
    micro: int
    timestamp: int | None = None

    @property
    def id(self) -> tuple[int, int]:
        return self.id_hi, self.id_lo

    @property
    def content(self) -> tuple[str, int, int]:
        return self.user, self.region, self.micro

    @property
    def key(self) -> int:
        """Its key in the id index: 54 bits of the id, 10 of the user's hash."""
        return self.id_hi >> 10 << 10 | user_hash(self.user) >> 54


Splits = Mapping[int, Sequence[Row]]


class Inline:
    """An engine that runs the kernels where it is called."""

    name = "polars"
    spans: Sequence[Span] = ()

    def map(
        self, kernel: Kernel[Context, Task, Result], context: Context, tasks: Sequence[Task], advance: Advance
    ) -> Iterator[tuple[Task, Result | Exception]]:
        for task in tasks:
            try:
                yield task, kernel(context, task, advance)
            except Exception as fault:
                yield task, fault


def user_hash(user: str) -> int:
    return xxhash.xxh3_64_intdigest(user.encode())


def bucket_of(user: str, buckets: int) -> int:
    return user_hash(user) * buckets >> 64


def make_context(
    folder: Path, *, keep: str = "longest", buckets: int = 4, bucket_rows: int = 1000, compiled: bool = True,
    store: Path | None = None, bucket_bytes: int = 2**40,
) -> AggregateContext:  # fmt: skip
    """A context with a workspace in ``folder``; rows and indexes lie in ``store``, if given."""
    workspace = Workspace(str(folder), str(store) if store else "")
    workspace.create()
    compiler = library() if compiled else None
    return AggregateContext(workspace, keep, buckets, bucket_rows, NAMES, compiler, bucket_bytes=bucket_bytes)


def write_split(context: AggregateContext, number: int, rows: Sequence[Row]) -> SplitResult:
    """Write the files of a split; record i lies at byte i * OFFSET."""
    order = sorted(range(len(rows)), key=lambda i: bucket_of(rows[i].user, context.buckets))
    arranged = [rows[i] for i in order]
    columns: dict[str, np.ndarray[Any, Any]] = {
        "id_hi": np.array([row.id_hi for row in arranged], np.uint64),
        "id_lo": np.array([row.id_lo for row in arranged], np.uint64),
        "user_hash": np.array([user_hash(row.user) for row in arranged], np.uint64),
        "region": np.array([row.region for row in arranged], np.uint16),
        "micro_minutes": np.array([row.micro for row in arranged], np.int64),
        "offset": np.array(order, np.uint32) * np.uint32(OFFSET),
    }
    if context.keep != "longest":
        stamps = [NO_TIMESTAMP if row.timestamp is None else row.timestamp for row in arranged]
        columns["timestamp"] = np.array(stamps, np.int64)
    users = [row.user.encode() for row in arranged]
    bounds = np.cumsum([0, *map(len, users)]).astype(np.int64)
    counts = Counter(bucket_of(row.user, context.buckets) for row in rows)
    bucket_rows = [counts[bucket] for bucket in range(context.buckets)]
    if rows:
        texts = np.frombuffer(b"".join(users) or b"\0", np.uint8)
        write_rows(
            context.workspace.path("rows", f"split-{number:06d}.parquet"),
            SplitRows.of(columns, bounds, texts),
            np.array(bucket_rows),
            context.library,
        )
        index = np.array(sorted(row.key for row in rows), np.uint64)
        write_index(context.workspace.path("index", f"split-{number:06d}.npy"), index)
    size = OFFSET * len(rows)
    header: Any = None
    split = Split(number, f"f{number}.csv", size, 0, size, True, header)
    return SplitResult(split, 0, size, len(rows), 0, len(rows), 0, len(rows), tuple(bucket_rows))


def write_splits(context: AggregateContext, splits: Splits) -> list[PlacedSplit]:
    return [PlacedSplit(write_split(context, number, rows), 1) for number, rows in splits.items()]


@dataclass
class Truth:
    """(user, region code) → (micro-minutes, events); the places of losers; how many copies were dropped."""

    totals: dict[tuple[str, int], tuple[int, int]]
    losers: set[int] = field(default_factory=set)
    duplicates: int = 0


def decide(splits: Splits, keep: str) -> Truth:
    """Phase 2 by dicts, one id after the other."""
    copies: dict[tuple[int, int], dict[tuple[str, int, int], list[tuple[int, int | None]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for number, rows in splits.items():
        for i, row in enumerate(rows):
            copies[row.id][row.content].append((number * 2**32 + i * OFFSET, row.timestamp))
    found: dict[tuple[str, int], tuple[int, int]] = {}
    truth = Truth(found)
    for contents in copies.values():
        best = min(contents, key=lambda content: _rank(content, [stamp for _, stamp in contents[content]], keep))
        micro, events = found.get(best[:2], (0, 0))
        found[best[:2]] = (micro + best[2], events + 1)
        truth.duplicates += sum(len(places) - 1 for places in contents.values())
        truth.losers |= {min(places)[0] for content, places in contents.items() if content != best}
    return truth


def _rank(content: tuple[str, int, int], stamps: Iterable[int | None], keep: str) -> tuple[object, ...]:
    user, region, micro = content
    ties = (-micro, user.encode(), NAMES[region].encode())
    if keep == "longest":
        return ties
    known = [stamp for stamp in stamps if stamp is not None]
    if not known:
        return (1, 0, *ties)
    return (0, min(known) if keep == "first" else -max(known), *ties)


def read_totals(context: AggregateContext, buckets: Iterable[BucketResult]) -> dict[tuple[str, int], tuple[int, int]]:
    """The totals that were written, each where its user belongs, and equal to the counts of its bucket."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for result in buckets:
        frame = pl.read_parquet(context.workspace.path("totals", f"bucket-{result.bucket:04d}.parquet"))
        rows = frame.select("user_id", "region", "micro_minutes", "event_count").rows()
        assert [region for _, region, _, _ in rows] == sorted(region for _, region, _, _ in rows)
        assert {bucket_of(user, context.buckets) for user, *_ in rows} <= {result.bucket}
        assert result.users == len({user for user, *_ in rows})
        assert result.kept == sum(events for *_, events in rows)
        for user, region, micro, events in rows:
            assert (user, region) not in found
            found[user, region] = (micro, events)
    return found


def read_losers(context: AggregateContext) -> set[int]:
    """The places in all files of conflicts, each once."""
    paths = context.workspace.path("conflicts", "x").parent.glob("*.npy")
    places = [place for path in paths for place in np.load(path).tolist()]
    assert len(places) == len(set(places))
    return set(places)


def check(context: AggregateContext, result: Phase2Result, splits: Splits) -> None:
    """What Phase 2 wrote and counted is what dicts find."""
    truth = decide(splits, context.keep)
    assert read_totals(context, result.buckets) == truth.totals
    assert read_losers(context) == truth.losers
    assert (result.duplicates, result.conflicts) == (truth.duplicates, len(truth.losers))
    assert result.kept == sum(events for _, events in truth.totals.values())
    assert result.users == len({user for user, _ in truth.totals})
