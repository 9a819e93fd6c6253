"""The tasks of publication, and the totals of a region."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line needs the results before anything heavy
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
class ConflictTask:
    """Fetch the conflict losers of one split.

    ==============  =============================================================================================
    ``number``      of the task
    ``start``       byte of the file at which the split's records begin
    ``first_line``  line of the file on which they begin, from 1
    ``offsets``     of the losers, sorted, in bytes from ``start``
    ``at_hand``     whether the source file still has the bytes that were read
    ``previous``    folder of the previous version's quarantine; empty where the file has no records in it
    ``listed_as``   name of the file in that quarantine
    ``forgotten``   whether the file was read so long ago that the values and bytes of its records are not kept
    ==============  =============================================================================================
    """

    number: int
    split: "Split"
    start: int
    first_line: int
    offsets: tuple[int, ...]
    at_hand: bool = True
    previous: str = ""
    listed_as: str = ""
    forgotten: bool = False


@dataclass(frozen=True)
class RegionTotal:
    """One region of the result: users, events that count, watch time in minutes."""

    region: str
    users: int
    events: int
    minutes: float
