"""Generates activity logs of any size in bounded memory, and the truth about them.

Every row is a pure function of the settings and the number of the row. Therefore the bytes do not depend on the number
of workers, and a copy of a record takes no memory. The truth is counted while the rows are made.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from multiprocessing.synchronize import Event
from pathlib import Path

from data_generator.blocks import BLOCK_ROWS, Tally, decide_conflicts, make_block
from data_generator.events import DataSet
from data_generator.rows import FIRST_DAY, HEADER, RowLayout
from data_generator.settings import DataSetSettings
from data_generator.truth import TRUTH_FILE, Truth, load_truth, write_truth

__all__ = ["DataSetSettings", "ForeignLogs", "Truth", "generate", "load_truth"]

_OWN_FILE = re.compile(r"\.?activity_\d{4}_\d{4}-\d{2}-\d{2}\.csv(\.tmp)?")
_LOG = re.compile(r"[^.].*\.[ct]sv\b.*", re.IGNORECASE)
"""Also compressed, rotated and numbered logs: what may be somebody's is somebody's."""
_FIRST_GUESS_ROW_BYTES = 115
_SAMPLE_ROUNDS = 3
_SAMPLE_ROWS = 65_536
_POLL_SECONDS = 0.2

_stop_worker: Event | None = None


class ForeignLogs(ValueError):
    """A folder has logs that new test data would replace or mix with; the message says which, and why."""


def generate(
    settings: DataSetSettings,
    output: Path,
    progress: Callable[[int], None] | None = None,
    workers: int = 1,
    *,
    force: bool = False,
) -> Truth:
    """Write the CSV files and ``truth.json`` into a folder, in place of what the generator wrote there before.

    The columns are ``log_id, user_id, timestamp, video_id, device_type, ip_address, watch_time(min)``, all text;
    watch time in decimal minutes. Files appear under their names when all of them are complete, the truth last.

    Args:
        settings: what to make.
        output: folder, made if it does not exist. Files of other names in it are not touched.
        progress: called now and then with the number of bytes written since its last call.
        workers: processes at work; one process makes a file at a time.
        force: whether to replace what has the generator's names, and to write beside other logs.

    Returns:
        the truth, as written.

    Raises:
        ValueError: ``workers`` is below 1.
        ForeignLogs: the folder has a log that its truth does not list, or test data of other settings.
        OSError: the folder cannot be written to, or the disk is full; unfinished files are removed.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; expected a whole number from 1 on.")
    output.mkdir(parents=True, exist_ok=True)
    if not force:
        check_folder(output, settings)
    _remove_earlier(output)
    data_set = size_data_set(settings)
    names = file_names(settings)
    temporary = [output / f".{name}.tmp" for name in names]
    advance = progress or _ignore
    tally = Tally()
    try:
        parts = _files_in_turn if min(workers, len(names)) == 1 else _files_in_parallel
        for part in parts(data_set, temporary, advance, workers):
            tally.add(part)
        for path, name in zip(temporary, names, strict=True):
            path.replace(output / name)
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)
    truth = _truth(data_set, tally)
    write_truth(truth, output)
    return truth


def file_names(settings: DataSetSettings) -> tuple[str, ...]:
    """Names of the CSV files, in order."""
    return tuple(f"activity_{number + 1:04}_{FIRST_DAY + number}.csv" for number in range(settings.files))


def size_data_set(settings: DataSetSettings) -> DataSet:
    """Find the number of rows for each file that meets the size, by measuring samples."""
    file_bytes = settings.size_bytes / settings.files - len(HEADER)
    rows = max(1, round(file_bytes / _FIRST_GUESS_ROW_BYTES))
    for _ in range(_SAMPLE_ROUNDS):
        data_set = DataSet(settings, rows)
        sampled = min(rows, _SAMPLE_ROWS)
        content, _ = make_block(data_set, RowLayout(data_set), 0, 0, sampled)
        rows = max(1, round(file_bytes * sampled / len(content)))
    return DataSet(settings, rows)


def write_file(data_set: DataSet, file: int, path: Path, advance: Callable[[int], None]) -> Tally:
    """Write one file block by block, and count its records. ``advance`` is called with the bytes of each block."""
    layout = RowLayout(data_set)
    tally = Tally(bytes=len(HEADER))
    with path.open("wb") as target:
        target.write(HEADER)
        advance(len(HEADER))
        for start in range(0, data_set.rows_per_file, BLOCK_ROWS):
            if _stop_worker is not None and _stop_worker.is_set():
                break
            content, part = make_block(data_set, layout, file, start, min(start + BLOCK_ROWS, data_set.rows_per_file))
            target.write(content)
            tally.add(part)
            advance(len(content))
    return tally


def _truth(data_set: DataSet, tally: Tally) -> Truth:
    conflicts, gained_micro = decide_conflicts(data_set, tally.conflicts)
    rejected = sum(tally.rejected.values())
    micro = tally.original_micro + gained_micro
    return Truth(
        records=tally.records,
        distinct_ids=tally.originals,
        duplicates=tally.records - rejected - tally.originals - conflicts,
        conflicts=conflicts,
        rejected=rejected,
        rejected_by_reason=dict(sorted(tally.rejected.items())),
        total_micro_minutes=micro,
        total_watch_time_min=micro / 1_000_000,
        bytes=tally.bytes,
        file_names=file_names(data_set.settings),
        settings=data_set.settings,
    )


def check_folder(folder: Path, settings: DataSetSettings) -> None:
    """Check that a folder has no log but those that these settings make; it need not exist.

    Raises:
        ForeignLogs: it has another, or its truth cannot be read, so that nobody knows.
    """
    logs = {path.name: path for path in sorted(folder.glob("*")) if _LOG.fullmatch(path.name)}
    try:
        truth = load_truth(folder)
    except ValueError as fault:
        raise ForeignLogs(f"{folder} has files, and nobody knows whose: {fault}") from None
    if not logs:
        return
    strange = [name for name in logs if truth is None or name not in truth.file_names]
    if strange or truth is None:
        raise ForeignLogs(f"{folder} has {strange[0]}, which its {TRUTH_FILE} does not list: it may be a log of yours.")
    if truth.settings != settings:
        raise ForeignLogs(f"{folder} has test data of other parameters: {_difference(truth.settings, settings)}.")
    size = sum(path.stat().st_size for path in logs.values())
    if size > truth.bytes or (size < truth.bytes and len(logs) == truth.files):
        raise ForeignLogs(f"the logs in {folder} are not as they were made: {truth.bytes:,} bytes were, {size:,} are.")


def _difference(found: DataSetSettings, asked: DataSetSettings) -> str:
    old, new = asdict(found), asdict(asked)
    return ", ".join(f"{name} {old[name]} (asked for: {new[name]})" for name in old if old[name] != new[name])


def _remove_earlier(folder: Path) -> None:
    """Remove what has the generator's names, also unfinished files; the truth goes last."""
    for path in sorted(folder.iterdir()):
        if _OWN_FILE.fullmatch(path.name):
            path.unlink()
    (folder / TRUTH_FILE).unlink(missing_ok=True)


def _files_in_turn(
    data_set: DataSet, paths: list[Path], advance: Callable[[int], None], _workers: int
) -> Iterator[Tally]:
    for file, path in enumerate(paths):
        yield write_file(data_set, file, path, advance)


def _files_in_parallel(
    data_set: DataSet, paths: list[Path], advance: Callable[[int], None], workers: int
) -> Iterator[Tally]:
    """Write files on a process pool; progress is what the growing files show."""
    context = multiprocessing.get_context("spawn")
    with _hangup_blocked():
        stop = context.Event()  # starts a helper of Python's
    reported = 0
    with ProcessPoolExecutor(min(workers, len(paths)), context, _start_worker, (stop,)) as pool:
        try:
            with _hangup_blocked():
                waiting: set[Future[Tally]] = {
                    pool.submit(write_file, data_set, file, path, _ignore) for file, path in enumerate(paths)
                }
            while waiting:
                done, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
                written = sum(path.stat().st_size for path in paths if path.exists())
                advance(written - reported)
                reported = written
                yield from (future.result() for future in done)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def _hangup_blocked() -> Iterator[None]:
    """Block SIGHUP for processes that the block starts: the end of a terminal reaches all, and the parent decides."""
    if not hasattr(signal, "SIGHUP"):  # Windows has none
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(stop: Event) -> None:
    """Prepare a worker: the parent handles Ctrl-C, and a worker never outlives its parent."""
    global _stop_worker
    _stop_worker = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    with contextlib.suppress(OSError):
        multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _ignore(_written: int) -> None:
    """Ignore progress."""
