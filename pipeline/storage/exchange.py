"""Files between the machines of a cluster that share no disk: each lies on a storage, under the path that the driver
would give it.

An executor writes to its own disk, and hands what it wrote over under the name of its attempt. The driver copies the
files of the attempts that it accepts, on the storage, to the objects that stand for their paths; and to its own disk
what it reads itself. So whoever reads such an object reads what was accepted.
"""

import errno
import io
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.staging import Moves
from pipeline.storage.faults import StorageFault
from pipeline.storage.objects import copy_object, delete_objects, list_objects, look_at, write_object
from pipeline.storage.reader import ObjectReader, open_object
from pipeline.storage.transfer import download_file, upload_files
from pipeline.storage.urls import ObjectUrl, join_url

AT_ONCE = 64
"""Files that the driver accepts at a time: each waits for the answers of the storage."""


@dataclass(frozen=True)
class StorageExchange:
    """What lies where, in one run; it crosses to executors.

    =============  ============================================================================================
    ``url``        URL of all files between the phases of this output
    ``run``        URL of those of this run alone
    ``places``     (folder of the driver, URL): files below the folder lie below the URL; the first that fits counts
    ``driver``     folders whose files the driver reads, too; a file that is in none of the ``places`` is the driver's
    =============  ============================================================================================
    """

    url: str
    run: str
    places: tuple[tuple[str, str], ...]
    driver: tuple[str, ...] = ()

    def url_of(self, path: str | Path) -> str | None:
        """The object that stands for the file ``path``; None where files there lie on a disk."""
        text = str(path)
        for folder, url in self.places:
            if text.startswith(f"{folder}/"):
                return join_url(url, text[len(folder) + 1 :])
        return None

    def holds(self, path: Path) -> bool:
        """Whether the file ``path`` lies on the storage."""
        return self.url_of(path) is not None

    def fetch(self, path: Path, copy: Path) -> None:
        """Write the file ``path`` to this machine as ``copy``. Raises StorageFault."""
        with _loss_told():
            download_file(self._url(path), copy)

    def open(self, path: Path) -> io.RawIOBase:
        """The file ``path``, each read of which is a request. Raises StorageFault."""
        with _loss_told():
            return _Ranges(_found(self._url(path)), stop=0)

    def hand_over(self, files: Sequence[Path], attempt: str) -> list[str]:
        """Write files of an attempt as objects; returns their URLs. Raises StorageFault."""
        urls = {join_url(self.run, "attempts", attempt, path.name): path for path in files}
        upload_files(urls)
        return list(urls)

    def accept(self, moves: Sequence[Moves]) -> None:
        """Give the files of attempts their names, and remove what they removed. Raises StorageFault, OSError."""
        every = [move for of_attempt in moves for move in of_attempt]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for _ in threads.map(self._accept, [(own, Path(path)) for own, path in every if own]):
                pass
        gone = [url for own, path in every if own is None and (url := self.url_of(path))]
        for urls in ([own for own, _ in every if own], gone):  # a request to delete is for one bucket
            delete_objects(urls)

    def _accept(self, move: tuple[str, Path]) -> None:
        own, path = move
        url = self.url_of(path)
        with _loss_told():
            if url:
                copy_object(own, url)
            if not url or str(path.parent) in self.driver:
                download_file(own, path)

    def check(self) -> None:
        """Raise StorageFault where this machine cannot write, read and delete there."""
        probe = join_url(self.run, "attempts", f"probe-{uuid.uuid4().hex}")
        write_object(probe, b"probe")
        with open_object(probe) as stream:
            stream.read()
        delete_objects([probe])

    def stored_bytes(self) -> int:
        """Bytes of all files that lie there. Raises StorageFault."""
        return sum(found.size for found in list_objects(f"{self.url}/"))

    def begin(self) -> None:
        """Delete what earlier runs left for themselves alone. Raises StorageFault."""
        delete_objects(list_objects(join_url(self.url, "runs") + "/"))

    def end(self) -> None:
        """Delete what this run alone needed, if the storage answers: otherwise the next run does."""
        with suppress(StorageFault):
            delete_objects(list_objects(f"{self.run}/"))

    def keep_store(self, store: str) -> None:
        """Delete the stores of other machines, which went before the one of this URL, if the storage answers: otherwise
        the next run does."""
        with suppress(StorageFault):
            assert store.startswith(f"{self.url}/"), "another store would be deleted as one of another machine"
            stores = list_objects(join_url(self.url, "stores") + "/")
            delete_objects(found for found in stores if not found.startswith(f"{store}/"))

    def _url(self, path: Path) -> str:
        url = self.url_of(path)
        if url is None:
            raise FileNotFoundError(errno.ENOENT, "it does not lie on the storage of this run", str(path))
        return url


class _Ranges(ObjectReader):
    """An object that lies there, or is told to be gone."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with _loss_told():
            return super().readinto(buffer)


@contextmanager
def _loss_told() -> Iterator[None]:
    """Raise StorageFault where an object is gone that was there."""
    try:
        yield
    except FileNotFoundError as fault:
        raise StorageFault(
            f"{fault.filename} is gone: another run has taken over this output, or somebody deleted files between the "
            "phases. Nothing was published. Run again when no other run is there."
        ) from None


def _found(url: str) -> ObjectUrl:
    """What the storage says of an object. A request tells it of a thousand of a folder; each folder is listed once,
    because what was accepted does not change while others read it."""
    folder, _, name = url.rpartition("/")
    with _listing:  # many threads begin to read at the same time
        said = _listed(f"{folder}/").get(name)
    if said is None:
        return look_at(url)
    size, modified_ns, etag = said.decode().split(" ", 2)
    return ObjectUrl(url, int(size), int(modified_ns), etag)


_listing = threading.Lock()


@lru_cache(maxsize=64)
def _listed(folder: str) -> dict[str, bytes]:
    """Name of each object below the folder → its size, time and ETag as one text: there may be a million splits."""
    return {
        found[len(folder) :]: f"{found.size} {found.modified_ns} {found.etag}".encode()
        for found in list_objects(folder)
    }
