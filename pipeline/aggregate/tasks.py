"""The tasks of Phase 2 and their results."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.exchange.bucket_totals import RegionSums


@dataclass(frozen=True)
class JoinTask:
    """Join the id indexes of ``splits`` as number ``number``, going over their keys in so many ``pieces``."""

    number: int
    splits: tuple[int, ...]
    pieces: int


@dataclass(frozen=True)
class FindRepeatedTask:
    """Find the repeated ids of range ``number``: keys with ``low <= key <= high`` in the indexes of all splits."""

    number: int
    low: int
    high: int


@dataclass(frozen=True)
class BucketTask:
    """Aggregate a bucket of ``rows`` rows, which lie in files of ``splits``; None: of all splits of the context."""

    bucket: int
    rows: int
    splits: tuple[int, ...] | None


@dataclass(frozen=True)
class BucketResult:
    """Counts of one bucket.

    ==============  =====================================================================
    ``rows``        rows that Phase 1 handed over
    ``kept``        events that count
    ``duplicates``  rows that repeat a content of their id
    ``conflicts``   losers: further contents of an id
    ``pending``     winners whose id has copies in other buckets, too
    ``users``       distinct users
    ``regions``     region code → (rows in the totals, events, micro-minutes)
    ==============  =====================================================================
    """

    bucket: int
    rows: int
    kept: int
    duplicates: int
    conflicts: int
    pending: int
    users: int
    regions: RegionSums

    def balances(self) -> bool:
        """Whether every row that was handed over is accounted for."""
        events = sum(events for _, events, _ in self.regions.values())
        return self.rows == self.kept + self.duplicates + self.conflicts and self.kept == events


@dataclass(frozen=True)
class DecideTask:
    """Decide the pending winners of ``buckets`` whose ids lie in range ``number`` of ``ranges``."""

    number: int
    ranges: int
    buckets: tuple[int, ...]


@dataclass(frozen=True)
class CorrectTask:
    """Correct the totals of the bucket whose counts were ``before``; ``corrections``: numbers of ranges with losers."""

    before: BucketResult
    corrections: tuple[int, ...]


@dataclass(frozen=True)
class PartTask:
    """Write the totals of one partition of the SQL plan's result, which is the file ``path``; ``number``: Spark's."""

    number: int
    path: str


@dataclass(frozen=True)
class Phase2Result:
    """The result of Phase 2: the counts of each bucket that has rows, and the duplicates and conflicts of all."""

    buckets: tuple[BucketResult, ...]
    duplicates: int
    conflicts: int

    @property
    def kept(self) -> int:
        """Events that count."""
        return sum(bucket.kept for bucket in self.buckets)

    @property
    def users(self) -> int:
        """Distinct users; each lies in one bucket."""
        return sum(bucket.users for bucket in self.buckets)


def sum_buckets(results: Iterable[BucketResult]) -> Phase2Result:
    """Sum up buckets; each counts its own duplicates and conflicts."""
    buckets = tuple(sorted(results, key=lambda result: result.bucket))
    duplicates = sum(bucket.duplicates for bucket in buckets)
    return Phase2Result(buckets, duplicates, sum(bucket.conflicts for bucket in buckets))
