"""The machine: its cache folder, errors of the system explained, files brought to the disk, file names as text."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import EnvironmentFault, LogmillError

_POLARS_ERROR = re.compile(r"\(os error ([0-9]+)\)")
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}


def cache_folder() -> Path:
    """The folder for compiled geo tables, the compiled library and Spark's archive, by the platform's custom."""
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "logmill" if base else Path.home() / ".cache" / "logmill"


@contextmanager
def os_errors_explained() -> Iterator[None]:
    """Turn errors of the system into EnvironmentFault: a full or failing disk, a permission, too many open files.

    Other exceptions pass: they are faults in the program, or failures that are explained already.
    """
    try:
        yield
    except LogmillError:
        raise
    except Exception as fault:
        code = _error_number(fault)
        if code == errno.EMFILE:
            raise EnvironmentFault(
                "too many open files. Nothing was published. Allow more (ulimit -n 65536) and run again."
            ) from fault
        if code in _OF_THE_DISK:
            name = getattr(fault, "filename", None)
            raise EnvironmentFault(
                f"{os.strerror(code)}{f' ({name})' if name else ''}. Nothing was published; the previous output still "
                "stands. Free some room or mend the permission, or choose other folders with --intermediate and "
                "--output, and run again."
            ) from fault
        raise


def _error_number(fault: Exception) -> int | None:
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


def display_name(path: str) -> str:
    """``path`` as text that is valid UTF-8: bytes of the name that are not UTF-8 become ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")
