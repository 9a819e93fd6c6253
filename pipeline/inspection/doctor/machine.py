"""Checks of the interpreter, the packages, and what the system allows this process."""

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from config import MachineSettings
from pipeline.inspection.doctor.check import Check
from utils.metrics import total_memory, usable_cores
from utils.units import format_size

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements.txt"


OLDEST_PYTHON = (3, 11)


FEW_FILES, TOO_FEW_FILES = 1024, 256


def check_python(found: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Python 3.11 or later."""
    shown = f"{platform.python_implementation()} {'.'.join(map(str, found))}"
    if found < OLDEST_PYTHON:
        return Check("python", "fail", shown, "Install Python 3.11 or later and make the virtual environment anew.")
    return Check("python", "ok", shown)


def check_packages(requirements: Path = REQUIREMENTS) -> Check:
    """The packages have exactly the versions that requirements.txt names: others may give other bytes, or lose rows."""
    try:
        text = requirements.read_text(encoding="utf-8")
    except OSError as fault:
        return Check("packages", "warn", f"{requirements} cannot be read: {fault.strerror}", "Restore it.")
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", text, flags=re.MULTILINE))
    found = {name: _installed(name) for name in pinned}
    wrong = [f"{name} {found[name] or 'missing'} (not {pin})" for name, pin in pinned.items() if found[name] != pin]
    if wrong:
        shown, fix = ", ".join(wrong), f"Run: pip install -r {requirements}"
        return Check("packages", "fail" if None in found.values() else "warn", shown, fix)
    return Check("packages", "ok", f"{len(pinned)} packages as pinned")


def check_cores(config: MachineSettings) -> Check:
    """No more workers than usable cores."""
    cores = usable_cores()
    shown = f"{config.PREPROCESSING_WORKERS} workers, {cores} usable cores"
    if cores < config.PREPROCESSING_WORKERS:
        return Check("cores", "warn", shown, f"Set --workers to {cores}: more only take memory.")
    return Check("cores", "ok", shown)


def check_memory(config: MachineSettings, available: int | None = None, total: int | None = None) -> Check:
    """MEMORY_LIMIT against what the machine and the process's control groups (containers) allow."""
    total = total_memory() if total is None else total
    available = min(total, psutil.virtual_memory().available) if available is None else available
    limited = " (limited by a control group)" if total < psutil.virtual_memory().total else ""
    shown = (
        f"limit {format_size(config.MEMORY_LIMIT)}, total {format_size(total)}{limited}, free {format_size(available)}"
    )
    if total < config.MEMORY_LIMIT:
        return Check("memory", "fail", shown, f"Set --memory-limit to at most {format_size(total * 0.8)}.")
    if available < config.MEMORY_LIMIT:
        return Check("memory", "warn", shown, "End other programs, or lower --memory-limit to what is free.")
    return Check("memory", "ok", shown)


def check_open_files(limit: int | None = None) -> Check:
    """How many files a process may have open."""
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


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
