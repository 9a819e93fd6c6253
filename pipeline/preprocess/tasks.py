"""The tasks of Phase 1 and their results: parts of files, several small ones in one task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.reading.input_files import InputFile, file_size
from pipeline.reading.splits import Split


@dataclass(frozen=True)
class SplitResult:
    """Counts of one split; ``records`` is the scanner's. ``start`` and ``stop``: the bytes that its records cover;
    ``warned``: records that break a warning rule, by its reason. Where ``stop`` lies before the split's own, its rows
    took all the memory that they may take, and the rest is a split of its own."""

    split: Split
    start: int
    stop: int
    records: int
    blank_lines: int
    lines: int
    duplicates: int
    handed_over: int
    bucket_rows: tuple[int, ...]
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    warned: dict[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """Records in the quarantine."""
        return sum(self.rejected_by_reason.values())

    def balances(self) -> bool:
        """Whether every record that the scanner counted is accounted for."""
        return self.records == self.rejected + self.duplicates + self.handed_over


_GROUP_BYTES = 4 * 2**20
_GROUP_PARTS = 16
"""What costs the same for any number of rows is shared by so many parts of so many bytes in all; few enough that every
worker has some."""


@dataclass(frozen=True)
class ReadTask:
    """Work on the file ``path``: read ``split``, if any; then take the hash of the whole file, if ``hashed``."""

    path: str
    split: Split | None
    hashed: bool


def read_tasks(
    files: Sequence[InputFile], splits: dict[str, list[Split]], done: Mapping[int, SplitResult]
) -> list[ReadTask]:
    """Tasks file by file, those with the largest splits first, so that the last to finish is small.

    Each file is hashed while its bytes are likely in the system's cache: a small one after its only split, a large one
    amid its splits. An expanded file's hash is known.
    """
    tasks: list[list[ReadTask]] = []
    for file in files:
        parts = [split for split in splits[file.path] if split.number not in done]
        of_file = [ReadTask(file.path, split, len(parts) == 1 and not file.expanded) for split in parts]
        if len(parts) != 1 and not file.expanded:
            of_file.insert(len(parts) // 2, ReadTask(file.path, None, True))
        tasks.append(of_file)
    tasks.sort(
        key=lambda of_file: -max((task.split.stop - task.split.start for task in of_file if task.split), default=0)
    )
    return [task for of_file in tasks for task in of_file]


def group(tasks: Sequence[ReadTask]) -> list[tuple[ReadTask, ...]]:
    """The same tasks in order, small ones together."""
    groups: list[list[ReadTask]] = []
    filled = 0
    for task in tasks:
        size = task.split.stop - task.split.start if task.split else file_size(task.path)
        if not groups or filled + size > _GROUP_BYTES or len(groups[-1]) == _GROUP_PARTS:
            groups.append([])
            filled = 0
        groups[-1].append(task)
        filled += size
    return [tuple(tasks) for tasks in groups]
