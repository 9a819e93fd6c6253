"""The machine: its cache folder, file names as text, bytes brought to the disk, OS errors explained."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import EnvironmentFault, LogmillError


def cache_folder() -> Path:
    """Where compiled geo tables, the compiled parser and Spark's archive go, by the platform's custom."""
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "logmill" if base else Path.home() / ".cache" / "logmill"


_POLARS_ERROR = re.compile(r"\(os error ([0-9]+)\)")


@contextmanager
def os_errors_explained() -> Iterator[None]:
    """A full disk and the like is no fault of the program."""
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
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM):
            name = getattr(fault, "filename", None)
            raise EnvironmentFault(
                f"{os.strerror(code)}{f' ({name})' if name else ''}. Nothing was published; the previous output still "
                "stands. Free some room or mend the permission, or choose other folders with --intermediate and "
                "--output, and run again."
            ) from fault
        raise


def _error_number(fault: Exception) -> int | None:
    """The system's error number; Polars has it in its message only."""
    if isinstance(fault, OSError):
        return fault.errno
    named = _POLARS_ERROR.search(str(fault))
    return int(named[1]) if named else None


def sync(path: Path) -> None:
    """Bring a file's bytes (or a folder's entries) to the disk; folders cannot be opened so on Windows."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def display_name(path: str) -> str:
    """``path`` as valid UTF-8 text: bytes of a file name that are not UTF-8 are shown as \\xNN."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")
