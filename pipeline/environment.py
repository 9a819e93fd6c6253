"""What the machine must offer a run, and how its refusals are told: disk room, permissions, open files."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import EnvironmentFault
from utils.units import format_size

INTERMEDIATE_SHARE = 0.6
"""Intermediate files and totals take about this share of the input."""


def check_disk(folder: str, input_bytes: int) -> None:
    """Raises EnvironmentFault where ``folder`` has no room for the intermediate files of so much input."""
    need = int(input_bytes * INTERMEDIATE_SHARE)
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
    except OSError as fault:
        if fault.errno == errno.EMFILE:
            raise EnvironmentFault(
                "too many open files. Nothing was published. Allow more (ulimit -n 65536) and run again."
            ) from fault
        if fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            where = f" ({fault.filename})" if fault.filename else ""
            raise EnvironmentFault(
                f"{fault.strerror}{where}. Nothing was published; the previous output still stands. Free some room or "
                "mend the permission, or choose other folders with --intermediate and --output, and run again."
            ) from fault
        raise
