"""One run at a time on a folder: a lock file that names its holder and is void when the holder is dead."""

import json
import os
import socket
import time
from pathlib import Path

import psutil

from pipeline.errors import EnvironmentFault

LOCK_FILE = ".logmill.lock"


class Lock:
    """Holds ``folder`` while the ``with`` block runs. Raises EnvironmentFault at once where another run holds it."""

    def __init__(self, folder: str | Path, run_id: str) -> None:
        self._path = Path(folder) / LOCK_FILE
        me = psutil.Process()
        self._holder = {
            "pid": me.pid,
            "host": socket.gethostname(),
            "process_started": me.create_time(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
            "run_id": run_id,
        }

    def __enter__(self) -> "Lock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
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
            pid, host, process_started = int(holder["pid"]), holder["host"], float(holder["process_started"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            if time.time() - self._path.stat().st_mtime > 60:  # its writer died between making and filling it
                return
            raise EnvironmentFault(
                f"another run is just starting (lock {str(self._path)!r}). Run again later."
            ) from None
        if host == socket.gethostname() and not _lives(pid, process_started):
            return
        raise EnvironmentFault(
            f"another run holds {str(self._path.parent)!r}: process {pid} on {host}, since {holder.get('since')}. Wait "
            f"until it ends. If it is certainly dead, remove {str(self._path)!r}."
        )


def _lives(pid: int, started: float) -> bool:
    """Whether the process still runs; a later process may have been given the same number."""
    try:
        return abs(psutil.Process(pid).create_time() - started) < 1.0
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
