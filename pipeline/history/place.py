"""Where a run works: its output, its history and its workspace, locked and cleared of what earlier runs left."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.errors import ConfigError
from pipeline.exchange.workspace import Workspace
from pipeline.history.carry_over import Intake
from pipeline.history.manifest_snapshot import knows_version
from pipeline.history.replays import Replays
from pipeline.history.split_store import begin_store
from pipeline.history.state import History, open_history
from pipeline.machine import display_name
from pipeline.storage.exchange import StorageExchange
from pipeline.storage.urls import is_url, join_url
from pipeline.versions.folders import check_on_storage, intermediate_folder, intermediate_url, is_run_folder
from pipeline.versions.lock import AnyLock, Lock
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import locked, open_output
from pipeline.versions.quarantine_retention import oldest_kept


@dataclass(frozen=True)
class Place:
    """Where a run works.

    ===============  ===============================================================================
    ``folder``       the intermediate folder
    ``output``       the published versions
    ``history``      what earlier runs read
    ``replays``      files of corrected records
    ``workspace``    the run's own files
    ``sources``      the inputs that the new version is made from, as absolute paths
    ``oldest_kept``  texts of records that were read before this time (epoch seconds) are removed
    ``expired``      names of the versions whose quarantines this run removed
    ``forgotten``    number of known files whose rejected records lost their texts in this run
    ``locks``        the locks of both folders, and of an output that several machines share
    ``exchange``     where executors that share no disk exchange their files; None where they share the folder
    ===============  ===============================================================================
    """

    folder: Path
    output: Output
    history: History
    replays: Replays
    workspace: Workspace
    sources: tuple[str, ...]
    oldest_kept: float
    expired: tuple[str, ...]
    forgotten: int
    locks: tuple[AnyLock, ...]
    exchange: StorageExchange | None = None

    def confirm_locks(self) -> None:
        """Raise EnvironmentFault where this run no longer holds both folders."""
        for lock in self.locks:
            lock.confirm()

    def remove_runs(self, but: Path) -> None:
        """Remove the folders of all runs from the intermediate folder, except the folder ``but``; and what no machine
        goes on from any more of an exchange."""
        remove_runs(self.folder, but)
        if self.exchange:
            self.exchange.keep_store(begin_store(self.folder, self.exchange.url))


@contextmanager
def open_place(
    config: Config, run_id: str, *, replay: tuple[str, ...] = (), full_refresh: bool = False, add: bool = False
) -> Iterator[Place]:
    """Lock both folders while the block runs, recover from interrupted runs, and make the run's workspace.

    ``replay``, ``full_refresh``, ``add``: see ``RunOptions``. Raises EnvironmentFault where another run holds a folder,
    ConfigError for another input than before without ``add``, or for replayed files that executors do not see, and
    InputError for a file that cannot be replayed.
    """
    folder = intermediate_folder(config.INTERMEDIATE_DIR, config.OUTPUT_DIR)
    output = open_output(config.OUTPUT_DIR, delta=config.TABLE_FORMAT == "delta")
    with ExitStack() as stack:
        locks = (stack.enter_context(Lock(folder, run_id)), *stack.enter_context(locked(output, run_id)))
        output.discard()
        output.catch_up(folder, lambda version: full_refresh or knows_version(folder, output.key, version))
        exchange = _find_exchange(config, folder, run_id, output)
        now = time.time()
        oldest = oldest_kept(config.QUARANTINE_RETENTION_DAYS, now)
        expired = output.remove_expired(config.QUARANTINE_RETENTION_DAYS, now)
        replays = stack.enter_context(Replays(output.versions, config.INPUT_DIR))
        if exchange:
            _refuse_replays(replay, replays, output)
        history = stack.enter_context(open_history(folder, output, full_refresh))
        output.update_table()
        forgotten = history.forget_texts(oldest)
        sources = history.check_source(config.INPUT_DIR, add)
        replays.add(replay)
        workspace = stack.enter_context(_open_workspace(folder, run_id, history.totals_folder, exchange))
        yield Place(
            folder, output, history, replays, workspace, sources, oldest, tuple(expired), forgotten, locks, exchange
        )


def _find_exchange(config: Config, folder: Path, run_id: str, output: Output) -> StorageExchange | None:
    """Where executors exchange their files, if INTERMEDIATE_DIR is a URL."""
    check_on_storage("INPUT_DIR", config.INPUT_DIR, config.INTERMEDIATE_DIR)
    if not is_url(config.INTERMEDIATE_DIR):
        return None
    url = intermediate_url(config.INTERMEDIATE_DIR, config.OUTPUT_DIR)
    run, root, folder = join_url(url, "runs", run_id), _run_folder(folder, run_id), folder.absolute()
    places = [(str(folder / "store"), begin_store(folder, url)), (str(root), run)]
    if shown := output.current():  # the records of its quarantine
        places.append((str(output.folder_of(shown)), output.place_of(shown)))
    return StorageExchange(url, run, tuple(places), (str(root / "conflicts"), str(root / "quarantine")))


def _refuse_replays(replay: tuple[str, ...], replays: Replays, output: Output) -> None:
    """Raise ConfigError where there are replayed files, or some are to be added: they lie on this machine."""
    shared = "Let --intermediate name a folder that all machines share"
    if replay:
        raise ConfigError(f"--replay: executors do not see files that lie on this machine. {shared}.")
    if replays.paths:
        raise ConfigError(
            f"corrected records were replayed into {output.key!r}, and executors do not see their files, which lie on "
            f"this machine. {shared}, or, to go on without these records, remove {display_name(str(replays.folder))!r}."
        )


def _run_folder(folder: Path, run_id: str) -> Path:
    return (folder / f"run-{run_id}").absolute()


def compare_with_history(place: Place, paths: list[str], fingerprint: str, *, prune_missing: bool) -> Intake:
    """Compare the input (``paths``) and the replayed files with the history, for a run with these settings.

    Raises InputError where a file that counts and is not in the input was read with settings of another
    ``fingerprint``.
    """
    replays = place.replays
    return compare_with_known(place.history, [*paths, *replays.paths], fingerprint, replays.folder, prune_missing)


def compare_with_known(
    history: History, paths: list[str], fingerprint: str, replays: Path, prune_missing: bool
) -> Intake:
    """Compare files with a history, which may be a look's copy; see ``compare_with_history``.

    ``paths``: the input and the replayed files, which lie in the folder ``replays``.
    """
    inventory = history.take_inventory(paths, fingerprint)
    return Intake(inventory, history.still_counted(inventory, fingerprint, replays, prune_missing))


@contextmanager
def _open_workspace(folder: Path, run_id: str, totals: Path, exchange: StorageExchange | None) -> Iterator[Workspace]:
    """Make the run's workspace, and remove those of earlier runs except the folder ``totals``.

    When the block ends, expanded inputs are removed from it, and the run's own files from an exchange; the rest stays
    for the next run.
    """
    workspace = Workspace(str(_run_folder(folder, run_id)), str((folder / "store").absolute()))
    remove_runs(folder, totals)
    workspace.create()
    if exchange:
        exchange.begin()
    try:
        yield workspace
    finally:
        if exchange:
            exchange.end()
        spool = workspace.path("spool", "")
        if spool.exists():
            shutil.rmtree(spool)


def remove_runs(folder: Path, but: Path) -> None:
    """Remove the folders of all runs from the intermediate ``folder``, except the folder ``but``."""
    for path in folder.iterdir():
        if is_run_folder(path, "run-") and path.name != but.name:
            shutil.rmtree(path)
