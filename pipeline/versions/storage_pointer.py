"""Which version an output on object storage shows: that of ``versions/<n>.json`` with the largest number.

A storage has no rename. What it has is a write that only the first of several can do: so each publication, and each
way back to an earlier version, creates the next number, and whoever comes second has lost. No number is ever written
twice, and what a version consists of never changes, so that a reader sees one version or the other.
"""

import json
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.errors import EnvironmentFault, InputError
from pipeline.storage.objects import (
    create_object,
    delete_objects,
    list_numbered,
    numbered_url,
    read_object,
    write_object,
)
from pipeline.storage.urls import ObjectUrl, join_url

_READS_AT_ONCE = 16
LOST = "another run has published meanwhile; nothing was published. Run again: it goes on from that version."


@dataclass(frozen=True)
class Entry:
    """One publication: ``number``, name of the ``version``, and when it was made by the storage's clock (epoch, s)."""

    number: int
    version: str
    made: float


class StoragePointer:
    """The numbered entries of the output ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._folder = join_url(self._url, "versions") + "/"

    def entries(self) -> list[Entry]:
        """All entries, in their order. Raises InputError where one cannot be read, StorageFault."""
        with ThreadPoolExecutor(_READS_AT_ONCE) as threads:
            found = threads.map(self._read, list_numbered(self._folder).items())
        return [entry for entry in found if entry]

    def current(self) -> Entry | None:
        """The last entry; None where nothing is published. Raises as ``entries``."""
        numbered = list_numbered(self._folder)
        while numbered:
            if entry := self._read(max(numbered.items())):
                return entry
            numbered = list_numbered(self._folder)  # it was removed meanwhile: there are later ones
        return None

    def show(self, version: str, after: int, fencing: int) -> None:
        """Make ``version`` the current one, if the last entry still has the number ``after``.

        ``fencing``: number of the lock under which this is done, for people. Raises EnvironmentFault where another
        entry was made meanwhile, StorageFault.
        """
        mine = {"version": version, "number": after + 1, "lock": fencing, "writer": uuid.uuid4().hex}
        text = json.dumps(mine).encode()
        url = numbered_url(self._folder, after + 1)
        if not create_object(url, text):
            raise EnvironmentFault(LOST)
        # A number that is not the last was there before, and was removed long ago with what it showed.
        if max(list_numbered(self._folder), default=0) > after + 1:
            delete_objects([url])
            raise EnvironmentFault(LOST)
        write_object(join_url(self._url, "latest.json"), text)

    def remove(self, entries: Sequence[Entry]) -> None:
        """Remove entries, of which none is the last. Raises StorageFault."""
        delete_objects(numbered_url(self._folder, entry.number) for entry in entries)

    def _read(self, numbered: tuple[int, ObjectUrl]) -> Entry | None:
        """One entry; None where it has been removed."""
        number, found = numbered
        try:
            version = json.loads(read_object(found))["version"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            version = None
        if not isinstance(version, str):
            raise InputError(f"{found} is no entry of a publication: expected JSON with a version. Remove that object.")
        return Entry(number, version, found.modified_ns / 1e9)


def version_names(entries: Sequence[Entry]) -> list[str]:
    """The names of all versions, in the order in which they were published first."""
    return list(dict.fromkeys(entry.version for entry in entries))
