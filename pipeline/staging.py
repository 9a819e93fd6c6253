"""Names of their own for the files of an attempt, so that a task may run twice, also beside a lost attempt of itself.

On a cluster an executor that seems lost may go on working while another one has its task. So each attempt writes under
names that nobody else has. The driver moves the files of the attempt whose result it accepts to the names that the
kernel asked for, and nobody ever reads the files of the others.

    staged(path)     in a kernel: where to write the file ``path``
    here(path)       in a kernel: where to read it
    ranges_of(path)  in a kernel: parts of it, where it lies on object storage
    at_once(...)     in a kernel: reads several such files at a time
    give_up()        on the executor: after a kernel that failed
    attempting(...)  on the executor: the block in which staged() gives names of their own
    accept(moves)    in the driver

Without an attempt, such as in a pool of processes, ``staged`` and ``here`` return the path as it is. Where executors
share no disk, files travel over object storage (``Exchange``); then paths are names that the driver knows.
"""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from pipeline.faults import point

Moves = tuple[tuple[str | None, str], ...]
"""(File of an attempt, the name that it gets). None instead of a file: that name is removed."""


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AT_ONCE, _AHEAD = 16, 64
"""Calls at a time, and results that wait at most."""

ATTEMPTS = "attempts"
"""The folder of all attempts, beside what they make."""


class Exchange(Protocol):
    """Brings files from executors to each other where they share no disk."""

    def holds(self, path: Path) -> bool:
        """Whether the file ``path`` lies there, and not on the disks."""

    def fetch(self, path: Path, copy: Path) -> None:
        """Write the file ``path`` to this machine as ``copy``."""

    def open(self, path: Path) -> io.RawIOBase:
        """The file ``path``, to read some of its bytes: a read may give fewer than asked for."""

    def hand_over(self, files: Sequence[Path], attempt: str) -> list[str]:
        """Bring files of an attempt there; returns what they are called there."""

    def accept(self, moves: Sequence[Moves]) -> None:
        """In the driver: do what ``accept`` does, for several attempts."""

    def check(self) -> None:
        """On an executor: raise what would keep it from writing and reading there."""


@dataclass
class _Attempt:
    """An attempt that runs: its ``folder``, and file → own name for what it has written or removed (None).

    ``exchange``: where other files lie; None where all machines share the disk. ``copies``: file → copy of what it has
    fetched from there.
    """

    folder: Path
    exchange: Exchange | None = None
    own: dict[Path, Path | None] = field(default_factory=dict)
    copies: dict[Path, Path] = field(default_factory=dict)

    def name_for(self, path: Path, beside: Path | None) -> Path:
        own = self.own.get(path)
        if own is None:
            folder = self._folder_in(beside) if beside and not self.exchange else self.folder
            own = self.own[path] = folder / f"{len(self.own)}-{path.name}"
        return own

    def _folder_in(self, base: Path) -> Path:
        folder = base / ATTEMPTS / self.folder.name
        for made in folder.parent, folder:  # not the base: where that is gone, a late attempt fails
            made.mkdir(exist_ok=True)
        return folder

    def copy_of(self, path: Path) -> Path:
        if path not in self.copies:
            copy = self.folder / f"copy-{len(self.copies)}-{path.name}"
            assert self.exchange, "only what lies there is copied"
            self.exchange.fetch(path, copy)
            self.copies[path] = copy
        return self.copies[path]

    def moves(self) -> Moves:
        """What is left at the end of the task: files that it removed itself need no move."""
        written = [(own, str(path)) for path, own in self.own.items() if own and own.exists()]
        files = [own for own, _ in written]
        names = self.exchange.hand_over(files, self.folder.name) if self.exchange and files else map(str, files)
        gone = tuple((None, str(path)) for path, own in self.own.items() if own is None)
        return (*zip(names, (path for _, path in written), strict=True), *gone)


_running: ContextVar[_Attempt | None] = ContextVar("attempt", default=None)


@contextmanager
def attempting(folder: Path, exchange: Exchange | None = None) -> Iterator[list[Moves]]:
    """Give the files of the block names in ``folder``, which is made. The list that it yields gets the moves when the
    block ends without an exception. ``exchange``: where the other files lie, if not on a disk that all share."""
    folder.mkdir()  # not its parents: where the run has ended, and its folder is gone, a late attempt fails
    attempt = _Attempt(folder, exchange)
    token = _running.set(attempt)
    moves: list[Moves] = []
    try:
        yield moves
        moves.append(attempt.moves())
    finally:
        _running.reset(token)


def staged(path: Path, beside: Path | None = None) -> Path:
    """Where to write the file ``path``, and where its attempt reads and removes it again.

    ``beside``: a folder on the same file system as ``path``, where that is not in the run's own folder.
    """
    attempt = _running.get()
    if attempt is None or path in attempt.own.values():
        return path
    return attempt.name_for(path, beside)


def here(path: Path) -> Path:
    """Where to read the file ``path``: a copy of it, where it lies on object storage."""
    attempt = _exchanging(path)
    return attempt.copy_of(path) if attempt else path


def ranges_of(path: Path) -> io.RawIOBase | None:
    """The file ``path``, to read some of its bytes, where it lies on object storage; None where it is on a disk."""
    attempt = _exchanging(path)
    return attempt.exchange.open(path) if attempt and attempt.exchange else None


def at_once(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
    """What ``function`` returns of each item; several calls at a time where files lie on object storage, because each
    waits for its answer."""
    attempt = _running.get()
    if attempt is None or attempt.exchange is None:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for first in range(0, len(items), _AHEAD):
            waiting = [threads.submit(copy_context().run, function, item) for item in items[first : first + _AHEAD]]
            for future in waiting:
                yield future.result()


def is_elsewhere(path: Path) -> bool:
    """Whether the file ``path`` lies on object storage; it does not change there."""
    return _exchanging(path) is not None


def _exchanging(path: Path) -> _Attempt | None:
    attempt = _running.get()
    return attempt if attempt and attempt.exchange and attempt.exchange.holds(path) else None


def remove(path: Path) -> None:
    """Remove a file if it is there; in an attempt, only when its result is accepted."""
    attempt = _running.get()
    if attempt is None:
        path.unlink(missing_ok=True)
    else:
        attempt.own[path] = None


def give_up() -> None:
    """Let the attempt that runs hand over nothing: its task failed, and nobody reads what it wrote."""
    attempt = _running.get()
    if attempt is not None:
        attempt.own.clear()


def accept(moves: Moves) -> None:
    """Give the files of an attempt their names. Raises OSError where one of them is missing."""
    for own, path in moves:
        if own is None:
            Path(path).unlink(missing_ok=True)
        else:
            point("attempt.accept")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.replace(own, path)
