"""Makes inputs ready to be read: expands compressed files on the workers, and reads every header."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from pipeline.engines import Advance, Engine
from pipeline.errors import FileRefused, WorkerDied
from pipeline.exchange.workspace import Workspace
from pipeline.reading.archives import Expanded, expand_file, is_archive
from pipeline.reading.column_names import NO_NAMES, Names
from pipeline.reading.file_access import file_size, open_bytes, stamp, unreadable
from pipeline.reading.header import read_header
from pipeline.reading.input_files import InputFile
from pipeline.reading.no_header import without_fields
from pipeline.reading.packed_files import pack_files
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats
from pipeline.storage.exchange import StorageExchange
from pipeline.storage.transfer import upload_files
from pipeline.storage.urls import is_url
from pipeline.timing import Progress, count, in_stage

_OBJECTS_AT_ONCE = 16
"""Objects whose headers are read at the same time."""
_OBJECTS_IN_TURN = 1024
"""Objects that wait for it, at most."""


@dataclass(frozen=True)
class OpenedInputs:
    """``files`` whose headers were read, and ``refused``: path → reason of each file that cannot be read."""

    files: Sequence[InputFile]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class HeaderRules:
    """What a header must have.

    ==============  ==================================================================
    ``required``    role → accepted header names, of the columns that a file must have
    ``optional``    role → accepted header names, of the columns that a file may lack
    ``max_record``  bytes of the longest line that can be a header
    ``hide_lines``  whether the reason of a refusal must not show fields of the file
    ``columns``     names of the columns of files without a header (COLUMNS); empty where every file must have one
    ``formats``     how values are written
    ==============  ==================================================================
    """

    required: Names
    optional: Names
    max_record: int
    hide_lines: bool = False
    columns: tuple[str, ...] = ()
    formats: ValueFormats = USUAL_FORMATS


def open_inputs(
    engine: Engine, paths: Sequence[str], rules: HeaderRules, max_ratio: int, workspace: Workspace, progress: Progress
) -> OpenedInputs:
    """Expand the compressed files of ``paths`` into ``workspace``, and read the header of every file.

    ``max_ratio``: an archive that expands to more than so many times its size is refused. A file that cannot be
    expanded or read, or has no header, is refused; the others are opened.
    """
    archives = [path for path in paths if is_archive(path)]
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    if archives:
        progress.phase("Expand compressed files", sum(map(file_size, archives)))
        expanded, refused = _expand_all(engine, archives, max_ratio, workspace, progress.advance)
    readable = [path for path in paths if path not in refused]
    files, headless = read_headers(
        readable, rules.required, rules.max_record, rules.optional, expanded, rules.columns, rules.formats
    )
    if rules.hide_lines:  # the line that a reason shows instead of the header may be a record with its user
        headless = {path: without_fields(reason) for path, reason in headless.items()}
    return OpenedInputs(files, refused | headless)


@dataclass(frozen=True)
class ExpandTask:
    """Expand the archive ``path`` into the new file ``spool``, to at most ``max_ratio`` times its size."""

    path: str
    spool: str
    max_ratio: int


@in_stage("expand")
def expand(_: None, task: ExpandTask, advance: Advance) -> Expanded:
    """The kernel that expands one archive; ``advance`` gets the bytes read. Raises FileRefused as ``expand_file``."""
    expanded = expand_file(task.path, Path(task.spool), task.max_ratio, advance)
    count(expanded.size)
    return expanded


def _expand_all(
    engine: Engine, paths: Sequence[str], max_ratio: int, workspace: Workspace, advance: Advance
) -> tuple[dict[str, Expanded], dict[str, str]]:
    """Expand all archives on the workers: (path → expanded file, path → reason of each refused archive)."""
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


def share_texts(files: Sequence[InputFile], exchange: StorageExchange) -> Sequence[InputFile]:
    """Bring expanded texts to where executors that share no disk read them. Raises StorageFault, OSError."""
    spools = [file.expanded.spool for file in files if file.expanded]
    if not spools:
        return files
    urls = {spool: url for spool in spools if (url := exchange.url_of(spool))}
    upload_files({url: Path(spool) for spool, url in urls.items()})
    return pack_files(
        replace(file, expanded=replace(file.expanded, spool=urls[file.expanded.spool])) if file.expanded else file
        for file in files
    )


def read_headers(
    paths: list[str],
    wanted: Names,
    max_record: int,
    optional: Names = NO_NAMES,
    expanded: Mapping[str, Expanded] = MappingProxyType({}),
    columns: tuple[str, ...] = (),
    formats: ValueFormats = USUAL_FORMATS,
) -> tuple[Sequence[InputFile], dict[str, str]]:
    """Read every header: (files, path → reason of each refused file).

    ``wanted``, ``optional`` and ``columns``: as for ``read_header``. ``expanded``: the expanded files of the archives
    among ``paths``. ``formats``: how values are written.
    """

    def read(path: str) -> InputFile | str:
        return _read_header(path, wanted, max_record, optional, expanded.get(path), columns, formats)

    refused: dict[str, str] = {}

    def good_ones() -> Iterator[InputFile]:
        for path, file in zip(paths, _in_order(read, paths), strict=True):
            if isinstance(file, str):
                refused[path] = file
            else:
                yield file

    return pack_files(good_ones()), refused


def _in_order(read: Callable[[str], InputFile | str], paths: Sequence[str]) -> Iterator[InputFile | str]:
    """What ``read`` returns of each path. Many objects are asked for at once: each takes several answers."""
    if not any(map(is_url, paths)):
        yield from map(read, paths)
        return
    with ThreadPoolExecutor(_OBJECTS_AT_ONCE) as threads:
        for first in range(0, len(paths), _OBJECTS_IN_TURN):
            yield from threads.map(read, paths[first : first + _OBJECTS_IN_TURN])


def _read_header(
    path: str,
    wanted: Names,
    max_record: int,
    optional: Names,
    text: Expanded | None,
    columns: tuple[str, ...],
    formats: ValueFormats,
) -> InputFile | str:
    """The file with its header, or the reason why it is refused; see ``read_headers``."""
    try:
        file_stamp = text.stamp if text else stamp(path)
        source = text.spool if text else path
        header = read_header(source, wanted, max_record, optional, columns)
        if header and header.first_line > 2:
            from pipeline.reading.early_records import note_early_records  # with Polars, which few files need

            with open_bytes(source) as stream:
                header = note_early_records(stream, header, max_record, formats)
        return InputFile(path, file_stamp, header, text)
    except FileRefused as reason:
        return str(reason)
    except OSError as fault:
        return str(unreadable(fault))
