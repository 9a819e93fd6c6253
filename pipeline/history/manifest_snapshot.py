"""Copies the manifest and changes no file, even while a run writes it."""

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
except ImportError:  # Windows has none: there a copy is only tried again
    fcntl = None  # type: ignore[assignment]

PATIENCE = 30.0
"""Seconds for which a failed copy is tried again. A run that begins or ends blocks it for milliseconds, on a busy disk
for seconds; after half a minute the user is told why."""

_PAUSES = 0.001, 0.1
"""Seconds between the first two attempts, and the most between later ones."""

_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PROTOCOL,
}
"""Errors that a run which goes on may cause, and that pass."""

_MOST_IN_MEMORY = 32 * 2**20
"""Bytes of a manifest that is copied into memory; very many files make it larger than all else in a look."""

_SHARED = 510, 0x40000002
"""(length, start) of the bytes that readers of the database lock (https://sqlite.org/src/file/src/os.h)."""

_HEAD = 32
"""Bytes before the first frame of a journal (https://sqlite.org/fileformat2.html#the_write_ahead_log)."""


class _Moved(Exception):
    """A run wrote to the files while they were read."""


@contextmanager
def read_manifest(folder: Path) -> Iterator[Manifest | None]:
    """Copy the manifest of the intermediate ``folder``, as of one commit; None where there is none.

    The copy is in memory, or where it is large in a nameless file that ends with it.

    Raises EnvironmentFault where it cannot be read. Must not be called by a process that has the manifest open for
    writing: closing a second handle of a file ends the process's POSIX locks on it.
    """
    copy = _copy(folder / MANIFEST_FILE)
    if copy is None:
        yield None
        return
    with Manifest(folder, copy) as manifest:
        yield manifest


def knows_version(folder: Path, output: str, version: str) -> bool:
    """Whether the manifest of the intermediate ``folder`` knows a version of the output with this key.

    No run may be at work there. A manifest that cannot be read knows none.
    """
    try:
        with read_manifest(folder) as manifest:
            return manifest is not None and version in manifest.versions(output)
    except EnvironmentFault:
        return False


def _copy(path: Path) -> sqlite3.Connection | None:
    """Try again after every error that may pass, even where the folder looks unchanged: a journal may have been removed
    and made again between two looks."""
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
                raise always_changing(path) from fault
        time.sleep(pause)
        pause = min(2 * pause, longest)
    return None


def always_changing(path: Path) -> EnvironmentFault:
    """The failure of a look that found runs at work for as long as it tried."""
    return EnvironmentFault(f"{str(path)!r} changed whenever it was read. Wait until the run that holds it has ended.")


def _attempt(path: Path) -> sqlite3.Connection:
    with _open(path) as main:
        if not os.fstat(main.fileno()).st_size:  # the run that made it just now needs an exclusive lock
            return _own()
        _keep_files(main)
        try:
            copy = _read(path, main)
        except sqlite3.DatabaseError as fault:
            if _is_at(path, main):
                raise
            raise _Moved from fault
        if not _is_at(path, main):  # a run that started over has made a new manifest
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
            f"cannot read {str(path)!r}: {fault.strerror or fault}. Change the permission, and ask again."
        ) from fault


def _keep_files(main: BinaryIO) -> None:
    """Take SQLite's lock for readers, which lasts until ``main`` or another handle of the file is closed.

    Meanwhile a run can make its journal but not remove it. So a journal that is missing at the end was never there. A
    run that closes the manifest meanwhile does not wait; it leaves the journal to the next run.
    """
    if fcntl:
        length, start = _SHARED
        try:
            fcntl.lockf(main, fcntl.LOCK_SH | fcntl.LOCK_NB, length, start)
        except PermissionError as fault:  # some systems raise it for a lock that another process holds
            raise BlockingIOError(fault.errno, fault.strerror) from fault


def _read(path: Path, main: BinaryIO) -> sqlite3.Connection:
    """Copy the database with what is in its journal.

    Without a journal no run writes, and the main file holds everything. With a journal, SQLite would make files beside
    it, so that both files are copied first: the main file before the journal, because what a run moves into the main
    file meanwhile still stands in the journal. Only a journal that has begun anew, as its head shows, lacks it; then
    the copy is refused. SQLite ignores an unfinished transaction at the journal's end.
    """
    journal = path.with_name(f"{path.name}-wal")
    if not journal.exists():
        return _duplicate(f"{path.absolute().as_uri()}?immutable=1", lambda: _refuse(journal.exists()))
    generation = _generation(journal)
    with _temporary_folder() as folder:
        copied = Path(folder) / path.name
        with open(copied, "wb") as target:
            shutil.copyfileobj(main, target)  # from this handle: closing another one would end the lock
        shutil.copyfile(journal, copied.with_name(journal.name))
        _refuse(_generation(journal) != generation)
        return _duplicate(f"{copied.as_uri()}?mode=rw")


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="logmill-")
    except FileNotFoundError as fault:  # of tempfile: it has tried all the usual ones
        raise EnvironmentFault(f"{fault.strerror}. Let TMPDIR name a folder that can be written.") from fault


def _generation(journal: Path) -> bytes:
    """The head of the journal, which gets new random numbers whenever the journal begins anew."""
    with open(journal, "rb") as stream:
        return stream.read(_HEAD)


def _refuse(changed: bool) -> None:
    if changed:
        raise _Moved


def _duplicate(uri: str, check: Callable[[], None] = lambda: None) -> sqlite3.Connection:
    """Copy a database into one of this process alone; ``check`` is called before its file is closed."""
    with closing(sqlite3.connect(uri, uri=True)) as source:
        copy = _own(_bytes_of(source))
        try:
            source.execute("PRAGMA synchronous = OFF")  # closing writes the journal into the copied main file
            source.backup(copy)  # in one step, within one transaction
            check()
        except BaseException:
            copy.close()
            raise
    return copy


def _bytes_of(database: sqlite3.Connection) -> int:
    (pages,), (page_bytes,) = (database.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    return int(pages * page_bytes)


def _own(size: int = 0) -> sqlite3.Connection:
    """A new database of this process: in memory, or for so many bytes in a nameless file, which ends with it."""
    return sqlite3.connect("" if size > _MOST_IN_MEMORY else ":memory:", isolation_level=None, check_same_thread=False)


def _is_at(path: Path, main: BinaryIO) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(main.fileno()))
    except FileNotFoundError:
        return False
