"""The tasks of an incremental Phase 2 and their results."""

from dataclasses import dataclass

from pipeline.aggregate.tasks import BucketResult


@dataclass(frozen=True)
class BucketGroup:
    """``count`` buckets from ``first`` on: many small ones are read and written together."""

    first: int
    count: int


@dataclass(frozen=True)
class SettleTask:
    """Settle the disputed ids of range ``number`` of ``ranges``; ``splits`` have some."""

    number: int
    ranges: int
    splits: tuple[int, ...]


@dataclass(frozen=True)
class Settled:
    """By how much a range changes the duplicates, and how many losers came and went."""

    duplicates: int
    new_losers: int
    old_losers: int


@dataclass(frozen=True)
class ApplyTask:
    """Make new totals from those in the workspace ``base``, the rows of ``added`` and ``removed`` splits, which have
    some in these buckets, and what was settled in the ranges ``settled``; ``touched``: numbers of the ranges with
    touched ids; ``rows`` of the splits, for the progress."""

    group: BucketGroup
    base: str
    added: tuple[int, ...]
    removed: tuple[int, ...]
    touched: tuple[int, ...]
    settled: tuple[int, ...]
    rows: int


@dataclass(frozen=True)
class Applied:
    """The new totals of buckets that have any, which tell of totals alone (duplicates and conflicts are the run's), and
    by how much the events of untouched ids add up."""

    buckets: tuple[BucketResult, ...]
    events: int


@dataclass(frozen=True)
class TouchTask:
    """Find touched ids among those whose key is in ``low <= key <= high``; ``splits``: all that counted or count."""

    number: int
    low: int
    high: int
    splits: tuple[int, ...]
    changed: frozenset[int]


@dataclass(frozen=True)
class PickTask:
    """Pick the disputed rows of a split, of which there are ``rows``; ``ranges``: numbers of those with touched ids;
    ``before``, ``now``: whether the split counted and counts."""

    split: int
    rows: int
    ranges: tuple[int, ...]
    before: bool
    now: bool


@dataclass(frozen=True)
class MarkTask:
    """Fetch ids and marks of the touched rows of some splits, of each of which ``rows`` tells how many there are;
    ``ranges``: numbers of those with touched ids."""

    rows: dict[int, int]
    ranges: tuple[int, ...]


@dataclass(frozen=True)
class CompareTask:
    """Compare the copies of the touched ids of range ``number`` of ``ranges``, which lie in ``splits``; ``added`` and
    ``removed``: those that changed."""

    number: int
    ranges: int
    splits: tuple[int, ...]
    added: frozenset[int]
    removed: frozenset[int]


@dataclass(frozen=True)
class Compared:
    """``duplicates``: by how much ids of one content change them; ``disputed``: rows of the other ids, by split."""

    duplicates: int
    disputed: dict[int, int]
