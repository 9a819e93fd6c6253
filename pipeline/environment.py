"""What the machine must offer a run, and how its refusals are told: disk room, permissions, open files."""

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.errors import EnvironmentFault, LogmillError
from pipeline.splits import InputFile
from utils.units import format_size

INTERMEDIATE_SHARE = 0.6
"""Intermediate files and totals take about this share of a usual input,"""
_ROW_BYTES = 60
"""and as much of a row, however short its text is."""
_POLARS_ERROR = re.compile(r"\(os error ([0-9]+)\)")


def check_disk(folder: str, files: Sequence[InputFile]) -> None:
    """Raises EnvironmentFault where ``folder`` has no room for the intermediate files of this input."""
    need = int(sum(max(file.size * INTERMEDIATE_SHARE, file.expected_rows * _ROW_BYTES) for file in files))
    free = shutil.disk_usage(folder).free
    if free < need:
        raise EnvironmentFault(
            f"{folder!r} has {format_size(free)} free; this input needs about {format_size(need)}. "
            "Free some room, or name a folder on another disk with --intermediate."
        )


@contextmanager
def told_plainly() -> Iterator[None]:
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
