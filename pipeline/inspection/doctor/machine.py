"""Checks of what the system allows this process: cores, memory, open files."""

import sys

import psutil

from config import MachineSettings
from pipeline.engines.limits import proc_problem, shared_memory_problem
from pipeline.inspection.doctor.check import Check
from utils.metrics import total_memory, usable_cores
from utils.units import format_count, format_size

FEW_FILES, TOO_FEW_FILES = 1024, 256

_MOUNT_PROC = "Mount it: mount -t proc proc /proc."


def check_cores(config: MachineSettings) -> Check:
    """Check that there are no more workers than usable cores."""
    cores = usable_cores()
    found = f"{format_count(config.PREPROCESSING_WORKERS, 'worker')}, {format_count(cores, 'usable core')}"
    if cores < config.PREPROCESSING_WORKERS:
        return Check("cores", "warn", found, f"Set --workers to {cores}: more only take memory.")
    return Check("cores", "ok", found)


def check_memory(config: MachineSettings, available: int | None = None, total: int | None = None) -> Check:
    """Compare MEMORY_LIMIT with what the machine and the process's control groups (containers) allow.

    ``available`` and ``total`` (bytes) stand for those of the machine in tests.
    """
    total = total_memory() if total is None else total
    try:
        machine = psutil.virtual_memory()
    except (OSError, psutil.Error):
        return Check("memory", "fail", "unknown without /proc", _MOUNT_PROC)
    available = min(total, machine.available) if available is None else available
    limited = " (limited by a control group)" if total < machine.total else ""
    found = (
        f"limit {format_size(config.MEMORY_LIMIT)}, total {format_size(total)}{limited}, free {format_size(available)}"
    )
    if total < config.MEMORY_LIMIT:
        return Check("memory", "fail", found, f"Set --memory-limit to at most {format_size(total * 0.8)}.")
    if available < config.MEMORY_LIMIT:
        return Check("memory", "warn", found, "End other programs, or lower --memory-limit to what is free.")
    return Check("memory", "ok", found)


def check_proc() -> Check:
    """Check that /proc tells of processes and memory (Linux)."""
    if problem := proc_problem():
        return Check("processes", "fail", problem, _MOUNT_PROC)
    return Check("processes", "ok", "they can be observed")


def check_shared_memory() -> Check:
    """Check that processes can share memory and semaphores, which workers need."""
    if problem := shared_memory_problem():
        fix = "Mount it so that it can be written, with some megabytes (Docker: --shm-size=64m)."
        return Check("shared memory", "fail", problem, fix)
    return Check("shared memory", "ok", "semaphores can be made")


def check_open_files(limit: int | None = None) -> Check:
    """Check how many files a process may have open; ``limit`` stands for that of the system in tests."""
    if limit is None:
        if sys.platform == "win32":
            return Check("open files", "ok", "no limit of this kind on Windows")
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit == resource.RLIM_INFINITY:
            return Check("open files", "ok", "unlimited")
    fix = "Allow more: ulimit -n 65536 (for good: /etc/security/limits.conf)."
    if limit < TOO_FEW_FILES:
        return Check("open files", "fail", f"{limit:,}", fix)
    return Check("open files", "warn" if limit < FEW_FILES else "ok", f"{limit:,}", fix if limit < FEW_FILES else "")
