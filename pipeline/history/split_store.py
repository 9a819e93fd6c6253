"""The store: files of splits that later runs use again, named by the split's number, in the intermediate folder.

A file counts only where the manifest calls its split finished. All others are leftovers, which the next run removes
when it begins.
"""

import ctypes
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.exchange.workspace import SPLIT_KINDS, split_file
from pipeline.faults import point
from pipeline.machine import sync
from pipeline.versions.folders import make_own

_SPLIT_FILE = re.compile(r"split-([0-9]{6,})\.(parquet|npy|partial)")
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
                if named and (int(named[1]) not in needed or named[2] == "partial"):
                    point("store.remove")
                    os.unlink(entry)

    def lines(self, number: int) -> Path:
        """The file with the chunk starts of a split."""
        return self.root / "lines" / split_file(number, "npy")

    def missing(self, needed: Mapping[int, frozenset[str]]) -> set[int]:
        """The numbers of the splits that lack a file."""
        missing: set[int] = set()
        for kind, suffix in SPLIT_KINDS.items():
            names = _names_in(self.root / kind)
            missing |= {n for n, kinds in needed.items() if kind in kinds and split_file(n, suffix) not in names}
        return missing

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


def _names_in(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
