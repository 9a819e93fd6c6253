"""The tasks of publication, and what becomes of a region."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line needs the results before anything heavy
    from pipeline.reading.splits import Split


@dataclass(frozen=True)
class RegionFile:
    """One output file: ``slices`` of the buckets' totals, (bucket, first row, rows), all of one region."""

    region: str
    number: int
    slices: tuple[tuple[int, int, int], ...]

    @property
    def rows(self) -> int:
        """Rows of all slices."""
        return sum(rows for _, _, rows in self.slices)


@dataclass(frozen=True)
class WriteTask:
    """Write output files below ``folder``; those of small regions together, so that each bucket is opened once."""

    folder: str
    files: tuple[RegionFile, ...]

    @property
    def slices(self) -> list[tuple[int, int, int]]:
        """What the files have of each bucket, from the first of its rows to the last."""
        bounds: dict[int, tuple[int, int]] = {}
        for bucket, at, rows in (part for file in self.files for part in file.slices):
            first, stop = bounds.get(bucket, (at, at))
            bounds[bucket] = min(first, at), max(stop, at + rows)
        return [(bucket, first, stop - first) for bucket, (first, stop) in bounds.items()]


@dataclass(frozen=True)
class ConflictTask:
    """Fetch the records at ``offsets`` (sorted, from byte ``start``, which is on line ``first_line``) of a split.

    ``at_hand``: whether the source has the bytes that were read; ``previous``: the quarantine of the version before,
    empty where the file is not in it, and ``listed_as``: under which name it is; ``forgotten``: read so long ago that
    value and raw are no longer kept.
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
    """One region of the result: users, events kept, watch time in minutes."""

    region: str
    users: int
    events: int
    minutes: float
