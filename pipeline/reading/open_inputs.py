"""Inputs made ready to read: compressed files expanded on the workers, every header read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pipeline.engines import Advance, Engine
from pipeline.errors import FileRefused, WorkerDied
from pipeline.exchange.workspace import Workspace
from pipeline.reading.archives import Expanded, expand_file, is_archive
from pipeline.reading.file_access import unreadable
from pipeline.reading.header import NO_NAMES, Names, read_header, without_fields
from pipeline.reading.input_files import InputFile, file_size, stamp
from pipeline.timing import Progress, count, in_stage


@dataclass(frozen=True)
class OpenedInputs:
    """Files whose headers were read, and the reasons of the refused ones by path."""

    files: tuple[InputFile, ...]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class HeaderRules:
    """What a header must have: the names that are accepted for each role, of columns that a file must have and of
    columns that it may lack, and the longest line. ``hide_lines``: whether a reason must not show a line of the file.
    """

    required: Names
    optional: Names
    max_record: int
    hide_lines: bool = False


def open_inputs(
    engine: Engine, paths: Sequence[str], rules: HeaderRules, max_ratio: int, workspace: Workspace, progress: Progress
) -> OpenedInputs:
    """Expand what is compressed, to at most ``max_ratio`` times its size, and read every header."""
    archives = [path for path in paths if is_archive(path)]
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    if archives:
        progress.phase("Expand compressed files", sum(map(file_size, archives)))
        expanded, refused = _expand_all(engine, archives, max_ratio, workspace, progress.advance)
    readable = [path for path in paths if path not in refused]
    files, headless = read_headers(readable, rules.required, rules.max_record, rules.optional, expanded)
    if rules.hide_lines:  # where the header is missing, the line that a reason shows is a record with its user
        headless = {path: without_fields(reason) for path, reason in headless.items()}
    return OpenedInputs(tuple(files), refused | headless)


@dataclass(frozen=True)
class ExpandTask:
    """Expand the archive ``path`` into the new file ``spool``, to at most ``max_ratio`` times its size."""

    path: str
    spool: str
    max_ratio: int


@in_stage("expand")
def expand(_: None, task: ExpandTask, advance: Advance) -> Expanded:
    """Expand one archive; ``advance`` gets its bytes. Raises FileRefused where it cannot be read whole."""
    expanded = expand_file(task.path, Path(task.spool), task.max_ratio, advance)
    count(expanded.size)
    return expanded


def _expand_all(
    engine: Engine, paths: Sequence[str], max_ratio: int, workspace: Workspace, advance: Advance
) -> tuple[dict[str, Expanded], dict[str, str]]:
    """Expand all archives: (what came of them, reasons of the refused ones), both by path."""
    spools = (str(workspace.path("spool", f"file-{number:06d}")) for number in range(len(paths)))
    tasks = [ExpandTask(path, spool, max_ratio) for path, spool in zip(paths, spools, strict=True)]
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    for task, result in engine.map(expand, None, tasks, advance):
        if isinstance(result, FileRefused | WorkerDied):
            refused[task.path] = str(result)
        elif isinstance(result, Exception):
            raise result
        else:
            expanded[task.path] = result
    return expanded, refused


def read_headers(
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
            refused[path] = str(unreadable(fault))
    return files, refused
