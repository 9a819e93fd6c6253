"""The tasks of Phase 1 and their results: splits to read and files to hash, small ones together."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.reading.file_access import file_size
from pipeline.reading.header import Header
from pipeline.reading.header_changes import HeaderChange, header_at
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split


@dataclass(frozen=True, slots=True)
class SplitResult:
    """Counts of one split.

    ======================  =================================================================================
    ``start``, ``stop``     the bytes of the file that its records cover; a ``stop`` before the split's own
                            says that it ended early, because its rows took all the memory that they may take
    ``records``             as the scanner counts them
    ``lines``               physical lines
    ``duplicates``          rows dropped because another row of the split has the same id and content
    ``handed_over``         rows that go to Phase 2
    ``bucket_rows``         rows of each bucket, four bytes each: there may be very many splits
    ``rejected_by_reason``  records in the quarantine
    ``warned``              records that break a warning rule, by the reason of the rule
    ``undated``             good records, duplicates too, whose timestamp is missing or cannot be read, where timestamps
                            decide which copy counts
    ``over_a_day``          good records, duplicates too, with a watch time of more than a day
    ``likely``              setting and value → number of records that look as if the setting should have the value
    ``text_bytes``          bytes of the user_ids of these rows; 0 where an earlier release read the split
    ``changes``             headers among the records that change how the records behind them are read
    ``repeated``            whether another header among the records repeats the one that is in force
    ======================  =================================================================================
    """

    split: Split
    start: int
    stop: int
    records: int
    blank_lines: int
    lines: int
    duplicates: int
    handed_over: int
    bucket_rows: Sequence[int]
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    warned: dict[str, int] = field(default_factory=dict)
    undated: int = 0
    over_a_day: int = 0
    likely: dict[str, int] = field(default_factory=dict)
    text_bytes: int = 0
    changes: tuple[HeaderChange, ...] = ()
    repeated: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.bucket_rows, array):
            object.__setattr__(self, "bucket_rows", array("I", self.bucket_rows))

    @property
    def last_header(self) -> Header:
        """The header that is in force behind the split."""
        return self.changes[-1].header if self.changes else self.split.header

    def header_at(self, offset: int) -> Header:
        """The header that is in force at ``offset``, counted from the split's start."""
        return header_at(self.split.header, self.changes, offset)

    @property
    def rejected(self) -> int:
        """Records in the quarantine."""
        return sum(self.rejected_by_reason.values())

    def balances(self) -> bool:
        """Whether every record that the scanner counted is accounted for."""
        return self.records == self.rejected + self.duplicates + self.handed_over

    def is_sound(self) -> bool:
        """Whether the counts can be true: whole numbers that balance. Raises TypeError where some are no numbers."""
        named = (self.start, self.stop, self.records, self.blank_lines, self.lines, self.duplicates, self.handed_over)
        counts = (*named, *self.bucket_rows, *self.rejected_by_reason.values(), *self.warned.values())
        return (
            all(type(count) is int and count >= 0 for count in counts)
            and self.start <= self.stop
            and self.handed_over == sum(self.bucket_rows)
            and self.balances()
        )


_GROUP_BYTES = 4 * 2**20
_GROUP_SIZE = 16
_MOST_GROUPS = 64
_LARGEST_GROUP = 64
"""Most bytes, and most tasks, of a group: more tasks where there would be more than ``_MOST_GROUPS`` groups. A group
shares the costs that do not depend on the number of rows, and leaves work for all workers."""


@dataclass(frozen=True, slots=True)
class ReadTask:
    """Work on the file ``path``: read ``split``, if any; then take the hash of the file's first ``hashed`` bytes, if
    not None.

    ``sure``: whether the split is read though nearly all of its records are rejected. Otherwise it may be that a header
    before the split is not known yet.
    """

    path: str
    split: Split | None
    hashed: int | None
    sure: bool = False


def read_tasks(
    files: Sequence[InputFile], splits: Mapping[str, Sequence[Split]], done: Mapping[int, SplitResult]
) -> list[ReadTask]:
    """Make the tasks for the splits that are not ``done``: file by file, the files with the largest splits first, so
    that the last task to finish is small.

    Each file is hashed while its bytes are likely in the system's cache: a small file after its only split, a large one
    amid its splits. The hash of an expanded file is known.
    """
    tasks: list[list[ReadTask]] = []
    for file in files:
        to_read = [split for split in splits[file.path] if split.number not in done]
        hashed = None if file.expanded else file.size_on_disk
        of_file = [ReadTask(file.path, split, hashed if len(to_read) == 1 else None) for split in to_read]
        if len(to_read) != 1 and not file.expanded:
            of_file.insert(len(to_read) // 2, ReadTask(file.path, None, hashed))
        tasks.append(of_file)
    tasks.sort(
        key=lambda of_file: -max((task.split.stop - task.split.start for task in of_file if task.split), default=0)
    )
    return [task for of_file in tasks for task in of_file]


def group(tasks: Sequence[ReadTask]) -> list[tuple[ReadTask, ...]]:
    """Group neighbouring tasks, so that small ones run together; a large task is a group of its own."""
    groups: list[list[ReadTask]] = []
    filled = 0
    most = max(_GROUP_SIZE, min(_LARGEST_GROUP, len(tasks) // _MOST_GROUPS))
    for task in tasks:
        size = task.split.stop - task.split.start if task.split else file_size(task.path)
        if not groups or filled + size > _GROUP_BYTES or len(groups[-1]) == most:
            groups.append([])
            filled = 0
        groups[-1].append(task)
        filled += size
    return [tuple(tasks) for tasks in groups]
