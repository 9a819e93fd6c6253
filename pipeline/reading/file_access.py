"""How an input file is opened and identified, and the reason of a file that the system does not let the run read."""

import os
from typing import BinaryIO

from pipeline.errors import FileRefused

Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change in ns and inode of a file: a file whose stamp is equal has not changed."""


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp in what ``os.stat`` or ``os.fstat`` returned."""
    return status.st_size, status.st_mtime_ns, status.st_ino


def open_file(path: str) -> BinaryIO:
    """Open a file to read its bytes. Raises FileRefused where the system refuses."""
    try:
        return open(path, "rb")
    except OSError as fault:
        raise unreadable(fault) from fault


def unreadable(fault: OSError, position: int | None = None) -> FileRefused:
    """The refusal of a file that could not be opened, or not be read at byte ``position``, because of ``fault``."""
    reason = fault.strerror or fault
    if position is None:
        return FileRefused(f"cannot be read: {reason}. Check that it exists and its permissions.")
    return FileRefused(f"cannot be read near byte {position}: {reason}.")
