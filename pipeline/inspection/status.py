"""What is known and what a run would do, found without changing anything: for ``status`` and ``run --dry-run``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.history.carry_over import Intake
from pipeline.history.inventory import Inventory
from pipeline.history.journal import ledger_of
from pipeline.history.known_files import KnownFile
from pipeline.history.manifest_snapshot import read_manifest
from pipeline.history.place import compare_with_known
from pipeline.history.replays import Replays
from pipeline.history.split_store import Store
from pipeline.history.state import History
from pipeline.machine import display_name
from pipeline.planning.run_options import RunOptions
from pipeline.reading.input_files import file_size, find_inputs, refuse_outside
from pipeline.versions.output_link import Output


@dataclass(frozen=True)
class FileState:
    """A file that was or would be read; its counts are known once it was read. ``bytes``: on disk."""

    file: str
    state: str
    bytes: int
    records: int | None = None
    rejected: int | None = None
    handed_over: int | None = None
    splits: int | None = None


@dataclass(frozen=True)
class VersionState:
    """A version that is kept. ``files``: how many count in it; None where another intermediate folder knows."""

    version: str
    current: bool
    files: int | None


@contextmanager
def look_at_history(config: Config, output: Output) -> Iterator[History | None]:
    """The history as a copy; None where there is none. A run may be publishing meanwhile: manifest and link agree, and
    a file is missing only where a second look finds that too, because runs forget files before they remove them."""
    place = Path(config.INTERMEDIATE_DIR)
    missing_before: set[int] = set()
    while True:
        shown = output.current()
        with read_manifest(place) as manifest:
            history = History(manifest, Store(place), output) if manifest else None
            missing = history.lacking_files() if history else set()
            if output.current() != shown or missing != missing_before:
                missing_before = missing
                continue
            if history:
                history.mark_damaged(missing)
            yield history
            return


def list_versions(output: Output, history: History | None) -> list[VersionState]:
    """All versions that are kept, the oldest first."""
    current = history.shown_version if history else output.current()
    files = {name: len(version.files) for name, version in history.versions.items()} if history else {}
    return [VersionState(name, name == current, files.get(name)) for name in output.version_names()]


def list_files(history: History | None) -> list[FileState]:
    """Every file of the manifest: ``counted`` or ``counted, has left`` in the current version, ``read`` (and not
    published), ``superseded`` (counts in an older version only), ``interrupted``."""
    if history is None:
        return []
    states = [_describe(file, state_of(file, history)) for file in history.known]
    return sorted(states, key=lambda state: (state.file, state.state))


def state_of(file: KnownFile, history: History) -> str:
    """One of the states that ``list_files`` tells."""
    if not file.finished:
        return "interrupted"
    if history.current and file.id in history.current.files:
        return "counted" if os.path.lexists(file.path) else "counted, has left"
    return "superseded" if any(file.id in version.files for version in history.versions.values()) else "read"


@dataclass(frozen=True)
class Stock:
    """What a run would find: the state of every file; the ``paths`` that it would read; the rows of files that it would
    not read again."""

    states: list[FileState]
    paths: list[str]
    known_rows: int


def take_stock(config: Config, options: RunOptions, fingerprint: str) -> Stock:
    """What a run would do with every file: ``read``, ``resume``, ``reuse``, ``read again``, ``refuse``, ``keep``
    (has left), ``take out``. Raises as a run would where it could not begin."""
    output = Output(config.OUTPUT_DIR)
    output.check_place()
    paths, _ = find_inputs(config.INPUT_DIR)
    paths, outside = refuse_outside(config.INPUT_DIR, paths)
    replays = Replays(output.versions, config.INPUT_DIR)
    with look_at_history(config, output) as history:
        if history is None:
            intake = Intake(Inventory(fresh=(*paths, *replays.paths)), ())
        else:
            if options.full_refresh:
                history.start_over()
            history.check_source(config.INPUT_DIR, options.add)
            intake = compare_with_known(
                history, [*paths, *replays.paths], fingerprint, replays.folder, options.prune_missing
            )
    inventory, still_counted = intake.inventory, intake.still_counted
    states = [FileState(display_name(path), "refuse", file_size(path)) for path in outside]
    states += [_describe(file, "reuse", path) for path, file in inventory.reused.items()]
    states += [FileState(display_name(path), "resume", file_size(path)) for path in inventory.resumed]
    states += [
        FileState(display_name(path), "read again" if path in inventory.replaced else "read", file_size(path))
        for path in inventory.fresh
    ]
    states += [_describe(file, "keep") for file in still_counted]
    states += [_describe(file, "take out") for file in inventory.missing if file not in still_counted]
    return Stock(sorted(states, key=lambda state: state.file), inventory.to_read, intake.known_rows)


def _describe(file: KnownFile, state: str, path: str = "") -> FileState:
    name = display_name(path or file.path)
    if not file.finished:
        return FileState(name, state, file.hint.size)
    ledger = ledger_of(file, path or file.path, at_hand=True)
    rejected = ledger.rejected_by_reason.total()
    return FileState(name, state, file.hint.size, ledger.records, rejected, ledger.handed_over, len(ledger.splits))
