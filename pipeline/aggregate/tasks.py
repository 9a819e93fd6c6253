"""The tasks of Phase 2 and their results."""

from dataclasses import dataclass

from pipeline.exchange.bucket_totals import RegionSums


@dataclass(frozen=True)
class ContestedTask:
    """Find contested ids among those whose key is in ``low <= key <= high``, in the indexes of ``splits``."""

    number: int
    low: int
    high: int
    splits: tuple[int, ...]


@dataclass(frozen=True)
class BucketTask:
    """Aggregate a bucket of ``rows`` rows that lie in the files of ``splits``; ``contested``: ranges with any."""

    bucket: int
    rows: int
    splits: tuple[int, ...]
    contested: tuple[int, ...]


@dataclass(frozen=True)
class BucketResult:
    """Counts of one bucket, and for each region code its rows (users) in the totals, its events and micro-minutes."""

    bucket: int
    rows: int
    kept: int
    duplicates: int
    conflicts: int
    contested: int
    users: int
    regions: RegionSums

    def balances(self) -> bool:
        """Whether every row that was handed over is accounted for."""
        events = sum(events for _, events, _ in self.regions.values())
        return self.rows == self.kept + self.duplicates + self.conflicts and self.kept == events


@dataclass(frozen=True)
class SettleTask:
    """Settle the ids of range ``number`` of ``ranges`` that earlier tasks set aside in the files of ``buckets``."""

    number: int
    ranges: int
    buckets: tuple[int, ...]


@dataclass(frozen=True)
class CorrectTask:
    """Take the losers in ``corrections`` (numbers of ranges) out of a bucket."""

    before: BucketResult
    corrections: tuple[int, ...]
