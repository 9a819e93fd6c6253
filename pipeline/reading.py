"""The tasks of Phase 1: parts of files, several small ones in one task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.confirmation import DISAGREEMENT, Confirmation
from pipeline.content import hash_file
from pipeline.errors import FileRefused
from pipeline.job import Job
from pipeline.preprocessor import SplitResult, read_split
from pipeline.splits import InputFile, Split, file_size
from pipeline.stages import stage

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


def read_parts(
    job: Job, tasks: Sequence[ReadTask], report: Callable[[int], None]
) -> list[tuple[SplitResult | None, str | None] | FileRefused]:
    """For each task (counts of the split, hash of the file), each where the task asks for it; or why its file is
    refused."""
    sampled = Confirmation(job)
    found = [_read_part(job, task, report, sampled) for task in tasks]
    wrong = sampled.find_wrong()
    return [
        FileRefused(DISAGREEMENT) if task.split and task.split.number in wrong else part
        for task, part in zip(tasks, found, strict=True)
    ]


def _read_part(
    job: Job, task: ReadTask, report: Callable[[int], None], sampled: Confirmation
) -> tuple[SplitResult | None, str | None] | FileRefused:
    try:
        result = read_split(job, task.split, report, sampled) if task.split else None
    except FileRefused as reason:
        return reason
    if not task.hashed:
        return result, None
    try:
        with stage("checksum", file_size(task.path)):
            return result, hash_file(task.path)
    except OSError as fault:
        return FileRefused(f"cannot be read: {fault.strerror}. Check that it exists and its permissions.")


def read_tasks(
    files: list[InputFile], splits: dict[str, list[Split]], done: Mapping[int, SplitResult]
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
