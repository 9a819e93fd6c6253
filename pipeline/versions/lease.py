"""A lease: what stands in for a lock on a file system that cannot lock. It is renewed, and it expires.

The holder counts up a number in the lease's file. Whoever wants the lease watches the file: where the number changes,
the holder lives; where the file stays the same for the whole term, the holder is dead, and the lease is taken over. No
clock of any other machine and no time of a file matters, and neither does the name of a process.
"""

import hashlib
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from pipeline.errors import EnvironmentFault
from pipeline.machine import writing

TERM_SECONDS = 60.0
"""A lease that is not renewed for so long has expired. Taking over that of a dead run takes so long, too."""

_RENEWALS_PER_TERM = 12
_LOOKS_PER_TERM = 60
_LARGEST = 4096
"""Bytes of a lease's file that are read."""


class LeaseHeld(EnvironmentFault):
    """Another process holds the lease; ``holder``: what its file says."""

    def __init__(self, holder: bytes) -> None:
        super().__init__("another process holds the lease")
        self.holder = holder


class Lease:
    """The lease that is the file ``path``. ``holder``: one line that tells people who has it."""

    def __init__(self, path: Path, holder: str, term: float = TERM_SECONDS) -> None:
        self._path = path
        self._own = f"{holder}\n{uuid.uuid4().hex}\n".encode()
        self._count = 0
        self._term = term
        self._renewed = 0.0
        self._end = Event()
        self._renewer = Thread(target=self._renew_always, name="lease", daemon=True)

    def take(self) -> None:
        """Take the lease, and renew it from then on. Raises LeaseHeld where another process renews it.

        It takes up to a term where a dead process has left the lease.
        """
        while not (self._make() or self._take_over()):
            pass
        self._renewed = time.monotonic()
        self._renewer.start()

    def renew(self) -> bool:
        """Show that the holder lives. Returns False where the lease is lost: removed, taken over, or out of reach for a
        term."""
        try:
            # Written in place: where another process has put its own file there meanwhile, that one is not touched.
            with self._path.open("r+b", buffering=0) as stream:
                if not stream.read(_LARGEST).startswith(self._own):
                    return False
                self._count += 1
                stream.seek(len(self._own))
                stream.write(self._counter())
                os.fsync(stream.fileno())
        except FileNotFoundError:
            return False
        except OSError:
            return time.monotonic() - self._renewed < self._term
        self._renewed = time.monotonic()
        return True

    def give_up(self) -> None:
        """End the lease."""
        self._end.set()
        if self._renewer.is_alive():
            self._renewer.join()
        if (self._read() or b"").startswith(self._own):
            with suppress(OSError):
                self._path.unlink()

    def _renew_always(self) -> None:
        while not self._end.wait(self._term / _RENEWALS_PER_TERM) and self.renew():
            pass

    def _counter(self) -> bytes:
        return b"%020d\n" % self._count

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as stream:
                return stream.read(_LARGEST)
        except FileNotFoundError:
            return None

    def _make(self) -> bool:
        """Make the file; False where there is one."""
        try:
            _write_new(self._path, self._own + self._counter())
        except FileExistsError:
            return False
        return True

    def _take_over(self) -> bool:
        """Take over a lease that has expired; False where its file has gone, or another process was quicker."""
        seen = self._read()
        if seen is None or not self._stays(seen):
            return False
        # One process alone may replace the file that it has seen: the one that makes the claim on it.
        claim = self._path.with_name(f"{self._path.name}-{hashlib.sha256(seen).hexdigest()[:16]}")
        try:
            _write_new(claim, b"")
        except FileExistsError:
            if self._stays(seen):  # the one with the claim has died, too
                claim.unlink(missing_ok=True)
            return False
        try:
            if self._read() != seen:
                return False
            fresh = claim.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            _write_new(fresh, self._own + self._counter())
            fresh.replace(self._path)
            return True
        finally:
            claim.unlink(missing_ok=True)

    def _stays(self, seen: bytes) -> bool:
        """Watch for a term: whether the file stays as it was ``seen``. Raises LeaseHeld where its holder changes it."""
        until = time.monotonic() + self._term
        while time.monotonic() < until:
            time.sleep(self._term / _LOOKS_PER_TERM)
            now = self._read()
            if now is None:
                return False
            if now != seen:
                raise LeaseHeld(now)
        return True


def _write_new(path: Path, content: bytes) -> None:
    """Make a file and bring it to the disk. Raises FileExistsError where there is one."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with writing(path):
            os.write(handle, content)
            os.fsync(handle)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(handle)
