"""Names of their own for the files of an attempt, so that a task may run twice, also beside a lost attempt of itself.

On a cluster an executor that seems lost may go on working while another one has its task. So each attempt writes under
names that nobody else has. The driver moves the files of the attempt whose result it accepts to the names that the
kernel asked for, and nobody ever reads the files of the others.

    staged(path)     in a kernel: where to write the file ``path``
    attempting(...)  on the executor: the block in which staged() gives names of their own
    accept(moves)    in the driver

Without an attempt, such as in a pool of processes, ``staged`` returns the path as it is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.faults import point

Moves = tuple[tuple[str | None, str], ...]
"""(File of an attempt, the name that it gets). None instead of a file: that name is removed."""


ATTEMPTS = "attempts"
"""The folder of all attempts, beside what they make."""


@dataclass
class _Attempt:
    """An attempt that runs: its ``folder``, and file → own name for what it has written or removed (None)."""

    folder: Path
    own: dict[Path, Path | None] = field(default_factory=dict)

    def name_for(self, path: Path, beside: Path | None) -> Path:
        own = self.own.get(path)
        if own is None:
            folder = self._folder_in(beside) if beside else self.folder
            own = self.own[path] = folder / f"{len(self.own)}-{path.name}"
        return own

    def _folder_in(self, base: Path) -> Path:
        folder = base / ATTEMPTS / self.folder.name
        for made in folder.parent, folder:  # not the base: where that is gone, a late attempt fails
            made.mkdir(exist_ok=True)
        return folder

    def moves(self) -> Moves:
        """What is left at the end of the task: files that it removed itself need no move."""
        return tuple(
            (str(own) if own else None, str(path)) for path, own in self.own.items() if own is None or own.exists()
        )


_running: ContextVar[_Attempt | None] = ContextVar("attempt", default=None)


@contextmanager
def attempting(folder: Path) -> Iterator[list[Moves]]:
    """Give the files of the block names in ``folder``, which is made. The list that it yields gets the moves when the
    block ends without an exception."""
    folder.mkdir()  # not its parents: where the run has ended, and its folder is gone, a late attempt fails
    attempt = _Attempt(folder)
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


def remove(path: Path) -> None:
    """Remove a file if it is there; in an attempt, only when its result is accepted."""
    attempt = _running.get()
    if attempt is None:
        path.unlink(missing_ok=True)
    else:
        attempt.own[path] = None


def accept(moves: Moves) -> None:
    """Give the files of an attempt their names. Raises OSError where one of them is missing."""
    for own, path in moves:
        if own is None:
            Path(path).unlink(missing_ok=True)
        else:
            point("attempt.accept")
            os.replace(own, path)
