"""The step before Phase 1: compressed inputs are expanded into the run's workspace, one task for each."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.archives import Expanded, expand_file
from pipeline.engines import Engine
from pipeline.errors import FileRefused, WorkerDied
from pipeline.job import Job
from pipeline.stages import count


@dataclass(frozen=True)
class ExpandTask:
    """Expand the archive ``path`` to at most ``max_ratio`` times its size; ``number`` names its spool file."""

    number: int
    path: str
    max_ratio: int


def expand(job: Job, task: ExpandTask, report: Callable[[int], None]) -> Expanded:
    """Expand one archive; ``report`` is told its bytes. Raises FileRefused where it cannot be read whole."""
    spool = job.workspace.path("spool", f"file-{task.number:06d}")
    expanded = expand_file(task.path, spool, task.max_ratio, report)
    count(expanded.size)
    return expanded


def expand_all(
    engine: Engine, paths: list[str], max_ratio: int, advance: Callable[[int], None]
) -> tuple[dict[str, Expanded], dict[str, str]]:
    """Expand all archives: (what came of them, reasons of the refused ones), both by path."""
    tasks = [ExpandTask(number, path, max_ratio) for number, path in enumerate(paths)]
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    for task, result in engine.map(expand, tasks, advance):
        if isinstance(result, FileRefused | WorkerDied):
            refused[task.path] = str(result)
        elif isinstance(result, Exception):
            raise result
        else:
            expanded[task.path] = result
    return expanded, refused
