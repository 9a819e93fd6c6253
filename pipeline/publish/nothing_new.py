"""Finds out, before any worker or JVM starts, that a run has nothing to do.

Each run leaves a note beside its totals: what the next run would answer if nothing changed, and what it must find
unchanged for that. The next run compares settings, program, geo data and key with the note, the published files with
their sizes and times, and its input with the manifest, as every run does: by size, times and inode of a file, or else
by the hash of its bytes. Where anything differs, the run does all its steps, and they decide.

This module imports nothing heavy, because loading Polars alone takes longer than all of it.
"""

import json
import time
from collections.abc import Iterable, Sequence, Set
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config import Config
from pipeline.engines.choose import EngineChoice, choose_engine
from pipeline.history.inventory import Inventory, identities
from pipeline.history.known_files import take_hint
from pipeline.history.place import remove_runs
from pipeline.history.replays import Replays
from pipeline.history.state import History, open_history
from pipeline.machine import cache_folder, display_name, os_errors_explained
from pipeline.planning.recorded_settings import record_settings
from pipeline.planning.run_options import RunOptions
from pipeline.privacy import find_key
from pipeline.publish.result import RunDelta, RunResult
from pipeline.publish.tasks import RegionTotal
from pipeline.quality import QualityResult
from pipeline.reading.file_access import file_size
from pipeline.reading.input_files import FoundInput, find_input
from pipeline.timing import Progress, Watch
from pipeline.versions.folders import RUN_RECORD, intermediate_folder, new_run_id
from pipeline.versions.ledger_entries import read_record
from pipeline.versions.lock import Lock
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import open_output
from pipeline.versions.quarantine_retention import oldest_kept

NOTE = "nothing-new.json"
_PROGRAM = Path(__file__).parents[1]
Json = dict[str, Any]


@dataclass(frozen=True)
class NothingNew:
    """The answer of a run that has nothing to do, and the ledger of each file, as ``run.json`` has it."""

    result: RunResult
    ledger: Iterable[Json]

    def log(self, progress: Progress) -> None:
        """Log what a run logs of its begin and its files."""
        progress.event("run_started", run_id=self.result.run_id)
        for entry in self.ledger:
            progress.event("file_read", "info", **entry)


def write_note(
    folder: Path, config: Config, result: RunResult, fingerprint: str, oldest: float, splits: int, notes: Sequence[str]
) -> None:
    """Leave a note in the run's ``folder`` that its version is published.

    ===============  ======================================================================================
    ``result``       of a run with status ok, in which every file that counts is in the input
    ``fingerprint``  of the settings that the files were read with
    ``oldest``       texts of records that were read before that time (epoch seconds) are not kept
    ``splits``       of all files
    ``notes``        lines for the summary of a run that changes nothing
    ===============  ======================================================================================
    """
    version = open_output(config.OUTPUT_DIR).versions / result.version
    note = {
        "circumstances": _circumstances(config, result.engine),
        "published": _stamps(version),
        "fingerprint": fingerprint,
        "oldest_kept": oldest,
        "splits": splits,
        "notes": list(notes),
        "result": asdict(result),
    }
    if note["circumstances"] and folder.is_dir():
        partial = folder / f"{NOTE}.partial"
        partial.write_text(json.dumps(note), encoding="utf-8")
        partial.replace(folder / NOTE)


def find_nothing_new(config: Config, options: RunOptions) -> NothingNew | None:
    """The answer of a run that has nothing to do; None where all steps must be done, or may have to be.

    Raises LogmillError where a run could not begin.
    """
    output = open_output(config.OUTPUT_DIR, delta=config.TABLE_FORMAT == "delta")
    version = output.current()
    if not version or options.full_refresh or options.add or options.replay:
        return None
    folder = intermediate_folder(config.INTERMEDIATE_DIR, config.OUTPUT_DIR) / f"run-{version}"
    try:
        note: Json = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        return _compare(config, options, output, version, folder, note)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None  # another release wrote the note, or a folder was removed: all steps find out


def _compare(
    config: Config, options: RunOptions, output: Output, version: str, folder: Path, note: Json
) -> NothingNew | None:
    with Watch(new_run_id(), _Silent()) as watch, os_errors_explained(), ExitStack() as resources:
        output.check()
        found = find_input(
            config.INPUT_DIR, would_go=version if options.prune_missing else None, rotated=config.ROTATED_NAMES
        )
        engine = choose_engine(config, found.bytes)
        circumstances = _circumstances(config, engine.name)
        if not circumstances or circumstances != note["circumstances"] or not _same_entries(found, note["result"]):
            return None
        for locked in (folder.parent, output.versions):
            resources.enter_context(Lock(locked, watch.run_id))
        oldest = oldest_kept(config.QUARANTINE_RETENTION_DAYS, time.time())
        if output.current() != version or output.find_expired(config.QUARANTINE_RETENTION_DAYS, time.time()):
            return None
        output.discard()
        history = resources.enter_context(open_history(folder.parent, output, full_refresh=False))
        output.update_table()
        current, known = history.current, history.known
        if not current or any(note["oldest_kept"] <= read_at < oldest for read_at in known.reading_times):
            return None
        replays = Replays(output.versions, config.INPUT_DIR)
        paths = [*found.paths, *replays.paths]
        if history.check_source(config.INPUT_DIR, add=False) != current.sources or not _may_be_same(history, paths):
            return None
        inventory = history.take_inventory(paths, note["fingerprint"])
        if not _is_same(inventory, current.files) or _stamps(output.versions / version) != note["published"]:
            return None
        record: Json = read_record(output.versions / version / RUN_RECORD)
        history.note_names(inventory)
        remove_runs(folder.parent, folder)
        watch.lap("phase1")
        return NothingNew(_answer(config, note, engine, watch), record["ledger"])


def _may_be_same(history: History, paths: Sequence[str]) -> bool:
    """Whether each file has the name and size of one that counts; only then is it worth hashing any."""
    counted = history.counted
    if len(counted) != len(paths):
        return False
    sizes = {counted.path(place): counted.hint(place).size for place in range(len(counted))}
    return all(sizes.pop(name, -1) == file_size(name) for name in identities(paths))


def _is_same(inventory: Inventory, counted: Set[int]) -> bool:
    changed = inventory.to_read, inventory.replaced, inventory.missing, inventory.elsewhere, inventory.renamed
    return not any(changed) and inventory.reused.ids == counted


def _same_entries(found: FoundInput, result: Json) -> bool:
    """Whether the input has the same entries that are no logs, and no link that leads out of it."""
    return not found.outside and [display_name(path) for path in found.skipped] == result["skipped_files"]


def _answer(config: Config, note: Json, engine: EngineChoice, watch: Watch) -> RunResult:
    values: Json = dict(note["result"])
    version = values["version"]
    unchanged = f"nothing has changed since version {version}, which stays the result: no new version"
    values |= {
        "run_id": watch.run_id,
        "engine_note": engine.note,
        "refused_files": (),
        "skipped_files": tuple(values["skipped_files"]),
        "top_regions": tuple(RegionTotal(**region) for region in values["top_regions"]),
        "quality": tuple(QualityResult(**found) for found in values["quality"]),
        "seconds": watch.seconds(),
        "peak_memory_bytes": watch.peak_memory(),
        "throughput_bytes_per_second": 0.0,
        "notes": (*note["notes"], unchanged),
        "plan": {},
        "new": RunDelta(reused_files=values["files"], reused_splits=note["splits"]),
        "profile": watch.profile(),
        "output": config.OUTPUT_DIR,
    }
    return RunResult(**values)


def _circumstances(config: Config, engine: str | None) -> Json:
    """All that decides a result besides the input, as JSON has it: settings, program, geo data, key and engine.

    Empty where a file of geo data was written so lately that it may change again and keep its time.
    """
    files = [path for path in (config.GEO_DATABASE, config.GEO_REGIONS) if path]
    hints = [take_hint(path, time.time_ns()) for path in files]
    if not all(hint.stable for hint in hints):
        return {}
    key = find_key(config.PSEUDONYM_KEY_FILE).digest if config.PSEUDONYMIZE_USERS else ""
    found: Json = {
        "settings": record_settings(config),
        "program": _program(),
        "geo": [asdict(hint) for hint in hints],
        "cache": str(cache_folder()),
        "key": key,
        "engine": engine,
    }
    return dict(json.loads(json.dumps(found, default=asdict)))  # gates and rules are dataclasses


def _program() -> str:
    """What tells this program from an earlier or later one: size and time of each of its files."""
    parts = [
        (str(path.relative_to(_PROGRAM)), *_stamp(path))
        for path in sorted(_PROGRAM.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return repr(parts)


def _stamps(folder: Path) -> Json:
    """Size and time of each file of a version."""
    return {str(path.relative_to(folder)): list(_stamp(path)) for path in sorted(folder.rglob("*")) if path.is_file()}


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


class _Silent:
    """Progress that nobody sees."""

    def phase(self, *_: object) -> None: ...

    def advance(self, *_: object) -> None: ...

    def note(self, *_: object) -> None: ...

    def event(self, *_: object, **__: object) -> None: ...
