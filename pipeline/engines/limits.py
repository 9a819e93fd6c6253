"""What the system must allow before worker processes can start: checked at once, and said in plain words.

Without these checks a run would begin, and end in the middle with whatever the first library says that meets the limit.
"""

import errno
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import EnvironmentFault
from utils.units import format_size

SHARED_MEMORY = "/dev/shm"
PROC = "/proc/self/stat"
LEAST_ADDRESS_SPACE = 1_400_000_000
"""Bytes that a process maps for its libraries and threads, most of which it never touches (measured: 1.3 GB)."""

_FILES, _FILES_PER_WORKER = 24, 8
"""Open files of the main process: with 32 a run with two workers fails, with 40 it works."""


def check_limits(workers: int) -> None:
    """Raise EnvironmentFault where ``workers`` processes cannot start: no /proc, no shared memory, too few files or too
    little address space. Raises the soft limit of open files where the hard one allows it."""
    if sys.platform == "win32":
        return
    if problem := proc_problem():
        raise EnvironmentFault(f"{problem}. Nothing was done. Mount it (mount -t proc proc /proc), and run again.")
    _check_files(_FILES + _FILES_PER_WORKER * workers)
    _check_address_space()
    with shared_memory_explained():
        multiprocessing.get_context("fork").Lock()


def proc_problem() -> str | None:
    """Why processes and memory cannot be observed, as a clause; None where they can."""
    if sys.platform != "linux":
        return None
    try:
        with open(PROC, "rb") as stream:
            stream.read(1)
    except OSError as fault:
        return f"/proc, which tells of processes and memory, is not there ({fault.strerror})"
    return None


def shared_memory_problem() -> str | None:
    """Why processes cannot share memory and semaphores, as a clause; None where they can."""
    if sys.platform == "win32":
        return None
    try:
        with shared_memory_explained():
            locks = [multiprocessing.get_context("fork").Lock() for _ in range(8)]
            locks.clear()
    except EnvironmentFault as fault:
        return str(fault).partition(". ")[0]
    return None


@contextmanager
def shared_memory_explained() -> Iterator[None]:
    """Raise EnvironmentFault where the block cannot make semaphores or shared memory."""
    try:
        yield
    except OSError as fault:
        if fault.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        if fault.errno == errno.EFBIG:
            raise EnvironmentFault(
                "files may not grow to a few kilobytes (ulimit -f). Nothing was done. Lift the limit (ulimit -f "
                "unlimited), and run again."
            ) from fault
        reason = os.strerror(fault.errno) if fault.errno else str(fault)
        raise EnvironmentFault(
            f"{SHARED_MEMORY}, in which processes share memory and semaphores, cannot be used ({reason}). Nothing was "
            "done. Mount it so that it can be written, with some megabytes (Docker: --shm-size=64m), and run again."
        ) from fault


def _check_files(needed: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard == resource.RLIM_INFINITY or hard >= needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return
    raise EnvironmentFault(
        f"only {hard} files may be open at once, and a run needs {needed}. Nothing was done. Allow more (ulimit -n "
        "65536) and run again."
    )


def _check_address_space() -> None:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY and soft < LEAST_ADDRESS_SPACE:
        raise EnvironmentFault(
            f"the memory of a process is limited to {format_size(soft)} of addresses, and libraries and threads take "
            f"{format_size(LEAST_ADDRESS_SPACE)}. Nothing was done. Allow more (ulimit -v unlimited), and limit memory "
            "with --memory-limit instead."
        )
