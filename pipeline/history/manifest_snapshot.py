"""A look at the manifest that changes nothing, not even beside a run that is writing it."""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import EnvironmentFault
from pipeline.history.manifest import MANIFEST_FILE, Manifest, sqlite_errors_explained

try:
    import fcntl
except ImportError:  # Windows has none: there a look relies on trying again
    fcntl = None  # type: ignore[assignment]

PATIENCE = 30.0
"""Seconds that a look tries again. A run that begins or ends is in its way for milliseconds, and for some seconds where
the disk has much to do; a person who has waited for half a minute wants to be told why."""

_PAUSES = 0.001, 0.1
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PROTOCOL,
}
_SHARED = 510, 0x40000002
"""(length, start) of the bytes that a reader of the database locks: https://sqlite.org/src/file/src/os.h"""

_HEAD = 32
"""Bytes before the first frame of a journal: https://sqlite.org/fileformat2.html#the_write_ahead_log"""


class _Moved(Exception):
    """A run wrote while the files were read."""


@contextmanager
def read_manifest(place: Path) -> Iterator[Manifest | None]:
    """The manifest of ``place`` as of one commit, in memory; None where there is none.

    Not for a process that has the manifest open to write it: POSIX would drop that one's lock. Raises EnvironmentFault
    where it cannot be read.
    """
    copy = _copy(place / MANIFEST_FILE)
    if copy is None:
        yield None
        return
    with Manifest(place, copy) as manifest:
        yield manifest


def _copy(path: Path) -> sqlite3.Connection | None:
    """Whatever passes when a run goes on is tried again, whether or not the folder looks as it did: a journal may go
    and come back between two glances."""
    until = time.monotonic() + PATIENCE
    pause, longest = _PAUSES
    while path.is_file():
        late = time.monotonic() > until
        try:
            return _attempt(path)
        except sqlite3.DatabaseError as fault:
            if late or fault.sqlite_errorcode & 0xFF not in _PASSING:
                with sqlite_errors_explained(path):
                    raise
        except (_Moved, FileNotFoundError, BlockingIOError) as fault:
            if late:
                raise EnvironmentFault(
                    f"{str(path)!r} changed whenever it was read. Wait until the run that holds it has ended."
                ) from fault
        time.sleep(pause)
        pause = min(2 * pause, longest)
    return None


def _attempt(path: Path) -> sqlite3.Connection:
    with _open(path) as main:
        if not os.fstat(main.fileno()).st_size:  # its maker needs it for itself alone
            return _memory()
        _keep_files(main)
        try:
            copy = _read(path, main)
        except sqlite3.DatabaseError as fault:
            if _is_at(path, main):
                raise
            raise _Moved from fault
        if not _is_at(path, main):  # a run that started over made a new one
            copy.close()
            raise _Moved
        return copy


def _open(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise
    except OSError as fault:
        raise EnvironmentFault(
            f"cannot read {str(path)!r}: {fault.strerror or fault}. Mend the permission, and ask again."
        ) from fault


def _keep_files(main: BinaryIO) -> None:
    """Lock the database as every reader of it does, until ``main`` or another handle of the file is closed.

    Meanwhile a run can make its journal, not remove it: one that is missing at the end was never there. A run that
    closes the manifest just then leaves the journal to the next one, and waits for nothing.
    """
    if fcntl:
        length, start = _SHARED
        try:
            fcntl.lockf(main, fcntl.LOCK_SH | fcntl.LOCK_NB, length, start)
        except PermissionError as held:  # as some systems call it
            raise BlockingIOError(held.errno, held.strerror) from held


def _read(path: Path, main: BinaryIO) -> sqlite3.Connection:
    """Without a journal nobody writes, and the one file is all.

    With one SQLite would make files beside it, hence a copy. The database comes first: whatever a run moves into it
    meanwhile is in the journal still, unless that begins anew, which its first bytes tell. Half a transaction at the
    end of the journal does not count.
    """
    journal = path.with_name(f"{path.name}-wal")
    if not journal.exists():
        return _into_memory(f"{path.absolute().as_uri()}?immutable=1", lambda: _refuse(journal.exists()))
    generation = _generation(journal)
    with tempfile.TemporaryDirectory(prefix="logmill-") as folder:
        copied = Path(folder) / path.name
        with open(copied, "wb") as target:
            shutil.copyfileobj(main, target)  # to open the file anew, and to close it, would end the lock
        shutil.copyfile(journal, copied.with_name(journal.name))
        _refuse(_generation(journal) != generation)
        return _into_memory(f"{copied.as_uri()}?mode=rw")


def _generation(journal: Path) -> bytes:
    """The head of the journal, which has new random numbers whenever it begins anew."""
    with open(journal, "rb") as stream:
        return stream.read(_HEAD)


def _refuse(changed: bool) -> None:
    if changed:
        raise _Moved


def _into_memory(uri: str, check: Callable[[], None] = lambda: None) -> sqlite3.Connection:
    """``check`` is called before the database is closed."""
    copy = _memory()
    try:
        with closing(sqlite3.connect(uri, uri=True)) as source:
            source.execute("PRAGMA synchronous = OFF")  # to close a copy of a journal writes it back
            source.backup(copy)  # in one step, within one transaction
            check()
    except BaseException:
        copy.close()
        raise
    return copy


def _memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def _is_at(path: Path, main: BinaryIO) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(main.fileno()))
    except FileNotFoundError:
        return False
