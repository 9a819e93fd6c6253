"""The answer of ``regeo``: what moves, added up over buckets, checked against what is published, and put in words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import BalanceError
from pipeline.inspection.regeo.pairs import NOT_EXAMINED
from pipeline.inspection.regeo.relocation import Relocation, Sums
from pipeline.publish.tasks import RegionTotal
from pipeline.quality import MICRO
from pipeline.versions.catalog import Version

Key = TypeVar("Key")


@dataclass(frozen=True)
class Move:
    """What would move from one region to another; a user counts in each of its moves."""

    from_region: str
    to_region: str
    users: int
    events: int
    minutes: float


@dataclass(frozen=True)
class RegionChange:
    """A region before and after; users, events, minutes."""

    region: str
    before: RegionTotal
    after: RegionTotal


@dataclass(frozen=True)
class UnreadFile:
    """A file whose addresses could not be read again."""

    file: str
    reason: str


@dataclass(frozen=True)
class GeoDiff:
    """The published ``version`` by its geo database and by another.

    ``moves``: the largest first. Events of files in ``not_examined`` are in ``before`` and in no ``after``:
    ``unknown_events`` with ``unknown_minutes``.
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


def add_up(parts: Sequence[Relocation]) -> Relocation:
    """The sums over buckets; each user is in one."""
    found = Relocation({}, {}, {}, sum(part.moved_users for part in parts))
    for part in parts:
        _merge(found.pairs, part.pairs)
        _merge(found.before, part.before)
        _merge(found.after, part.after)
    return found


def _merge(into: dict[Key, Sums], more: dict[Key, Sums]) -> None:
    for key, (users, events, micro) in more.items():
        before = into.get(key, (0, 0, 0))
        into[key] = before[0] + users, before[1] + events, before[2] + micro


def check_before(version: Version, found: Relocation) -> None:
    """By the old table the comparison must find what is published. Raises BalanceError where it does not."""
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
    not_examined: Sequence[UnreadFile],
    seconds: float,
) -> GeoDiff:
    """What was ``found`` in all buckets as the answer; ``builds``: of the old and the new database."""
    moves = [
        Move(old, new, users, events, micro / MICRO)
        for (old, new), (users, events, micro) in found.pairs.items()
        if new not in (old, NOT_EXAMINED)
    ]
    moves.sort(key=lambda move: (-move.minutes, move.from_region, move.to_region))
    _, unknown_events, unknown_micro = found.after.get(NOT_EXAMINED, (0, 0, 0))
    changes = [
        RegionChange(region, _total(region, found.before), _total(region, found.after))
        for region in sorted((found.before.keys() | found.after.keys()) - {NOT_EXAMINED})
    ]
    moved = [sums for (old, new), sums in found.pairs.items() if new not in (old, NOT_EXAMINED)]
    return GeoDiff(
        version.name,
        *builds,
        found.moved_users,
        sum(events for _, events, _ in moved),
        sum(micro for _, _, micro in moved) / MICRO,
        tuple(moves),
        tuple(changes),
        files - len(not_examined),
        tuple(not_examined),
        unknown_events,
        unknown_micro / MICRO,
        seconds,
    )


def _total(region: str, sums: dict[str, Sums]) -> RegionTotal:
    users, events, micro = sums.get(region, (0, 0, 0))
    return RegionTotal(region, users, events, micro / MICRO)
