"""Inputs made ready to read: compressed files expanded on the workers, every header read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pipeline.engines import Engine
from pipeline.engines.local import LocalEngine
from pipeline.errors import FileRefused, WorkerDied
from pipeline.planning.run_settings import Setup
from pipeline.preprocess.context import Job
from pipeline.reading.archives import Expanded, expand_file, is_archive
from pipeline.reading.header import NO_NAMES, Names, read_header, without_fields
from pipeline.reading.input_files import InputFile, file_size, stamp
from pipeline.reading.record_rules import rule_columns
from pipeline.timing import Progress, count


def open_files(
    pool: LocalEngine, setup: Setup, paths: list[str], progress: Progress
) -> tuple[list[InputFile], dict[str, str]]:
    """Expand what is compressed and read every header: (files, reasons of the refused ones by path)."""
    config = setup.config
    archives = [path for path in paths if is_archive(path)]
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    if archives:
        progress.phase("Expand compressed files", sum(map(file_size, archives)))
        expanded, refused = expand_all(pool, archives, config.MAX_EXPANSION_RATIO, progress.advance)
    readable = [path for path in paths if path not in refused]
    required, optional = rule_columns(setup.rules, setup.columns)
    files, headless = open_inputs(readable, required, config.MAX_RECORD_BYTES, optional, expanded)
    if config.PSEUDONYMIZE_USERS:  # where the header is missing, the line shown is a record with its user
        headless = {path: without_fields(reason) for path, reason in headless.items()}
    return files, refused | headless


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


def open_inputs(
    paths: list[str],
    wanted: Names,
    max_record: int,
    optional: Names = NO_NAMES,
    expanded: Mapping[str, Expanded] = MappingProxyType({}),
) -> tuple[list[InputFile], dict[str, str]]:
    """Read every header: (files, reasons of the refused ones by path); columns: see ``read_header``.

    The header of a compressed file is that of what it was expanded to.
    """
    files: list[InputFile] = []
    refused: dict[str, str] = {}
    for path in paths:
        try:
            spool = expanded.get(path)
            found = spool.stamp if spool else stamp(path)
            header = read_header(Path(spool.spool if spool else path), wanted, max_record, optional)
            files.append(InputFile(path, found, header, spool))
        except FileRefused as reason:
            refused[path] = str(reason)
        except OSError as fault:
            refused[path] = f"cannot be read: {fault.strerror or fault}. Check that it exists and its permissions."
    return files, refused
