"""The lock of a folder: a file that names the process that holds it, and that is void when this process is dead."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from pipeline.errors import EnvironmentFault

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".logmill.lock"
_FILLING_SECONDS = 60
"""A lock file without a readable holder is void when it is older."""


class Lock:
    """Locks ``folder`` while the ``with`` block runs. Entering raises EnvironmentFault where another run holds it."""

    def __init__(self, folder: str | Path, run_id: str) -> None:
        self._path = Path(folder) / LOCK_FILE
        self._holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "birth": _birth(os.getpid()),
            "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
            "run_id": run_id,
        }

    def __enter__(self) -> "Lock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self._path.parent):
            return self._take()

    def _take(self) -> "Lock":
        for _ in range(2):
            try:
                handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                self._refuse_if_held()
                self._path.unlink(missing_ok=True)
                continue
            try:
                with os.fdopen(handle, "w") as stream:
                    json.dump(self._holder, stream)
            except OSError:
                self._path.unlink(missing_ok=True)
                raise
            return self
        raise EnvironmentFault(f"cannot take the lock {str(self._path)!r}: another run took it first. Run again later.")

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)

    def _refuse_if_held(self) -> None:
        try:
            holder = json.loads(self._path.read_text())
            pid, host, birth = int(holder["pid"]), holder["host"], str(holder["birth"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            if abs(time.time() - self._path.stat().st_mtime) > _FILLING_SECONDS:
                return  # its writer died between making the file and writing to it
            raise EnvironmentFault(
                f"another run is just starting (lock {str(self._path)!r}). Run again later."
            ) from None
        if host == socket.gethostname() and _birth(pid) != birth:
            return
        raise EnvironmentFault(
            f"another run holds {str(self._path.parent)!r}: process {pid} on {host}, since {holder.get('since')}. Wait "
            f"until it ends. If it is certainly dead, remove {str(self._path)!r}."
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process of this machine at a time run the block, so that of two processes that find the lock of a dead
    run, the later does not remove the lock that the earlier one has taken."""
    handle = os.open(folder, os.O_RDONLY) if fcntl else None
    try:
        if fcntl and handle is not None:
            with suppress(OSError):  # some network file systems cannot lock folders: a race of milliseconds stays
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _birth(pid: int) -> str | None:
    """When a process began, which tells it from a later one with the same number; None where no such process lives.

    On Linux the time is counted from the start of the system, because setting the clock changes the time of day.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if not psutil.LINUX:
            return f"{process.create_time():.1f}"
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return f"{boot} {status.rpartition(')')[2].split()[_START_TICKS]}"
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


_START_TICKS = 19
"""Index of ``starttime`` (proc_pid_stat(5)) among the fields behind the process name, which may have spaces."""
