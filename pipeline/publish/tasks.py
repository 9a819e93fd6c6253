"""The tasks of publication, and the totals of a region."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line needs the results before anything heavy
    from pathlib import Path

    from pipeline.publish.quarantine_parts import Group
    from pipeline.reading.header_changes import HeaderChange
    from pipeline.reading.splits import Split


@dataclass(frozen=True)
class RegionFile:
    """One output file of one region, the ``number``-th; ``slices`` of buckets' totals: (bucket, first row, rows)."""

    region: str
    number: int
    slices: tuple[tuple[int, int, int], ...]

    @property
    def rows(self) -> int:
        """Rows of all slices."""
        return sum(rows for _, _, rows in self.slices)


@dataclass(frozen=True)
class WriteTask:
    """Write ``files`` below ``folder``. Files of small regions share a task, so that each bucket is opened once."""

    folder: str
    files: tuple[RegionFile, ...]

    @property
    def slices(self) -> list[tuple[int, int, int]]:
        """The rows of each bucket from the first to the last that the files hold: (bucket, first row, rows)."""
        bounds: dict[int, tuple[int, int]] = {}
        for bucket, begin, rows in (piece for file in self.files for piece in file.slices):
            first, stop = bounds.get(bucket, (begin, begin))
            bounds[bucket] = min(first, begin), max(stop, begin + rows)
        return [(bucket, first, stop - first) for bucket, (first, stop) in bounds.items()]


@dataclass(frozen=True)
class QuarantineSource:
    """A split with records in the quarantine.

    ==============  =============================================================================================
    ``name``        of its log, as it is shown
    ``start``       byte of the log at which the split's records begin
    ``first_line``  line of the log on which they begin, from 1
    ``at_hand``     whether the log still has the bytes that were read
    ``forgotten``   whether the log was read so long ago that the values and bytes of its records are not kept
    ``changes``     the headers among its records
    ==============  =============================================================================================
    """

    split: "Split"
    name: str
    start: int
    first_line: int
    at_hand: bool = True
    forgotten: bool = False
    changes: "tuple[HeaderChange, ...]" = ()

    @property
    def mark(self) -> str:
        """Equal marks of a split mean equal rows of it: the name of its log, and whether texts are kept, are in it."""
        return blake2b(f"{self.forgotten:d}{self.name}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class RejectTask:
    """Write the rejected records of ``sources`` as part ``number``."""

    number: int
    sources: tuple[QuarantineSource, ...]


@dataclass(frozen=True)
class KeepTask:
    """Take the conflict losers that still are some from the row groups ``groups`` of the quarantine's file ``path``.

    ===========  ============================================================================================
    ``groups``   (number, its pieces) of row groups
    ``sources``  the splits that count, of those in the row groups
    ``losers``   files with the places of all losers now; None where it is known which of the rows are none
    ``gone``     files with the places of losers that are none any more, where that is known
    ===========  ============================================================================================
    """

    number: int
    path: str
    groups: "tuple[tuple[int, Group], ...]"
    sources: tuple[QuarantineSource, ...]
    losers: "tuple[Path, ...] | None"
    gone: "tuple[Path, ...]" = ()


@dataclass(frozen=True)
class ConflictTask:
    """Fetch the conflict losers of ``sources``, which are neighbouring splits, as part ``number``.

    ==========  ============================================================
    ``losers``  files with their places, among others
    ``kept``    files with the places of those that need not be fetched
    ==========  ============================================================
    """

    number: int
    sources: tuple[QuarantineSource, ...]
    losers: "tuple[Path, ...]"
    kept: "tuple[Path, ...]" = ()


@dataclass(frozen=True)
class RegionTotal:
    """One region of the result: users, events that count, watch time in minutes."""

    region: str
    users: int
    events: int
    minutes: float
