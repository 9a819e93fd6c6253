"""The store: files of splits that later runs use again, below the intermediate folder, named by the split's number.

A file counts only where the manifest calls its split finished; all others are leftovers and go when a run begins.
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
_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if os.name == "posix" else None  # Linux has it


class Store:
    """The folder ``store`` of the intermediate folder ``place``."""

    def __init__(self, place: Path) -> None:
        self.root = place / "store"

    def open(self, needed: Mapping[int, frozenset[str]]) -> set[int]:
        """Make the folders and remove the files of splits that are not in ``needed``.

        ``needed``: for each finished split the kinds of files that it must have. Returns the splits that lack one.
        """
        damaged: set[int] = set()
        make_own(self.root, "--intermediate", 0o700)
        for kind in SPLIT_KINDS:
            folder = self.root / kind
            make_own(folder, "--intermediate", 0o700)
            found = set()
            for entry in os.scandir(folder):
                named = _SPLIT_FILE.fullmatch(entry.name)
                if named and int(named[1]) in needed and named[2] != "partial":
                    found.add(int(named[1]))
                elif named:
                    point("store.remove")
                    os.unlink(entry)
            damaged |= {number for number, kinds in needed.items() if kind in kinds and number not in found}
        return damaged

    def missing(self, needed: Mapping[int, frozenset[str]]) -> set[int]:
        """The splits that lack a file; changes nothing."""
        return {
            number
            for number, kinds in needed.items()
            if not all((self.root / kind / split_file(number, SPLIT_KINDS[kind])).exists() for kind in kinds)
        }

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the files of these splits."""
        for number in numbers:
            for kind in SPLIT_KINDS:
                point("store.remove")
                (self.root / kind / split_file(number, SPLIT_KINDS[kind])).unlink(missing_ok=True)

    def sync(self, finished: Mapping[int, frozenset[str]]) -> None:
        """Bring the files of these splits (the kinds that each has) to the disk, and the folders' entries."""
        point("store.sync")
        files = [
            self.root / kind / split_file(number, SPLIT_KINDS[kind])
            for number, kinds in finished.items()
            for kind in kinds
        ]
        sync_files([*files, *(self.root / kind for kind in SPLIT_KINDS)])

    def sync_run(self, run: Path) -> None:
        """Bring what a run leaves for the next one to the disk: totals and conflict losers in its folder ``run``."""
        point("run.sync")
        folders = [run / "totals", run / "conflicts"]
        sync_files([*(path for folder in folders for path in folder.iterdir()), *folders, run, run.parent])


def sync_files(paths: Sequence[Path]) -> None:
    """Bring files of one file system to the disk: each by itself, several at once; or, where they are very many, all
    that the file system has, which then costs a twentieth, though it also waits for what other programs wrote."""
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
