"""The tasks of an incremental Phase 2 and their results."""

from dataclasses import dataclass

from pipeline.aggregate.tasks import BucketResult


@dataclass(frozen=True)
class BucketGroup:
    """``count`` buckets from ``first`` on: many small ones are read and written together."""

    first: int
    count: int


@dataclass(frozen=True)
class DecideTask:
    """Settle the ambiguous ids of range ``number`` of ``ranges``; ``splits`` have some."""

    number: int
    ranges: int
    splits: tuple[int, ...]


@dataclass(frozen=True)
class Decided:
    """By how much a range changes the duplicates, and how many losers came and went."""

    duplicates: int
    new_losers: int
    old_losers: int


@dataclass(frozen=True)
class ApplyTask:
    """Make the new totals of some buckets.

    ============  ==================================================================
    ``previous``  the workspace with the totals of the version before
    ``added``     splits that count now, with rows in these buckets
    ``removed``   splits that no longer count, with rows in these buckets
    ``affected``  numbers of the id ranges with affected ids
    ``decided``   numbers of the id ranges in which ambiguous ids were decided
    ``rows``      of the splits in these buckets, for the progress
    ============  ==================================================================
    """

    group: BucketGroup
    previous: str
    added: tuple[int, ...]
    removed: tuple[int, ...]
    affected: tuple[int, ...]
    decided: tuple[int, ...]
    rows: int


@dataclass(frozen=True)
class Applied:
    """The new totals of buckets that have any, which tell of totals alone (duplicates and conflicts are the run's), and
    by how much the events of untouched ids add up."""

    buckets: tuple[BucketResult, ...]
    events: int


@dataclass(frozen=True)
class FindAffectedTask:
    """Find affected ids among those whose key is in ``low <= key <= high``; ``splits``: all that counted or count."""

    number: int
    low: int
    high: int
    splits: tuple[int, ...]
    changed: frozenset[int]


@dataclass(frozen=True)
class PickTask:
    """Pick the ambiguous rows of a split, of which there are ``rows``; ``ranges``: numbers of those with affected ids;
    ``before``, ``now``: whether the split counted and counts."""

    split: int
    rows: int
    ranges: tuple[int, ...]
    before: bool
    now: bool


@dataclass(frozen=True)
class FetchMarksTask:
    """Fetch ids and content marks of the affected rows of some splits: ``by_split`` tells how many each has.

    ``ranges``: numbers of the id ranges with affected ids.
    """

    by_split: dict[int, int]
    ranges: tuple[int, ...]


@dataclass(frozen=True)
class CompareCopiesTask:
    """Compare the copies of the affected ids of range ``number`` of ``ranges``, which lie in ``splits``; ``added`` and
    ``removed``: those that changed."""

    number: int
    ranges: int
    splits: tuple[int, ...]
    added: frozenset[int]
    removed: frozenset[int]


@dataclass(frozen=True)
class ComparedCopies:
    """``duplicates``: by how much ids of one content change them; ``ambiguous``: rows of the other ids, by split."""

    duplicates: int
    ambiguous: dict[int, int]
