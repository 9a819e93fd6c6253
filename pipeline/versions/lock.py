"""The lock of a folder: one run at a time works there.

The system holds the lock on an open file for as long as the process lives, in whatever container it runs and however it
ends. What the file says (process, host, since when) is information for people and decides nothing. Where the file
system cannot lock, a lease stands in for the lock (``pipeline/versions/lease.py``).
"""

import errno
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from pipeline.errors import EnvironmentFault, LogmillError
from pipeline.machine import writing
from pipeline.versions.lease import TERM_SECONDS, Lease, LeaseHeld

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

LOCK_FILE, LEASE_FILE = ".logmill.lock", ".logmill.lease"
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_CANNOT_LOCK = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY}
"""What file systems without locks answer to flock(2): some network and FUSE file systems."""


class AnyLock(Protocol):
    """A lock that a run holds while its ``with`` block runs."""

    def __enter__(self) -> "AnyLock":
        """Take it. Raises EnvironmentFault where another run holds it."""

    def confirm(self) -> None:
        """Raise EnvironmentFault where the lock is lost."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free it."""


class Lock:
    """Locks ``folder`` while the ``with`` block runs. Entering raises EnvironmentFault where another run holds it.

    ``run_id`` goes into the information of the file. ``term``: seconds after which a lease expires, where there is no
    lock. Processes that this one starts do not inherit the lock (their copy of the file is closed before they begin):
    it ends with this process, also where a worker outlives it for a moment.
    """

    def __init__(self, folder: str | Path, run_id: str, term: float = TERM_SECONDS) -> None:
        self._path = Path(folder) / LOCK_FILE
        self._run_id, self._term = run_id, term
        self._handle: int | None = None
        self._lease: Lease | None = None

    def __enter__(self) -> "Lock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while self._handle is None and self._lease is None:
            handle = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)  # closed in every child (PEP 446)
            try:
                self._take(handle)
            finally:
                if self._handle is None:
                    os.close(handle)
        return self

    def _take(self, handle: int) -> None:
        """Lock the open file, or take the lease. Does neither where the name has another file by now."""
        locked = _try_lock(handle)
        if locked is False:
            raise _held_by_another(self._path.parent, os.pread(handle, 4096, 0))
        if locked is None:
            lease = Lease(self._path.with_name(LEASE_FILE), self._describe_holder(), self._term)
            try:
                lease.take()
            except LeaseHeld as held:
                raise _held_by_another(self._path.parent, held.holder) from None
            self._lease = lease
        elif _is_at(self._path, handle):  # or its holder removed it between our opening and locking it
            with writing(self._path):
                os.ftruncate(handle, 0)
                os.pwrite(handle, self._describe_holder().encode(), 0)
            self._handle = handle

    def _describe_holder(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since, "run_id": self._run_id})

    def confirm(self) -> None:
        """Raise EnvironmentFault where the lock is lost: its file was removed, or the lease ran out."""
        if not (self._lease.renew() if self._lease else _is_at(self._path, self._handle)):
            raise EnvironmentFault(
                f"this run has lost the lock of {str(self._path.parent)!r}: its file was removed, or the run stood "
                "still for so long that another one took over. Nothing was published. Run again when no other run is "
                "there."
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the lock. Raises EnvironmentFault where the block failed because it had lost the lock."""
        try:
            if isinstance(error, Exception) and not isinstance(error, LogmillError):
                self.confirm()
        finally:
            if self._lease:
                self._lease.give_up()
            if _is_at(self._path, self._handle):
                with suppress(OSError):  # a file that stays is harmless: nobody holds it
                    self._path.unlink()
            if self._handle is not None:
                os.close(self._handle)
            self._handle = self._lease = None


def _try_lock(handle: int) -> bool | None:
    """True: the file is locked now; False: another process has locked it; None: its file system cannot lock."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        if fault.errno in _HELD:
            return False
        if fault.errno in _CANNOT_LOCK:
            return None
        raise
    return True


def _is_at(path: Path, handle: int | None) -> bool:
    """Whether the open file is (still) the one with this name; False where no file is open."""
    if handle is None:
        return False
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _held_by_another(folder: Path, information: bytes) -> EnvironmentFault:
    """The error that names the holder by what it wrote about itself, which may be nothing yet."""
    who = ""
    with suppress(ValueError, KeyError, TypeError):
        holder = json.loads(information.split(b"\n")[0])
        who = f": process {int(holder['pid'])} on {holder['host']}, since {holder['since']}"
    return EnvironmentFault(f"another run holds {str(folder)!r}{who}. Wait until it ends.")
