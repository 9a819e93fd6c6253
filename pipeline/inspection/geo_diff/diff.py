"""The answer of ``geo-diff``: what moves, added up over buckets and checked against what is published."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import BalanceError
from pipeline.inspection.geo_diff.pairs import UNREAD
from pipeline.inspection.geo_diff.relocation import Relocation, Sums
from pipeline.publish.tasks import RegionTotal
from pipeline.quality import MICRO
from pipeline.versions.catalog import Version

Key = TypeVar("Key")


@dataclass(frozen=True)
class Move:
    """What would move from one region to another. A user with several moves counts in each of them."""

    from_region: str
    to_region: str
    users: int
    events: int
    minutes: float


@dataclass(frozen=True)
class RegionChange:
    """The users, events and minutes of a region by the old database and by the new one."""

    region: str
    before: RegionTotal
    after: RegionTotal


@dataclass(frozen=True)
class UnreadFile:
    """A file that could not be read again, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class GeoDiff:
    """The published version by its geo database and by another one.

    Attributes:
        version: its name.
        old_build: the build of its database.
        new_build: the build of the other database.
        moved_users: users with an event that moves.
        moved_events: events that move.
        moved_minutes: their minutes.
        moves: what moves, by pair of regions; the most minutes first.
        regions: each region before and after.
        examined_files: how many files were read again.
        not_examined: the files that could not be read again. Their events are in ``before``, but in no ``after``.
        unknown_events: the events of these files.
        unknown_minutes: their minutes.
        seconds: how long the comparison took.
    """

    version: str
    old_build: str
    new_build: str
    moved_users: int
    moved_events: int
    moved_minutes: float
    moves: tuple[Move, ...]
    regions: tuple[RegionChange, ...]
    examined_files: int
    not_examined: tuple[UnreadFile, ...]
    unknown_events: int
    unknown_minutes: float
    seconds: float


def add_up(buckets: Sequence[Relocation]) -> Relocation:
    """Add up the sums of all buckets. Each user is in one bucket, so that users are not counted twice."""
    return Relocation(
        _sum_by_key([bucket.pairs for bucket in buckets]),
        _sum_by_key([bucket.before for bucket in buckets]),
        _sum_by_key([bucket.after for bucket in buckets]),
        sum(bucket.moved_users for bucket in buckets),
    )


def _sum_by_key(buckets: Sequence[Mapping[Key, Sums]]) -> dict[Key, Sums]:
    total: dict[Key, Sums] = {}
    for bucket in buckets:
        for key, (users, events, micro) in bucket.items():
            before = total.get(key, (0, 0, 0))
            total[key] = before[0] + users, before[1] + events, before[2] + micro
    return total


def check_before(version: Version, found: Relocation) -> None:
    """Check that the sums by the old table are those that are published. Raises BalanceError where they are not."""
    published = {
        region["region"]: (region["users"], region["events"], region["minutes"]) for region in version.record["regions"]
    }
    before = {region: (users, events, micro / MICRO) for region, (users, events, micro) in found.before.items()}
    if before != published:
        raise BalanceError(
            f"by the old database the files that count make another result than version {version.name}: "
            f"{json.dumps(before)}, published {json.dumps(published)}. A fault in the program; please report it."
        )


def make_diff(
    version: Version,
    builds: tuple[str, str],
    found: Relocation,
    files: int,
    unread: Sequence[UnreadFile],
    seconds: float,
) -> GeoDiff:
    """Make the answer from the sums over all buckets.

    Args:
        version: the published version.
        builds: the builds of the old and of the new database.
        found: the sums.
        files: how many files count.
        unread: those among them that could not be read again.
        seconds: how long the comparison took.
    """
    moves = [
        Move(old, new, users, events, micro / MICRO)
        for (old, new), (users, events, micro) in found.pairs.items()
        if new not in (old, UNREAD)
    ]
    moves.sort(key=lambda move: (-move.minutes, move.from_region, move.to_region))
    _, unknown_events, unknown_micro = found.after.get(UNREAD, (0, 0, 0))
    changes = [
        RegionChange(region, _total(region, found.before), _total(region, found.after))
        for region in sorted((found.before.keys() | found.after.keys()) - {UNREAD})
    ]
    moved = [sums for (old, new), sums in found.pairs.items() if new not in (old, UNREAD)]
    return GeoDiff(
        version.name,
        *builds,
        found.moved_users,
        sum(events for _, events, _ in moved),
        sum(micro for _, _, micro in moved) / MICRO,
        tuple(moves),
        tuple(changes),
        files - len(unread),
        tuple(unread),
        unknown_events,
        unknown_micro / MICRO,
        seconds,
    )


def _total(region: str, sums: dict[str, Sums]) -> RegionTotal:
    users, events, micro = sums.get(region, (0, 0, 0))
    return RegionTotal(region, users, events, micro / MICRO)
