"""Reads an object as a file: from any byte, ahead of its reader, and on where a connection was cut."""

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, NamedTuple, cast

from pipeline.storage.client import store_of
from pipeline.storage.faults import StorageFault, faults_explained
from pipeline.storage.objects import look_at
from pipeline.storage.urls import ObjectUrl

FIRST_BYTES, MOST_BYTES = 64 * 2**10, 2 * 2**20
"""Bytes of the first request at a place, and of the largest one: each that follows has twice as many, so that a look at
a header takes little, and a long read few requests."""

AHEAD = 3
"""Requests that are under way while the reader works on what came before: at most so many times ``MOST_BYTES`` wait."""

_CHUNK_BYTES = 256 * 2**10
_CUTS = 5
"""How often in a row a connection may be cut without a single byte."""


class _Piece(NamedTuple):
    start: int
    stop: int
    data: "Future[bytes]"


def open_object(url: str, stop: int | None = None) -> BinaryIO:
    """Open an object to read its bytes. A URL that was found before (ObjectUrl) must still have the same bytes.

    ``stop``: nothing behind this byte is read ahead. Raises FileNotFoundError where there is no such object, and
    StorageFault; reading also raises OSError with the number ``faults.CHANGED``.
    """
    found = url if isinstance(url, ObjectUrl) else look_at(url)
    return cast(BinaryIO, io.BufferedReader(ObjectReader(found, stop), FIRST_BYTES))


class ObjectReader(io.RawIOBase):
    """The bytes of an object. Only those of one ETag are read: those of ``url``."""

    def __init__(self, url: ObjectUrl, stop: int | None = None) -> None:
        super().__init__()
        self._url = url
        self._stop = url.size if stop is None else min(stop, url.size)
        self._position = 0
        self._read_to = -1
        self._last_size = FIRST_BYTES
        self._pieces: deque[_Piece] = deque()
        self._threads = ThreadPoolExecutor(AHEAD + 1, "read-ahead")

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """Any byte can be read next."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Let the next byte be this one."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._url.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """The number of the next byte."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read the next bytes into ``buffer``, at least one unless the object ends; returns how many."""
        if self._position >= self._url.size or not len(buffer):
            return 0
        goes_on = self._position == self._read_to
        self._drop_pieces()
        if not self._pieces:
            self._ask(self._position, 2 * self._last_size if goes_on else max(FIRST_BYTES, len(buffer)))
        if goes_on:
            self._read_ahead()
        piece = self._pieces[0]
        begin = self._position - piece.start
        taken = memoryview(piece.data.result())[begin : begin + len(buffer)]
        buffer[: len(taken)] = taken
        self._position = self._read_to = self._position + len(taken)
        return len(taken)

    def close(self) -> None:
        """Stop reading ahead."""
        if not self.closed:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._pieces.clear()
        super().close()

    def _drop_pieces(self) -> None:
        """Forget the pieces before the next byte; all of them, if it is in none."""
        while self._pieces and not self._pieces[0].start <= self._position < self._pieces[0].stop:
            self._pieces.popleft().data.cancel()

    def _read_ahead(self) -> None:
        while len(self._pieces) <= AHEAD and self._pieces[-1].stop < self._stop:
            last = self._pieces[-1]
            self._ask(last.stop, min(2 * self._last_size, self._stop - last.stop))

    def _ask(self, start: int, size: int) -> None:
        stop = min(start + min(size, MOST_BYTES), self._url.size)
        self._last_size = stop - start
        self._pieces.append(_Piece(start, stop, self._threads.submit(read_range, self._url, start, stop)))


def read_range(url: ObjectUrl, start: int, stop: int) -> bytes:
    """The bytes from ``start`` to ``stop`` (exclusive) of an object that still has the ETag of ``url``.

    Where the connection is cut, a new one begins at the first byte that is missing. Raises as ``open_object``.
    """
    data = bytearray()
    cuts = 0
    while len(data) < stop - start:
        before = len(data)
        with faults_explained(url, f"be read near byte {start}"):
            whole = _append(data, url, start + before, stop)
        cuts = 0 if len(data) > before else cuts + 1
        if not whole and cuts > _CUTS:
            raise StorageFault(
                f"{url} cannot be read near byte {start + len(data)}: the connection is cut again and again. Check the "
                "network, and run again."
            )
    return bytes(data)


def _append(data: bytearray, url: ObjectUrl, start: int, stop: int) -> bool:
    """Append the bytes of a range to ``data``, until a cut; returns whether all came."""
    import obstore
    from obstore.exceptions import GenericError

    store, key = store_of(url)
    wanted = len(data) + stop - start
    answer = obstore.get(store, key, options={"range": (start, stop), "if_match": url.etag or None})
    try:
        for chunk in answer.stream(min_chunk_size=_CHUNK_BYTES):
            data += chunk
    except GenericError:
        return False
    return len(data) == wanted
