"""Bronze: the rows of sources as they were, append-only; extracts new and changed files of each source."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.job import Job
from pipeline.datasets.kernels import extract
from pipeline.datasets.state import FileState, JobState, SourceState
from pipeline.datasets.tasks import ExtractTask, JobContext
from pipeline.engines import Advance, Engine, run_tasks
from pipeline.errors import InputError
from pipeline.machine import display_name
from pipeline.reading.file_access import stamp
from pipeline.reading.input_files import hash_file
from pipeline.sources.extracted import CLEAR, Extracted
from pipeline.sources.protection import Protection
from pipeline.sources.source import Source, list_files
from pipeline.storage.urls import is_url

FORGETTING = "forgetting"
"""A file of bronze that is there while people are being forgotten."""


@dataclass(frozen=True)
class Listed:
    """A file of a source as it is now, and its state where it was extracted before and has not changed."""

    source: str
    path: str
    name: str
    bytes: int
    mtime_ns: int
    known: FileState | None


def key_file(bronze: Path) -> Path:
    """The file of the job's own key, beside bronze and not in it, so that copies of bronze do not have the key."""
    return bronze.with_name(f"{bronze.name}.key")


def check_all_forgotten(bronze: Path) -> None:
    """Raise InputError where forgetting people was interrupted: versions may have them still."""
    if (bronze / FORGETTING).exists():
        raise InputError(
            "people are being forgotten, which was interrupted, so that rows of them may be left. Run the job with the "
            "action forget, which needs no ids now: it goes on where it stopped."
        )


def bronze_folder(output: Path) -> Path:
    """Where the rows of sources are kept, beside the output."""
    return output.with_name(output.name + ".bronze")


def list_sources(
    job: Job, names: Sequence[str], base: str, before: JobState | None
) -> tuple[list[Listed], tuple[str, ...]]:
    """(the files of some sources, the names of those that lie beside them and are skipped). Raises InputError where a
    source has no file and needs one."""
    found, others = [], set[str]()
    for name in names:
        source = job.sources[name]
        old = before.sources.get(name) if before else None
        same = old is not None and old.fingerprint == fingerprint(source)
        known = {file.name: file for file in old.files} if old and same else {}
        paths, skipped = list_files(source, base)
        others.update(_called(path, base) for path in skipped)
        for path in paths:
            size, changed, _ = stamp(path)
            called = _called(path, base)
            file = known.get(called)
            unchanged = file and (file.bytes, file.mtime_ns) == (size, changed) and not is_url(path)
            if file and not unchanged and file.bytes == size and hash_file(path) == file.hash:
                unchanged = True
            found.append(Listed(name, path, called, size, changed, file if unchanged else None))
    return found, tuple(sorted(others - {file.name for file in found}))


def _called(path: str, base: str) -> str:
    """The name of a file in ``_source``: below the folder of sources, so that it is the same on any machine."""
    if is_url(path):
        return display_name(path.removeprefix(f"{base.rstrip('/')}/"))
    whole, root = os.path.abspath(path), os.path.abspath(base)
    name = os.path.relpath(whole, root) if whole.startswith(root + os.sep) else whole
    return display_name(name)


def fingerprint(source: Source) -> str:
    """Changes with what shapes the rows of a source."""
    text = repr((source.kind, source.delimiter, sorted(source.contract.columns.items())))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def extract_sources(
    job: Job, names: Sequence[str], listed: Sequence[Listed], engine: Engine, context: JobContext, bronze: Path,
    before: JobState | None, advance: Advance, threads: int,
) -> dict[str, SourceState]:  # fmt: skip
    """Extract the files of the sources ``names`` that are new or changed. Returns the state of each source.

    A source with snapshots keeps what was extracted before. Raises InputError where a file cannot be read, or changed
    while it was read.
    """
    new = [file for file in listed if not file.known]
    tasks = {
        file.path: ExtractTask(
            file.source, file.path, file.name,
            str(bronze / extract_folder(context.run_id, file.source, number)), threads, max(1, file.bytes),
        )
        for number, file in enumerate(new)
    }  # fmt: skip
    done = dict(run_tasks(engine, extract, context, list(tasks.values()), advance))
    extracted = {file.path: _state(file, tasks[file.path], done[tasks[file.path]], bronze) for file in new}
    states = {}
    for name in names:
        files = [file.known or extracted[file.path] for file in listed if file.source == name]
        mark = context.protections.get(name, Protection()).mark
        states[name] = source_state(job.sources[name], name, files, context.run_id, before, mark)
    return states


def extract_folder(run_id: str, source: str, number: int) -> str:
    """The folder of an extract in bronze."""
    return f"{source}/{run_id}-{number:05d}"


def _state(file: Listed, task: ExtractTask, found: Extracted, bronze: Path) -> FileState:
    if stamp(file.path)[:2] != (file.bytes, file.mtime_ns):
        raise InputError(f"{display_name(file.path)} changed while it was read. Run again when it is whole.")
    folder = os.path.relpath(task.folder, bronze)
    return FileState(
        file.name, file.bytes, file.mtime_ns, hash_file(file.path), folder,
        found.files, found.rows, found.rejected, found.rejects,
    )  # fmt: skip


def source_state(
    source: Source, name: str, files: Sequence[FileState], run_id: str, before: JobState | None, protection: str,
    position: Mapping[str, str] | None = None,
) -> SourceState:  # fmt: skip
    """The state of a source with these files; one with snapshots keeps what it had before."""
    old = before.sources.get(name) if before else None
    if old and source.snapshots:
        earlier = [file for file in old.files if file not in files]
        files = [*earlier, *files]
    mark = fingerprint(source)
    same = old is not None and old.fingerprint == mark and _parts(old.files) == _parts(files)
    return SourceState(tuple(files), mark, old.changed_in if old and same else run_id, protection, position or {})


def _parts(files: Sequence[FileState]) -> set[tuple[str, ...]]:
    return {(file.folder, *file.parts, *file.rejects) for file in files}


def remove_orphans(bronze: Path, kept: Sequence[JobState]) -> None:
    """Remove what runs extracted that published nothing: no kept version and no other state names it."""
    named = {file.folder for state in kept for source in state.sources.values() for file in source.files}
    for folder in bronze.glob("*/*"):
        if folder.relative_to(bronze).as_posix() not in named and not (folder / ".published").exists():
            shutil.rmtree(folder, ignore_errors=True)


def keep_only(bronze: Path, state: JobState) -> None:
    """Remove all extracts that a version is not made of, and of the others what was replaced."""
    named = {file.folder: file for source in state.sources.values() for file in source.files}
    for folder in bronze.glob("*/*"):
        file = named.get(folder.relative_to(bronze).as_posix())
        if file is None:
            shutil.rmtree(folder)
            continue
        for part in folder.glob("*.parquet"):
            if part.name.removeprefix(CLEAR) not in (*file.parts, *file.rejects):
                part.unlink()


def mark_published(bronze: Path, states: Mapping[str, SourceState]) -> None:
    """Mark the extracts that a version was published with: they stay, whatever becomes of the version."""
    for state in states.values():
        for file in state.files:
            (bronze / file.folder / ".published").touch()
