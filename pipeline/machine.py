"""The machine: its cache folder, errors of the system explained, files brought to the disk, file names as text."""

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pipeline.errors import EnvironmentFault, LogmillError, note_publication, was_published
from utils.units import format_size

_POLARS_ERROR = re.compile(r"\(os error ([0-9]+)\)")
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}


PROJECT = Path(__file__).resolve().parents[1]
"""The folder of this program, from which worker processes import it."""

SHIPPED = "shipped"
"""Folder of an executor's copy of the program: the files that the driver's cache holds (``at_hand``)."""


def at_hand(path: str | Path) -> Path:
    """``path``, or on an executor that does not see it, the file of that name that came with the program.

    The name of such a file has a hash of what is in it, or what is in it is checked when it is read.
    """
    shipped = PROJECT / SHIPPED / Path(path).name
    return shipped if not os.path.exists(path) and shipped.exists() else Path(path)


def folder_at_hand(path: str | Path) -> Path:
    """The folder of code ``path``; on an executor, the folder of that name that came with the program."""
    shipped = PROJECT / SHIPPED / Path(path).name
    return shipped if shipped.is_dir() else Path(path)


def link_or_copy(file: str | Path, name: Path) -> None:
    """Give a file a second name; where the file system has no such links, copy it. Raises OSError."""
    try:
        os.link(file, name)
    except OSError:
        shutil.copy2(file, name)


def cache_folder() -> Path:
    """The folder for compiled geo tables, the compiled library and Spark's archive, by the platform's custom.

    A relative XDG_CACHE_HOME is ignored, as the XDG Base Directory Specification says. A user without a home has a
    folder of its own among the temporary files. Raises EnvironmentFault where that belongs to another user.
    """
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or ""
    if os.path.isabs(base):
        return Path(base) / "logmill"
    try:
        return Path.home() / ".cache" / "logmill"
    except RuntimeError:  # no HOME, and a user whom the system does not know, as in containers
        return _private_folder(Path(tempfile.gettempdir()) / f"logmill-{os.getuid()}")


def _private_folder(folder: Path) -> Path:
    """Make a folder that this user alone may write. Programs are loaded from it, so that nobody else's is accepted."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise EnvironmentFault(
            f"this user has no home for the cache, and {folder} is not a folder of this user alone. Let XDG_CACHE_HOME "
            "name a folder by its absolute path."
        )
    return folder


_NO_ROOM_FOR_LIBRARY = re.compile("failed to map segment|[Cc]annot allocate memory|cannot apply additional memory")
"""What the loader says of a library for which there is no memory."""


def _never() -> bool:
    return False


@contextmanager
def os_errors_explained(folders: Sequence[str] = (), published: Callable[[], bool] = _never) -> Iterator[None]:
    """Turn errors of the system into EnvironmentFault: a full or failing disk, a permission, missing memory or files.

    Other exceptions pass: they are faults in the program, or failures that are explained already. ``folders``: where
    the block writes; of a full disk, the error names those that have no room. ``published``: whether the result of the
    run has been published by now; it is noted on the exception, whichever it is.
    """
    try:
        yield
    except BaseException as fault:
        done = was_published(fault) or published()
        explained = None if isinstance(fault, LogmillError) else _explain(fault, folders, done)
        note_publication(explained or fault, done)
        if explained:
            raise explained from fault
        raise


def _explain(fault: BaseException, folders: Sequence[str], done: bool) -> EnvironmentFault | None:
    """The error that says what the system lacks; None where the fault is none of the system's."""
    outcome = "The result is published." if done else "Nothing was published; the previous output still stands."
    code = _error_number(fault)
    no_room = isinstance(fault, ImportError) and _NO_ROOM_FOR_LIBRARY.search(str(fault))
    if isinstance(fault, MemoryError) or code == errno.ENOMEM or no_room:
        return EnvironmentFault(f"memory ran out. {outcome} {_MORE_MEMORY}")
    if code in (errno.EMFILE, errno.ENFILE):
        return EnvironmentFault(f"too many open files. {outcome} Allow more (ulimit -n 65536) and run again.")
    if code == errno.EAGAIN or (isinstance(fault, RuntimeError) and str(fault) == "can't start new thread"):
        return EnvironmentFault(
            f"the system allows no more processes or threads, or no memory for them. {outcome} Allow more (ulimit -u, "
            "ulimit -v), or lower --workers, and run again."
        )
    if code == errno.EFBIG:
        return EnvironmentFault(
            f"a file may not grow so large{_named(fault)}. {outcome} Lift the limit (ulimit -f unlimited) and run "
            "again."
        )
    if code in _OF_THE_DISK:
        full = _full(folders) if folders and code in (errno.ENOSPC, errno.EDQUOT) else ""
        return EnvironmentFault(
            f"{os.strerror(code)}{_named(fault) or full}. {outcome} Free some room or fix the permission, or choose "
            "other folders with --intermediate and --output, and run again."
        )
    return None


_MORE_MEMORY = (
    "Lower --memory-limit or --workers, or allow more memory (ulimit -v, the container's limit), and run again."
)


def _named(fault: BaseException) -> str:
    """The file that an error of the system names, in brackets."""
    name = getattr(fault, "filename", None)
    return f" ({display_name(os.fsdecode(name))})" if name and not isinstance(name, int) else ""


def _full(folders: Sequence[str]) -> str:
    """Those folders, temporary ones and caches included, whose disks have the least room, in brackets."""
    free: dict[str, int] = {}
    finders: list[Callable[[], object]] = [partial(str, folder) for folder in folders]
    for find in (*finders, tempfile.gettempdir, cache_folder):
        with suppress(OSError, EnvironmentFault):
            name = str(find())
            free[name] = shutil.disk_usage(existing_parent(Path(name))).free
    least = min(free.values(), default=0)
    named = [f"{display_name(name)} has {format_size(left)} free" for name, left in free.items() if left <= 2 * least]
    return f" ({'; '.join(named)})" if named else ""


def _error_number(fault: BaseException) -> int | None:
    """The system's error number, if the fault has one; Polars gives it in the message alone."""
    if isinstance(fault, OSError):
        return fault.errno
    named = _POLARS_ERROR.search(str(fault))
    return int(named[1]) if named else None


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Let an error of the system in the block name ``path``, which the block writes, unless it names a path already.

    Writes to an open file, and those of PyArrow and Polars, name none.
    """
    try:
        yield
    except Exception as fault:
        code = _error_number(fault)
        if code is None or getattr(fault, "filename", None):
            raise
        raise OSError(code, os.strerror(code), os.fspath(path)) from fault


def existing_parent(path: Path) -> Path:
    """The folder, or the nearest folder above it that exists: a run would make the rest there."""
    whole = path.absolute()
    return next(folder for folder in (whole, *whole.parents) if folder.is_dir())


def sync(path: Path) -> None:
    """Bring the bytes of a file, or the entries of a folder, to the disk. Does nothing for a folder on Windows."""
    if path.is_dir() and os.name == "nt":
        return  # Windows does not open folders
    handle = os.open(path, os.O_RDONLY)
    try:
        with writing(path):
            os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(folder: Path) -> bool:
    """Bring everything that was written to the file system of ``folder`` to the disk, by one call of Linux.

    Returns whether there is such a call. Raises OSError where something did not reach the disk.
    """
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if os.name == "posix" else None
    if call is None:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if call(handle):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.fspath(folder))
    finally:
        os.close(handle)
    return True


def display_name(path: str) -> str:
    """``path`` as text that is valid UTF-8: bytes of the name that are not UTF-8 become ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")
