"""An exchange of files without a storage: they lie in another folder, and every read of a part of one is counted."""

import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.staging import Moves


class CountedReads(io.RawIOBase):
    """A file, each read of which is counted as (first byte, bytes)."""

    def __init__(self, path: Path, reads: list[tuple[int, int]]) -> None:
        self._file, self._reads = path.open("rb", buffering=0), reads

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:
        self._reads.append((self._file.tell(), len(buffer)))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class FolderExchange:
    """What executors call ``folder`` lies in the folder ``there``."""

    def __init__(self, folder: Path, there: Path) -> None:
        self.reads: list[tuple[int, int]] = []
        self.fetched: list[str] = []
        self._folder, self._there = folder, there

    def holds(self, path: Path) -> bool:
        return path.is_relative_to(self._folder)

    def fetch(self, path: Path, copy: Path) -> None:
        self.fetched.append(path.name)
        shutil.copyfile(self._place(path), copy)

    def open(self, path: Path) -> CountedReads:
        return CountedReads(self._place(path), self.reads)

    def hand_over(self, files: Sequence[Path], attempt: str) -> list[str]:
        names = [str(self._there / f"{attempt}-{path.name}") for path in files]
        for path, name in zip(files, names, strict=True):
            shutil.copyfile(path, name)
        return names

    def accept(self, moves: Sequence[Moves]) -> None:
        for own, path in (move for of_attempt in moves for move in of_attempt):
            place = self._place(Path(path))
            place.unlink(missing_ok=True)
            if own:
                Path(own).rename(place)

    def check(self) -> None:
        """It is there."""

    def _place(self, path: Path) -> Path:
        return self._there / path.relative_to(self._folder)
