"""The output: the link ``OUTPUT_DIR`` and the folder of versions beside it; publishes a version, or goes back to one.

A version is complete before the link shows it, and the link changes by one rename, so that whoever resolves the link
gets one version or the other. Who lists and opens files *through* the link looks at it several times, and may meet
another version each time: nothing can be done here against that.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.faults import point
from pipeline.machine import sync, sync_file_system
from pipeline.versions.delta_table import VersionTable
from pipeline.versions.folders import is_run_folder, make_own
from pipeline.versions.lock import AnyLock
from pipeline.versions.quarantine_retention import find_expired, remove_expired

History = Callable[[Path], Mapping[str, Path]]
"""Writes copies of what is being written into a folder, and tells the files that a run on another machine needs."""


_MANY_FILES = 256
"""From so many files on, one call for the whole file system is faster, also where others write to it."""


def _sync_tree(folder: Path) -> None:
    """Bring all files and folders in ``folder`` to the disk."""
    found = [(Path(path), files) for path, _, files in os.walk(folder)]
    if sum(len(files) for _, files in found) >= _MANY_FILES and sync_file_system(folder):
        point("publish.sync")
        return
    for path, files in found:
        for name in files:
            point("publish.sync")
            sync(path / name)
        sync(path)


def no_history(_: Path) -> Mapping[str, Path]:
    """No file is needed elsewhere."""
    return {}


class Output:
    """One ``OUTPUT_DIR``: its ``link``, and the folder ``versions`` (``OUTPUT_DIR.versions``).

    ``table``: the Delta table that follows the link (``delta``), or None.
    """

    def __init__(self, output_dir: str, *, delta: bool = False) -> None:
        self.link = Path(os.path.abspath(output_dir))
        self.versions = self.link.with_name(self.link.name + ".versions")
        self.table = VersionTable(self.link, self.versions) if delta else None

    @property
    def key(self) -> str:
        """The name by which manifests know the output."""
        return str(self.link)

    def place_of(self, version: str) -> str:
        """Where all that belongs to a version lies."""
        return str(self.versions / version)

    def folder_of(self, version: str, *, records_only: bool = False) -> Path:  # noqa: ARG002 - all of it is there
        """The folder of a version; ``records_only``: its records are enough."""
        return self.versions / version

    def locks(self, run_id: str) -> list[AnyLock]:  # noqa: ARG002
        """The locks of the output besides those of its folders."""
        return []

    def catch_up(self, folder: Path, knows: Callable[[str], bool]) -> None:
        """Let the intermediate ``folder`` go on from the version that is shown; on a disk, nobody else publishes.

        ``knows``: whether the history there knows a version of this output.
        """

    def share(self, folder: Path, names: Sequence[str]) -> None:
        """Let other machines have files of a folder that belong to no version; on a disk, there is no other."""

    def take_shared(self, folder: Path, names: Sequence[str]) -> None:
        """Bring such files from where other machines put them."""

    def find_expired(self, days: int, now: float) -> list[str]:
        """The versions with a quarantine that were made more than ``days`` before ``now`` (epoch seconds)."""
        return [path.name for path in find_expired(self.versions, days, now)]

    def remove_expired(self, days: int, now: float) -> list[str]:
        """Remove the quarantines of these versions; returns the versions' names. Raises OSError."""
        return remove_expired(self.versions, days, now)

    def check(self) -> None:
        """Find early what would prevent publication; makes the folder of versions.

        Raises ConfigError where something else stands at OUTPUT_DIR, EnvironmentFault where links cannot be written.
        """
        self.check_place()
        try:
            make_own(self.versions, "--output")
            probe = self.versions / f".probe-{os.getpid()}"
            probe.unlink(missing_ok=True)
            probe.symlink_to("nowhere")
            probe.unlink()
        except OSError as fault:
            raise EnvironmentFault(
                f"cannot write symbolic links in {str(self.versions)!r}: {fault.strerror or fault}. "
                "Choose an --output on a file system that has them and where you may write."
            ) from fault
        if self.table:
            self.table.check()

    def check_place(self) -> None:
        """Raise ConfigError where OUTPUT_DIR exists and is not a link that Logmill made. Changes nothing."""
        if self.link.is_symlink():
            target = Path(os.path.abspath(self.link.parent / os.readlink(self.link)))
            if not target.is_relative_to(self.versions):
                raise ConfigError(
                    f"OUTPUT_DIR {str(self.link)!r} is a link to {str(target)!r}, which Logmill did not make. "
                    "Remove the link, or choose another --output."
                )
        elif self.link.is_mount() or self.link.exists():
            kind = "a mount point" if self.link.is_mount() else "a file or folder that Logmill did not make"
            raise ConfigError(
                f"OUTPUT_DIR {str(self.link)!r} is {kind}; it must be free, because it becomes a link to the current "
                "version. Choose another --output, or move it away (in Docker: mount its parent folder)."
            )

    def current(self) -> str | None:
        """The name of the version that the link shows; None where nothing is published."""
        if not self.link.is_symlink():
            return None
        folder = (self.link.parent / os.readlink(self.link)).parent
        return folder.name if is_run_folder(folder) else None

    def shown(self) -> tuple[str | None, Path | None]:
        """The name and the folder of the version that the link shows; None where it leads nowhere that we may look."""
        try:
            return self.current(), self.link.resolve(strict=True).parent
        except (OSError, RuntimeError):
            return None, None

    def go_back(self) -> None:
        """Prepare to show an earlier version."""

    def version_names(self) -> list[str]:
        """The names of all versions, in the order in which they were published (that of their folders' times)."""
        folders = [path for path in self.versions.iterdir() if is_run_folder(path)] if self.versions.is_dir() else []
        times = {}
        for path in folders:
            with suppress(FileNotFoundError):  # a run has removed it meanwhile
                times[path.name] = path.stat().st_mtime_ns
        return sorted(times, key=lambda name: times[name])  # the ids of one second are in no order

    def remove(self, version: str) -> None:
        """Remove a version that the link does not show. A reader finds all of it or nothing."""
        hidden = self.versions / f".new-{version}"  # ``discard`` removes it if this run is killed
        with suppress(OSError):
            (self.versions / version).rename(hidden)
        for folder in hidden, self.versions / version:
            shutil.rmtree(folder, ignore_errors=True)

    def begin(self, version: str) -> Path:
        """Make a hidden folder for a new version, with a folder ``data`` in it. Returns the hidden folder."""
        folder = self.versions / f".new-{version}"
        (folder / "data").mkdir(parents=True)
        return folder

    def discard(self) -> None:
        """Remove the hidden folders: versions that were begun and not published, or not removed to their end."""
        for leftover in self.versions.iterdir():
            if is_run_folder(leftover, ".new-"):
                shutil.rmtree(leftover, ignore_errors=True)

    def publish(self, folder: Path, version: str, keep: int, history: History = no_history) -> None:  # noqa: ARG002
        """Make the finished ``folder`` the current version, then remove the oldest versions until ``keep`` are left.

        The version that was current until now goes last, though after a rollback it may be the oldest. ``history``: for
        an output that other machines go on from.
        """
        previous = self.current()
        (folder / "data" / "_SUCCESS").touch()
        self._make_latest(folder)
        _sync_tree(folder)
        point("publish.rename")
        folder.rename(self.versions / version)
        sync(self.versions)
        self.show(version)
        others = sorted((name for name in self.version_names() if name != version), key=lambda name: name == previous)
        for name in others[: max(0, len(others) - (keep - 1))]:
            point("publish.remove")
            self.remove(name)
        if self.table:
            self.table.remove_all_but(set(self.version_names()))

    def update_table(self) -> None:
        """Let the table show what the link shows, where a run was interrupted between the two or the table is new."""
        current = self.current()
        if self.table and current:
            self.table.prepare(current)
            self.table.commit(current)
            self.table.remove_all_but(set(self.version_names()))

    def _make_latest(self, folder: Path) -> None:
        """Give ``folder`` a later time than all versions, even where the clock was set back since the last one."""
        latest = max((path.stat().st_mtime_ns for path in self.versions.iterdir() if is_run_folder(path)), default=0)
        if folder.stat().st_mtime_ns <= latest:
            os.utime(folder, ns=(latest + 1, latest + 1))

    def show(self, version: str) -> None:
        """Make the link show a version, which must exist, by one rename; then the table, which has no part in that.

        Raises EnvironmentFault where the table could not follow.
        """
        if self.table:
            self.table.prepare(version)
        fresh = self.versions / ".link"
        fresh.unlink(missing_ok=True)
        target = Path(self.versions.name) / version / "data"
        try:
            fresh.symlink_to(target)
        except OSError as fault:  # which names the target
            raise OSError(fault.errno, fault.strerror, str(fresh)) from fault
        point("publish.link")
        fresh.replace(self.link)
        point("publish.link.done")
        sync(self.link.parent)
        if self.table:
            self.table.commit(version)
