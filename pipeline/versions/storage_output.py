"""An output on object storage: versions that never change, and the entries that say which of them is shown.

    runs/<version>/         data, quarantine, run.json, geo.json, report.html, and history.json
    history/<version>/      what that run added to what the next run goes on from: manifest, splits, totals
    versions/<n>.json       the publications (``storage_pointer``); latest.json: the last of them, as a hint
    locks/<n>.json          who publishes (``storage_lease``)

A run writes its version into a folder of this machine first. What a reader asks for is copied to this machine once: it
never changes. ``history.json`` lists all files that a run on another machine needs, with the objects that hold them.
"""

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

from pipeline.errors import ConfigError, EnvironmentFault, InputError
from pipeline.faults import point
from pipeline.machine import cache_folder
from pipeline.storage.client import check_installed
from pipeline.storage.faults import StorageFault
from pipeline.storage.objects import create_object, delete_objects, list_objects, read_object, write_object
from pipeline.storage.transfer import download_file, download_files, upload_files
from pipeline.storage.urls import ObjectUrl, join_url
from pipeline.versions.folders import GEO_RECORD, RUN_RECORD, begin_of, is_run_id
from pipeline.versions.lock import AnyLock
from pipeline.versions.output_link import History, Output, no_history
from pipeline.versions.storage_lease import StorageLease
from pipeline.versions.storage_pointer import StoragePointer, version_names

GRACE_SECONDS = float(os.environ.get("LOGMILLTEST_GRACE_SECONDS", "3600"))
"""How long a version that nothing shows any more stays, beyond KEEP_VERSIONS: who resolved it may still read."""


class _Kept(TypedDict):
    """One file of the history: its object, and the size and time (epoch, ns) of the file."""

    object: str
    size: int
    time: int


class StorageOutput(Output):
    """The output ``url``. Its ``link`` and ``versions`` are copies in the user's cache on this machine."""

    def __init__(self, url: str, *, delta: bool = False) -> None:
        if delta:
            raise ConfigError(
                f"TABLE_FORMAT is delta, and OUTPUT_DIR is {url!r}: a Delta table needs an output on a disk. Choose "
                "TABLE_FORMAT = parquet, or another --output."
            )
        self.url = url.rstrip("/")
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        super().__init__(str(cache_folder() / "outputs" / digest / "output"))
        self.pointer = StoragePointer(self.url)
        self._lease: StorageLease | None = None
        self._after = 0

    @property
    def key(self) -> str:
        """The name by which manifests know the output, on every machine."""
        return self.url

    def place_of(self, version: str) -> str:
        """Where all that belongs to a version lies."""
        return join_url(self.url, "runs", version)

    def check_place(self) -> None:
        """Raise ConfigError where the packages for object storage are missing."""
        check_installed()

    def check(self) -> None:
        """Find early what would prevent publication: no bucket, no permission, or a storage that breaks its word.

        Raises StorageFault, and EnvironmentFault where a second process could create what exists.
        """
        self.check_place()
        super().check()
        if self.pointer.current() is None:
            self._prove_creation()

    def _prove_creation(self) -> None:
        """Find out whether the storage refuses to create what exists: some ignore that condition without a word."""
        probe = join_url(self.url, "locks", f"probe-{uuid.uuid4().hex}")
        try:
            created = [create_object(probe, text) for text in (b"first", b"second")]
        finally:
            with suppress(StorageFault):
                delete_objects([probe])
        if created != [True, False]:
            raise EnvironmentFault(
                f"the storage of {self.url} cannot publish safely: it let a second process create an object that "
                "existed (If-None-Match: * is ignored). Choose a storage that has conditional writes, or an --output "
                "on a disk."
            )

    def current(self) -> str | None:
        """The name of the version that the storage shows; None where nothing is published. Raises StorageFault."""
        entry = self.pointer.current()
        return entry.version if entry else None

    def version_names(self) -> list[str]:
        """The names of all versions, in the order in which they were published. Raises StorageFault."""
        return version_names(self.pointer.entries())

    def shown(self) -> tuple[str | None, Path | None]:
        """The name and the folder (a copy on this machine) of the version that the storage shows."""
        name = self.current()
        if name is None:
            return None, None
        try:
            return name, self.folder_of(name)
        except InputError:  # it was removed meanwhile
            return name, None

    def folder_of(self, version: str, *, records_only: bool = False) -> Path:
        """The folder with a copy of a version, which is made where there is none; with ``records_only``, perhaps of its
        records alone.

        Raises InputError where there is no such version, StorageFault.
        """
        folder = self.versions / version
        if folder.exists():
            return folder
        if not records_only:
            self._copy(self.place_of(version) + "/", folder)
            return folder
        records = self.versions.with_name("output.records") / version
        if not records.exists():
            wanted = [join_url(self.place_of(version), name) for name in (RUN_RECORD, GEO_RECORD)]
            self._copy(self.place_of(version) + "/", records, lambda found: found in wanted)
        return records

    def _copy(self, prefix: str, folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> None:
        """Copy objects into a folder that appears when it is complete."""
        listed = [found for found in list_objects(prefix) if wanted(found)]
        partial = folder.with_name(f".copy-{folder.name}-{uuid.uuid4().hex[:8]}")
        partial.mkdir(parents=True)
        try:
            if not listed:
                raise InputError(f"there is no version {folder.name!r} at {self.url}, or it was removed just now.")
            with _removal_told(folder.name, self.url):
                download_files({found: partial / found.removeprefix(prefix) for found in listed})
            with suppress(OSError):  # another process was quicker
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def locks(self, run_id: str) -> list[AnyLock]:
        """The lock of the output on the storage."""
        self._lease = StorageLease(self.url, run_id)
        return [self._lease]

    def catch_up(self, folder: Path, knows: Callable[[str], bool]) -> None:
        """Let the intermediate ``folder`` and the copies of versions go on from the version that the storage shows.

        ``knows``: whether the history in ``folder`` knows a version of this output. If it does not know the one that is
        shown, another machine has published it: then its history takes the place of what is in ``folder``. Called
        under the lock; what is published later must come right after what is shown now.
        """
        entries = self.pointer.entries()
        self._after = entries[-1].number if entries else 0
        names = set(version_names(entries))
        for copies in (self.versions, self.versions.with_name("output.records")):
            for path in copies.iterdir() if copies.is_dir() else ():
                if is_run_id(path.name.removeprefix(".new-")) and path.name not in names:
                    shutil.rmtree(path, ignore_errors=True)
        if not entries:
            return
        current = entries[-1].version
        if not knows(current):
            self._take_history(current, folder)
        self.folder_of(current)

    def _take_history(self, version: str, folder: Path) -> None:
        """Replace the history in ``folder`` by that of a version of another machine."""
        listing = self._listing(version)
        if listing is None:
            raise EnvironmentFault(
                f"{self._listing_url(version)} is missing or damaged: expected the files that a run on another machine "
                "goes on from. Run where the last run was made, or start over with --full-refresh."
            )
        for path in folder.iterdir():
            if path.name.startswith((".logmill.", ".copy-")):
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        fresh = folder / f".copy-{version}"
        shutil.rmtree(fresh, ignore_errors=True)
        with _removal_told(version, self.url):
            download_files({join_url(self.url, kept["object"]): fresh / name for name, kept in listing.items()})
        for name, kept in listing.items():
            os.utime(fresh / name, ns=(kept["time"], kept["time"]))
        for path in sorted(fresh.iterdir(), key=lambda path: path.name == "manifest.sqlite"):  # that one counts
            place = self.versions / path.name if path.name == "replayed" else folder / path.name
            shutil.rmtree(place, ignore_errors=True)
            path.rename(place)
        fresh.rmdir()

    def _listing(self, version: str) -> dict[str, _Kept] | None:
        """The files of the history of a version; None where their list is missing or damaged."""
        try:
            listing: dict[str, _Kept] = json.loads(read_object(self._listing_url(version)))
        except (FileNotFoundError, ValueError):
            return None
        return listing

    def _listing_url(self, version: str) -> str:
        return join_url(self.place_of(version), "history.json")

    def publish(self, folder: Path, version: str, keep: int, history: History = no_history) -> None:
        """Make the finished ``folder`` the current version, then remove versions, except the last ``keep`` and those
        that were shown less than an hour ago.

        ``history`` writes a copy of the manifest into a folder, and tells all files that a run on another machine needs
        by their names in the intermediate folder (those in ``replayed``: beside the versions). Raises EnvironmentFault
        where another run has published since ``catch_up``.
        """
        (folder / "data" / "_SUCCESS").touch()
        before = self.current()
        scratch = self.versions / f".history-{version}"
        scratch.mkdir()
        try:
            point("publish.upload")
            self._upload_history(version, before, history(scratch))
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            upload_files({join_url(self.place_of(version), *path.relative_to(folder).parts): path for path in files})
        finally:
            shutil.rmtree(scratch)
        folder.rename(self.versions / version)
        self.show(version)
        self._tidy(keep)

    def _upload_history(self, version: str, before: str | None, files: Mapping[str, Path]) -> None:
        """Write the files that no object holds yet, and the list of all."""
        held = (before and self._listing(before)) or {}
        listing: dict[str, _Kept] = {}
        for name, path in files.items():
            status = path.stat()
            kept = held.get(name)
            if kept is None or (kept["size"], kept["time"]) != (status.st_size, status.st_mtime_ns):
                kept = _Kept(object=f"history/{version}/{name}", size=status.st_size, time=status.st_mtime_ns)
            listing[name] = kept
        own = f"history/{version}/"
        upload_files({
            join_url(self.url, kept["object"]): files[name]
            for name, kept in listing.items()
            if kept["object"].startswith(own)
        })  # fmt: skip
        write_object(self._listing_url(version), json.dumps(listing).encode())

    def show(self, version: str) -> None:
        """Make a version, whose objects must be there, the current one, right after the one of ``catch_up``.

        Raises EnvironmentFault where another run has published since.
        """
        point("publish.link")
        self.pointer.show(version, self._after, self._lease.number if self._lease else 0)
        point("publish.link.done")
        self._after += 1

    def go_back(self) -> None:
        """Let ``show`` come right after what is shown now."""
        entry = self.pointer.current()
        self._after = entry.number if entry else 0

    def _tidy(self, keep: int) -> None:
        """Remove the versions that are neither kept nor within their hour, and objects that no other one needs."""
        entries = self.pointer.entries()
        now, current = entries[-1].made, entries[-1].version
        last_shown = {e.version: later.made for e, later in pairwise(entries)} | {current: now}
        others = [name for name in version_names(entries) if name != current]
        others.sort(key=lambda name: len(entries) > 1 and name == entries[-2].version)
        gone = {name for name in others[: max(0, len(others) - (keep - 1))] if now - last_shown[name] >= GRACE_SECONDS}
        point("publish.remove")
        self.pointer.remove([entry for entry in entries if entry.version in gone])
        left = [name for name in version_names(entries) if name not in gone]
        delete_objects(self._useless("runs", lambda key: key.split("/")[1] in left, now - GRACE_SECONDS))
        self._delete_history(left, now - GRACE_SECONDS)
        for name in gone:
            shutil.rmtree(self.versions / name, ignore_errors=True)

    def _delete_history(self, left: Sequence[str], before: float) -> None:
        """Delete what runs added to the history until ``before`` (epoch seconds) and none of the versions needs."""
        listings = [self._listing(name) for name in left]
        needed = {kept["object"] for listing in listings if listing for kept in listing.values()}
        if None not in listings:
            delete_objects(self._useless("history", needed.__contains__, before))

    def _useless(self, folder: str, is_needed: Callable[[str], bool], before: float) -> Iterator[ObjectUrl]:
        """Objects below a folder that nobody needs, written until ``before``: not by a run that is still at it."""
        own = f"{self.url}/"
        for found in list_objects(f"{own}{folder}/"):
            assert found.startswith(own), "the storage lists what was asked for: what is not known must not be deleted"
            if found.modified_ns / 1e9 <= before and not is_needed(found.removeprefix(own)):
                yield found

    def remove(self, version: str) -> None:
        """Remove a version that is not shown, with what no other one needs, at once: also from its last readers."""
        entries = self.pointer.entries()
        self.pointer.remove([entry for entry in entries if entry.version == version])
        super().remove(version)
        delete_objects(list_objects(self.place_of(version) + "/"))
        self._delete_history([name for name in version_names(entries) if name != version], math.inf)

    def share(self, folder: Path, names: Sequence[str]) -> None:
        """Write files that belong to no version below ``shared/``."""
        upload_files({join_url(self.url, "shared", name): folder / name for name in names if (folder / name).exists()})

    def take_shared(self, folder: Path, names: Sequence[str]) -> None:
        """Bring files from below ``shared/``; those that are not there stay as they are."""
        for name in names:
            with suppress(FileNotFoundError):
                download_file(join_url(self.url, "shared", name), folder / name)

    def find_expired(self, days: int, now: float) -> list[str]:
        """The versions with a quarantine that were made more than ``days`` before ``now`` (epoch seconds)."""
        old = [name for name in self.version_names() if _made(name) < now - days * 24 * 60 * 60]
        return [name for name in old if any(True for _ in list_objects(self.place_of(name) + "/quarantine/"))]

    def remove_expired(self, days: int, now: float) -> list[str]:
        """Remove the quarantines of these versions, on the storage and in the copies; returns the versions' names."""
        names = self.find_expired(days, now)
        for name in names:
            delete_objects(list(list_objects(self.place_of(name) + "/quarantine/")))
        for path in self.versions.glob("*/quarantine"):
            if is_run_id(path.parent.name) and _made(path.parent.name) < now - days * 24 * 60 * 60:
                shutil.rmtree(path)
        return names


@contextmanager
def _removal_told(version: str, url: str) -> Iterator[None]:
    """Tell that a version was removed while the block copied it."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"version {version} at {url} was removed while it was copied. Ask again.") from None


def _made(version: str) -> float:
    return begin_of(version).replace(tzinfo=UTC).timestamp()
