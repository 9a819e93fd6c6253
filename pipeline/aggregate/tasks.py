"""The tasks of Phase 2 and their results."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.exchange.bucket_totals import RegionSums


@dataclass(frozen=True)
class FindCrossBucketTask:
    """Find cross-bucket ids among those whose key is in ``low <= key <= high``, in the indexes of ``splits``."""

    number: int
    low: int
    high: int
    splits: tuple[int, ...]


@dataclass(frozen=True)
class BucketTask:
    """Aggregate a bucket of ``rows`` rows that lie in the files of ``splits``.

    ``cross_bucket``: numbers of the id ranges that have cross-bucket ids.
    """

    bucket: int
    rows: int
    splits: tuple[int, ...]
    cross_bucket: tuple[int, ...]


@dataclass(frozen=True)
class BucketResult:
    """Counts of one bucket.

    ``pending``: winners whose id has copies in other buckets, too. ``regions``: for each region code its rows (users)
    in the totals, its events and micro-minutes.
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
    """Subtract the losers in ``corrections`` (numbers of ranges) from a bucket's totals."""

    before: BucketResult
    corrections: tuple[int, ...]


@dataclass(frozen=True)
class PartTask:
    """One partition of the result of Spark's own plan, in the file ``path``; ``number`` is Spark's."""

    number: int
    path: str


@dataclass(frozen=True)
class Phase2Result:
    """What Phase 2 found: a result for each bucket that has rows, the duplicates that it dropped, and the conflicts."""

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
    """The result of buckets that know their own duplicates and conflicts."""
    buckets = tuple(sorted(results, key=lambda result: result.bucket))
    duplicates = sum(bucket.duplicates for bucket in buckets)
    return Phase2Result(buckets, duplicates, sum(bucket.conflicts for bucket in buckets))
