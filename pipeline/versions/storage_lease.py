"""The lock of an output on object storage: a lease that is renewed, with a number that grows with every holder.

``locks/<n>.json`` is created once, by one process, which alone writes it again, to renew it. The lock belongs to the
file with the largest number, until it is released or has not been renewed for a term. Only the storage's clock counts.
The lock saves runs from working in vain. It does not protect the result: a holder that stood still may not know that
it has lost the lock. The number of the publication does (``storage_pointer``).
"""

import json
import os
import socket
import time
import uuid
from contextlib import suppress
from threading import Event, Lock, Thread
from types import TracebackType

from pipeline.errors import EnvironmentFault, LogmillError
from pipeline.storage.objects import (
    create_object,
    delete_objects,
    list_numbered,
    look_at,
    numbered_url,
    read_object,
    write_object,
)
from pipeline.storage.urls import ObjectUrl, join_url

TERM_SECONDS = float(os.environ.get("LOGMILLTEST_LEASE_SECONDS", "60"))
"""A lock that is not renewed for so long is free."""

_RENEWALS_PER_TERM = 6


class StorageLease:
    """Locks the output ``url`` while the ``with`` block runs. Entering raises EnvironmentFault where another run holds
    it, StorageFault.

    ``number``: that of the holder; larger than those of all holders before it.
    """

    def __init__(self, url: str, run_id: str, term: float = TERM_SECONDS) -> None:
        self._url, self._run_id, self._term = url, run_id, term
        self._folder = join_url(url, "locks") + "/"
        self._writer = uuid.uuid4().hex
        self._writes = Lock()
        self._end = Event()
        self._renewer = Thread(target=self._renew_always, name="storage lease", daemon=True)
        self.number = 0

    def __enter__(self) -> "StorageLease":
        held = list_numbered(self._folder)
        last = max(held, default=0)
        if held and self._is_held(held[last]):
            raise self._held(held[last])
        if not create_object(numbered_url(self._folder, last + 1), self._text(released=False)):
            raise self._held(numbered_url(self._folder, last + 1))
        self.number = last + 1
        delete_objects(held.values())
        self._renewer.start()
        return self

    def confirm(self) -> None:
        """Raise EnvironmentFault where another run has taken the lock over."""
        if max(list_numbered(self._folder), default=0) != self.number:
            raise EnvironmentFault(
                f"this run has lost the lock of {self._url}: it stood still for so long that another one took over. "
                "Nothing was published. Run again when no other run is there."
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        self._end.set()
        with self._writes, suppress(LogmillError):  # one that stays is free after a term
            write_object(numbered_url(self._folder, self.number), self._text(released=True))

    def _text(self, *, released: bool) -> bytes:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "written": since, "run_id": self._run_id}
        return json.dumps(holder | {"released": released, "writer": self._writer}).encode()

    def _is_held(self, found: ObjectUrl) -> bool:
        """Whether a lock is neither released nor older than a term, by the storage's clock."""
        with suppress(FileNotFoundError, ValueError):
            if json.loads(read_object(found)).get("released"):
                return False
        probe = f"{self._folder}now-{self._writer}"
        write_object(probe, b"")
        now = look_at(probe).modified_ns
        delete_objects([probe])
        return now - found.modified_ns <= self._term * 1e9

    def _held(self, url: str) -> EnvironmentFault:
        who = ""
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            holder = json.loads(read_object(url))
            who = f": process {int(holder['pid'])} on {holder['host']}, last seen {holder['written']}"
        return EnvironmentFault(
            f"another run holds {self._url}{who}. Wait until it ends; where it was killed, its lock is free after "
            f"{self._term:g} seconds."
        )

    def _renew_always(self) -> None:
        while not self._end.wait(self._term / _RENEWALS_PER_TERM):
            with self._writes, suppress(LogmillError):  # it is tried again; whether it is lost, ``confirm`` finds out
                if not self._end.is_set() and max(list_numbered(self._folder), default=0) == self.number:
                    write_object(numbered_url(self._folder, self.number), self._text(released=False))
