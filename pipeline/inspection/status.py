"""The states of files and versions, found without changing anything: for ``status`` and ``run --dry-run``."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from config import Config
from pipeline.errors import InputError
from pipeline.history.carry_over import Intake
from pipeline.history.inventory import Inventory
from pipeline.history.known_files import KnownFile, ledger_of
from pipeline.history.known_list import KnownFiles
from pipeline.history.manifest import UnusableManifest
from pipeline.history.manifest_snapshot import PATIENCE, always_changing, read_manifest
from pipeline.history.place import compare_with_known
from pipeline.history.replays import Replays
from pipeline.history.split_store import open_store
from pipeline.history.state import History
from pipeline.machine import display_name
from pipeline.planning.run_options import RunOptions
from pipeline.reading.file_access import exists, file_size
from pipeline.reading.input_files import find_inputs, refuse_outside
from pipeline.versions.catalog import read_version
from pipeline.versions.folders import intermediate_folder
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import open_output


@dataclass(frozen=True, slots=True)
class FileState:
    """A file that was read or would be read.

    Attributes:
        file: the path as it is shown.
        state: one of the states that ``list_files`` or ``find_file_states`` names.
        bytes: size on disk.
        records: records of the file, header and blank lines left out; None until the file was read, as below.
        rejected: records that were rejected.
        handed_over: rows that Phase 1 handed to Phase 2.
        splits: how many splits the file was read in.
    """

    file: str
    state: str
    bytes: int
    records: int | None = None
    rejected: int | None = None
    handed_over: int | None = None
    splits: int | None = None


@dataclass(frozen=True)
class VersionState:
    """A version that is kept.

    Attributes:
        version: its name.
        current: whether OUTPUT_DIR shows it.
        files: how many files count in it; None where the manifest of this intermediate folder does not know it.
        started: when its run began (UTC, ISO 8601); None where the version has no record that can be read.
        engine: who ran Phase 2.
        minutes: watch time of all users.
        made_by: what was new in it, in words.
    """

    version: str
    current: bool
    files: int | None
    started: str | None = None
    engine: str | None = None
    minutes: float | None = None
    made_by: str = ""


@contextmanager
def look_at_history(config: Config, output: Output) -> Iterator[History | None]:
    """Open a copy of the history; None where there is none.

    A run may publish at the same time. The manifest therefore is read again until it agrees with the link, and a file
    of the store counts as missing only if a second reading finds it missing too: a run removes files from the manifest
    before it removes them from the store. Raises EnvironmentFault where runs change it for half a minute.
    """
    folder = intermediate_folder(config.INTERMEDIATE_DIR, config.OUTPUT_DIR)
    missing_before: set[int] = set()
    until = time.monotonic() + PATIENCE
    while True:
        current = output.current()
        with read_manifest(folder) as manifest:
            history = History(manifest, open_store(folder), output) if manifest else None
            missing = history.lacking_files() if history else set()
            if output.current() != current or missing != missing_before:
                if time.monotonic() > until:
                    raise always_changing(folder)
                missing_before = missing
                continue
            if history:
                history.mark_damaged(missing)
            yield history
            return


def list_versions(output: Output, history: History | None) -> list[VersionState]:
    """List the versions that are kept, the oldest first."""
    current = history.shown_version if history else output.current()
    files = {name: len(version.files) for name, version in history.versions.items()} if history else {}
    return [_describe_version(output, name, name == current, files.get(name)) for name in output.version_names()]


def _describe_version(output: Output, name: str, current: bool, files: int | None) -> VersionState:
    try:
        version = read_version(output.folder_of(name, records_only=True))
    except InputError:
        version = None
    if version is None:
        return VersionState(name, current, files)
    record = version.record
    return VersionState(
        version=name,
        current=current,
        files=files,
        started=version.started.replace(tzinfo=UTC).isoformat(),
        engine=record.get("engine"),
        minutes=record.get("total_watch_time_min"),
        made_by=_made_by(record),
    )


def _made_by(record: Mapping[str, Any]) -> str:
    """What the run of a version found new, such as ``3 files read, 1 appended``."""
    new = record.get("new", {})
    read, reused, appended, changed, renamed, removed = (
        int(new.get(f"{name}files", 0)) for name in ("", "reused_", "appended_", "replaced_", "renamed_", "pruned_")
    )
    if not (reused or appended or removed):
        return "the only file read" if read == 1 else f"all {read:,} files read"
    parts = [
        *((read - appended - changed, "new"), (appended, "appended"), (changed, "changed")),
        *((renamed, "renamed"), (removed, "removed")),
    ]
    return ", ".join(f"{count:,} {word}" for count, word in parts if count > 0) or "no new files"


def list_files(history: History | None) -> list[FileState]:
    """List the files of the manifest by path, each with one of these states:

    - ``counted``: it counts in the current version.
    - ``counted, has left``: it counts there, but is no longer at its path.
    - ``read``: it was read, and no version was published with it.
    - ``superseded``: it counts in an older version only.
    - ``counted elsewhere``: it counts in another output, which has the same intermediate folder.
    - ``interrupted``: it was not read to its end.
    """
    if history is None:
        return []
    states = [_describe(file, state_of(file, history)) for file in history.known]
    return sorted(states, key=lambda state: (state.file, state.state))


def state_of(file: KnownFile, history: History) -> str:
    """The state of a file of the manifest: one that ``list_files`` names."""
    if not file.finished:
        return "interrupted"
    if history.current and file.id in history.current.files:
        return "counted" if exists(file.path) else "counted, has left"
    if any(file.id in version.files for version in history.versions.values()):
        return "superseded"
    return "counted elsewhere" if file.id in history.counted_anywhere else "read"


@dataclass(frozen=True)
class FileStates:
    """What a run would do with its files.

    Attributes:
        states: every file and what would become of it, by path.
        to_read: paths of the files that the run would read.
        known_rows: rows of the files that count and would not be read again.
    """

    states: list[FileState]
    to_read: list[str]
    known_rows: int


def find_file_states(config: Config, options: RunOptions, fingerprint: str) -> FileStates:
    """Find what a run would do with each file.

    - ``read``, ``read again`` (it changed, or settings did), ``resume`` (it was interrupted), ``read on`` (more was
      appended), ``reuse`` (it is known).
    - ``refuse``: a link leads out of the input.
    - ``keep``: it is missing and still counts.
    - ``take out``: it is missing and would no longer count.

    ``fingerprint``: that of the settings of the run. Raises LogmillError where a run could not begin.
    """
    output = open_output(config.OUTPUT_DIR)
    output.check_place()
    paths, _ = find_inputs(config.INPUT_DIR, config.ROTATED_NAMES)
    paths, outside = refuse_outside(config.INPUT_DIR, paths)
    replays = Replays(output.versions, config.INPUT_DIR)
    with _history_for(options, config, output) as history:
        if history is None:
            intake = Intake(Inventory(fresh=(*paths, *replays.paths)), KnownFiles())
        else:
            if options.full_refresh:
                history.start_over()
            history.check_source(config.INPUT_DIR, options.add)
            intake = compare_with_known(
                history, [*paths, *replays.paths], fingerprint, replays.folder, options.prune_missing
            )
    inventory = intake.inventory
    states = [FileState(display_name(path), "refuse", file_size(path)) for path in outside]
    states += [_describe(file, "reuse", path) for path, file in inventory.reused.items()]
    states += [FileState(display_name(path), "resume", file_size(path)) for path in inventory.resumed]
    states += [FileState(display_name(path), "read on", file_size(path)) for path in inventory.appended]
    states += [
        FileState(display_name(path), "read again" if path in inventory.replaced else "read", file_size(path))
        for path in inventory.fresh
    ]
    states += [_describe(file, "keep") for file in intake.still_counted]
    states += [_describe(file, "take out") for file in intake.pruned]
    return FileStates(sorted(states, key=lambda state: state.file), inventory.to_read, intake.known_rows)


@contextmanager
def _history_for(options: RunOptions, config: Config, output: Output) -> Iterator[History | None]:
    """The history that a run with these options begins with: none where --full-refresh could not use the manifest."""
    with ExitStack() as stack:
        try:
            history = stack.enter_context(look_at_history(config, output))
        except UnusableManifest:
            if not options.full_refresh:
                raise
            history = None
        yield history


def _describe(file: KnownFile, state: str, path: str = "") -> FileState:
    name = display_name(path or file.path)
    if not file.finished:
        return FileState(name, state, file.hint.size)
    ledger = ledger_of(file, path or file.path, at_hand=True)
    rejected = ledger.rejected_by_reason.total()
    return FileState(name, state, file.hint.size, ledger.records, rejected, ledger.handed_over, len(ledger.splits))
