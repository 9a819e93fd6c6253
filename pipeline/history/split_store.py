"""The store: files of splits that later runs use again, named by the split's number, in the intermediate folder or on
object storage.

A file counts only where the manifest calls its split finished. All others are leftovers, which the next run removes
when it begins.
"""

import ctypes
import math
import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from pipeline.exchange.workspace import SPLIT_KINDS, split_file
from pipeline.faults import point
from pipeline.machine import sync, writing
from pipeline.storage.objects import copy_object, delete_objects, list_objects, read_object, write_object
from pipeline.storage.reader import open_object
from pipeline.storage.transfer import download_file
from pipeline.storage.urls import is_url, join_url, split_url
from pipeline.versions.folders import make_own
from pipeline.versions.quarantine_retention import forget_texts, has_texts

_SPLIT_FILE = re.compile(r"\.?split-([0-9]{6,})\.(?:parquet|npy|.*(partial))")
_STORE_URL = "store.url"
"""The file of an intermediate folder that says where its store lies, if not there."""
_STORE_BEFORE = "store-before.url"
"""The file of an intermediate folder that says in which store another machine has what this one goes on from."""
_CLEARED = "texts-cleared"
"""The object of a store that says up to when texts are cleared."""
_COPIES_AT_ONCE = 64
"""Objects of another machine's store that are copied at a time: each waits for the answer of the storage."""
_SYNC_THREADS = 16
_MANY = 200
"""For more files than these, one ``syncfs`` is faster than an ``fsync`` of each."""

_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if os.name == "posix" else None
"""A function of the system that only Linux has."""


class Store:
    """The folder ``store`` of an intermediate ``folder``: in its ``root``, a folder for each kind of ``SPLIT_KINDS``.

    ``needed`` and ``finished`` in its methods: for each finished split, by number, the kinds of files that it has.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"

    def open(self, needed: Mapping[int, frozenset[str]]) -> None:
        """Make the folders, and remove the files of splits that are not ``needed``.

        Raises ConfigError where a link stands in the place of a folder.
        """
        make_own(self.root, "--intermediate", 0o700)
        for kind in SPLIT_KINDS:
            folder = self.root / kind
            make_own(folder, "--intermediate", 0o700)
            for entry in os.scandir(folder):
                named = _SPLIT_FILE.fullmatch(entry.name)
                if named and (int(named[1]) not in needed or named[2]):
                    point("store.remove")
                    os.unlink(entry)

    def at_hand(self, kind: str, number: int) -> Path:
        """A file of a split, which need not exist."""
        return self.root / kind / split_file(number, SPLIT_KINDS[kind])

    def lines(self, number: int) -> Path:
        """The file with the chunk starts of a split."""
        return self.at_hand("lines", number)

    def forget_texts(self, number: int) -> bool:
        """Clear the texts in a split's file of rejected records, if it exists. Returns whether there were any."""
        path = self.at_hand("rejects", number)
        return path.exists() and forget_texts(path)

    def texts_cleared(self) -> float:
        """Texts of all files that were read before this time (epoch seconds) are cleared, as far as the store knows."""
        return -math.inf

    def note_cleared(self, before: float) -> None:
        """Note that texts of all files that were read before this time are cleared: nothing to do, because footers of
        files on a disk are read at once."""

    def missing(self, needed: Mapping[int, frozenset[str]]) -> set[int]:
        """The numbers of the splits that lack a file."""
        missing: set[int] = set()
        for kind, suffix in SPLIT_KINDS.items():
            names = self._names(kind)
            missing |= {n for n, kinds in needed.items() if kind in kinds and split_file(n, suffix) not in names}
        return missing

    def _names(self, kind: str) -> set[str]:
        return _names_in(self.root / kind)

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the files of these splits."""
        for number in numbers:
            for kind in SPLIT_KINDS:
                point("store.remove")
                (self.root / kind / split_file(number, SPLIT_KINDS[kind])).unlink(missing_ok=True)

    def sync(self, finished: Mapping[int, frozenset[str]]) -> None:
        """Bring the files of these splits to the disk, and the entries of their folders."""
        point("store.sync")
        files = [
            self.root / kind / split_file(number, SPLIT_KINDS[kind])
            for number, kinds in finished.items()
            for kind in kinds
        ]
        sync_files([*files, *(self.root / kind for kind in SPLIT_KINDS)])

    def sync_run(self, run: Path) -> None:
        """Bring to the disk what a run leaves for the next one in its folder: totals, and losers of conflicts."""
        point("run.sync")
        folders = [run / "totals", run / "conflicts"]
        sync_files([*(path for folder in folders for path in folder.iterdir()), *folders, run, run.parent])

    def shared(self) -> dict[str, Path]:
        """The files that a run on another machine goes on from, by the names that they have in its folder."""
        return files_below(self.root, self.root.parent)


class StorageStore(Store):
    """A store on object storage, at ``url``. What this machine reads of it is copied to its folder.

    Each machine has a store of its own, because another one may give its splits the same numbers. A machine that goes
    on from a version of another one lets the storage copy what it needs of that one's store.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._own, self._before = folder / _STORE_URL, folder / _STORE_BEFORE
        self.url = self._own.read_text(encoding="utf-8")

    def open(self, needed: Mapping[int, frozenset[str]]) -> None:
        """Make the folders, remove the copies there, and the objects of splits that are not ``needed``; bring those
        that are from the store of the machine that this one goes on from, if it is another one."""
        super().open({})
        if self._before.exists():
            self._take_over(self._before.read_text(encoding="utf-8"), needed)
            self._before.unlink()
        delete_objects(
            found
            for kind in SPLIT_KINDS
            for found in list_objects(join_url(self.url, kind) + "/")
            if (named := _SPLIT_FILE.fullmatch(found.rpartition("/")[2])) and int(named[1]) not in needed
        )

    def _take_over(self, store: str, needed: Mapping[int, frozenset[str]]) -> None:
        """Copy what is needed, and not here yet, from the store at another URL, as far as it is there."""
        if not is_url(store) or split_url(store).bucket != split_url(self.url).bucket:
            return  # objects are copied within a bucket
        names = [f"{kind}/{split_file(n, SPLIT_KINDS[kind])}" for n, kinds in needed.items() for kind in kinds]
        here = {f"{kind}/{name}" for kind in SPLIT_KINDS for name in self._names(kind)}

        def bring(name: str) -> None:
            with suppress(FileNotFoundError):  # a split that lacks a file is read again
                copy_object(join_url(store, name), join_url(self.url, name))

        if not here:  # later, it might tell of texts that were cleared after they were copied
            bring(_CLEARED)
        with ThreadPoolExecutor(_COPIES_AT_ONCE) as threads:
            for _ in threads.map(bring, (name for name in names if name not in here)):
                pass

    def at_hand(self, kind: str, number: int) -> Path:
        """A copy of a file of a split, which is made where there is none; there is none of what does not exist."""
        path = super().at_hand(kind, number)
        if not path.exists():
            with suppress(FileNotFoundError):
                download_file(self._object(kind, number), path)
        return path

    def forget_texts(self, number: int) -> bool:
        """Clear the texts in a split's file of rejected records. Returns whether there were any."""
        try:
            with open_object(self._object("rejects", number), stop=0) as source:
                if not has_texts(source):
                    return False
        except FileNotFoundError:
            return False
        path = self.at_hand("rejects", number)
        forget_texts(path)
        write_object(self._object("rejects", number), path)
        return True

    def texts_cleared(self) -> float:
        """What ``note_cleared`` noted: to ask each old split takes two requests."""
        try:
            return float(read_object(join_url(self.url, _CLEARED)))
        except FileNotFoundError:
            return -math.inf

    def note_cleared(self, before: float) -> None:
        """Note that texts of all files that were read before this time are cleared."""
        write_object(join_url(self.url, _CLEARED), repr(before).encode())

    def _names(self, kind: str) -> set[str]:
        return {found.rpartition("/")[2] for found in list_objects(join_url(self.url, kind) + "/")}

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the files of these splits, and their copies."""
        numbers = list(numbers)
        super().remove(numbers)
        delete_objects(self._object(kind, number) for number in numbers for kind in SPLIT_KINDS)

    def sync(self, finished: Mapping[int, frozenset[str]]) -> None:
        """Nothing to do: an object that was written lasts."""

    def shared(self) -> dict[str, Path]:
        """Where this store is: another machine copies from it what it needs into a store of its own."""
        return {_STORE_BEFORE: self._own}

    def _object(self, kind: str, number: int) -> str:
        return join_url(self.url, kind, split_file(number, SPLIT_KINDS[kind]))


def open_store(folder: Path) -> Store:
    """The store of an intermediate folder."""
    return StorageStore(folder) if (folder / _STORE_URL).exists() else Store(folder)


def begin_store(folder: Path, url: str) -> str:
    """Let the store of the intermediate ``folder`` lie below the URL; returns where. A folder that names none there yet
    has a new store."""
    path, stores = folder / _STORE_URL, join_url(url, "stores")
    if path.exists() and (found := path.read_text(encoding="utf-8")).startswith(f"{stores}/"):
        return found
    place, partial = join_url(stores, uuid.uuid4().hex[:12]), folder / f"{_STORE_URL}.partial"
    with writing(partial):
        partial.write_text(place, encoding="utf-8")
    sync(partial)
    partial.replace(path)
    return place


def sync_files(paths: Sequence[Path]) -> None:
    """Bring files of one file system to the disk. Raises OSError where the disk fails.

    A few files are synced one by one, several at once. For very many, the whole file system is synced, which takes a
    twentieth of the time, though it waits for what other programs wrote, too.
    """
    if len(paths) > _MANY and _syncfs:
        handle = os.open(paths[0], os.O_RDONLY)
        try:
            if _syncfs(handle):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), str(paths[0]))
        finally:
            os.close(handle)
        return
    with ThreadPoolExecutor(_SYNC_THREADS) as threads:
        for _ in threads.map(sync, paths):
            pass


def files_below(folder: Path, base: Path) -> dict[str, Path]:
    """The files below a folder, by their names below ``base``."""
    return {path.relative_to(base).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _names_in(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
