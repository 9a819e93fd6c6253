"""The store: files of splits that later runs use again, below the intermediate folder, named by the split's number.

A file counts only where the manifest calls its split finished; all others are leftovers and go when a run begins.
"""

import ctypes
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.faults import point
from pipeline.intermediate import SPLIT_KINDS, split_file

_SPLIT_FILE = re.compile(r"split-([0-9]{6,})\.(parquet|npy|partial)")
_SUFFIX = {"rows": "parquet", "index": "npy", "rejects": "parquet", "lines": "npy"}


class Store:
    """The folder ``store`` of the intermediate folder ``place``."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.root = place / "store"

    def open(self, needed: Mapping[int, frozenset[str]]) -> set[int]:
        """Make the folders and remove the files of splits that are not in ``needed``.

        ``needed``: for each finished split the kinds of files that it must have. Returns the splits that lack one.
        """
        damaged: set[int] = set()
        for kind in SPLIT_KINDS:
            folder = self.root / kind
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
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
            if not all((self.root / kind / split_file(number, _SUFFIX[kind])).exists() for kind in kinds)
        }

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the files of these splits."""
        for number in numbers:
            for kind in SPLIT_KINDS:
                point("store.remove")
                (self.root / kind / split_file(number, _SUFFIX[kind])).unlink(missing_ok=True)

    def sync(self) -> None:
        """Bring everything that was written below the intermediate folder to the disk.

        One call for the whole file system: a run over 10,000 small files would wait minutes for 30,000 single ones.
        """
        point("store.sync")
        if sys.platform == "linux":
            handle = os.open(self._place, os.O_RDONLY)
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.syncfs(handle) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code), str(self._place))
            finally:
                os.close(handle)
        elif hasattr(os, "sync"):
            os.sync()
