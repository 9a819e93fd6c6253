"""The tasks of an incremental Phase 2 and their results."""

from dataclasses import dataclass

from pipeline.aggregate.tasks import BucketResult


@dataclass(frozen=True)
class BucketGroup:
    """``count`` buckets from ``first`` on, which are read and written together because they are small."""

    first: int
    count: int


@dataclass(frozen=True)
class DecideTask:
    """Decide the ambiguous ids of range ``number`` of ``ranges``, whose rows were picked from ``splits``."""

    number: int
    ranges: int
    splits: tuple[int, ...]


@dataclass(frozen=True)
class Decided:
    """By how much the ambiguous ids of a range change the duplicates, and how many losers came and went since the
    version before."""

    duplicates: int
    new_losers: int
    old_losers: int


@dataclass(frozen=True)
class ApplyTask:
    """Make the new totals of the buckets of ``group``.

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
    """``buckets``: the counts of those that have totals, without duplicates and conflicts, which are the run's;
    ``events``: by how many the rows changed the totals that are not excluded."""

    buckets: tuple[BucketResult, ...]
    events: int


@dataclass(frozen=True)
class FindAffectedTask:
    """Find the affected ids of range ``number``: keys with ``low <= key <= high``.

    ``splits``: all that counted before or count now; ``changed``: those that only counted or only count.
    """

    number: int
    low: int
    high: int
    splits: tuple[int, ...]
    changed: frozenset[int]


@dataclass(frozen=True)
class PickTask:
    """Pick the ambiguous rows of a split.

    ==========  ================================================
    ``rows``    how many there are
    ``ranges``  numbers of the id ranges with affected ids
    ``before``  whether the split counted in the version before
    ``now``     whether it counts now
    ==========  ================================================
    """

    split: int
    rows: int
    ranges: tuple[int, ...]
    before: bool
    now: bool


@dataclass(frozen=True)
class FetchMarksTask:
    """Fetch ids and content marks of the affected rows of splits.

    ``by_split``: number of affected rows of each split. ``ranges``: numbers of the id ranges with affected ids.
    """

    by_split: dict[int, int]
    ranges: tuple[int, ...]


@dataclass(frozen=True)
class CompareCopiesTask:
    """Compare the copies of the affected ids of range ``number`` of ``ranges``, which lie in ``splits``.

    ``added``: splits that count now and did not before; ``removed``: the other way round.
    """

    number: int
    ranges: int
    splits: tuple[int, ...]
    added: frozenset[int]
    removed: frozenset[int]


@dataclass(frozen=True)
class ComparedCopies:
    """``duplicates``: by how much ids whose copies agree change them; ``ambiguous``: split → rows of the other ids."""

    duplicates: int
    ambiguous: dict[int, int]
