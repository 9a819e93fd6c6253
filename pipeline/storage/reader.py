"""Reads an object as a file: from any byte, ahead of its reader, and on where a connection was cut."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from queue import Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, BinaryIO, cast

from pipeline.storage.client import store_of
from pipeline.storage.faults import StorageFault, faults_explained
from pipeline.storage.objects import look_at
from pipeline.storage.urls import ObjectUrl

if TYPE_CHECKING:
    from obstore import GetOptions

FIRST_BYTES = 64 * 2**10
"""Bytes of a look at a place: a header, a sample. Whoever goes on reading there gets a stream."""

BEFORE_BYTES = 32 * 2**10
"""Bytes before the place of a look that come with it where there is a ``stop``: who reads a part of a log looks for the
start of its first record before it."""

AHEAD, CHUNK_BYTES = 8, 2**20
"""So many chunks of about this size wait for the reader."""

SKIPPED_BYTES = 4 * 2**20
"""A stream is read on over so many bytes that nobody wants: a new request takes longer."""

BEHIND_BYTES = 2**18
"""Bytes that were read and are kept: readers of chunks go back to the beginning of the last line."""

_PIECE_BYTES = 64 * 2**10
"""Bytes that a cut connection may lose, and that are asked for again."""

_CUTS = 5
"""How often in a row a connection may be cut without a single byte."""
_LOOK_SECONDS = 0.1


def open_object(url: str, stop: int | None = None) -> BinaryIO:
    """Open an object to read its bytes. A URL that was found before (ObjectUrl) must still have the same bytes.

    ``stop``: not more than ``FIRST_BYTES`` behind this byte are read ahead, where a record may end. 0: nothing is read
    ahead. Raises FileNotFoundError where there is no such object, and StorageFault; reading also raises OSError with
    the number ``faults.CHANGED``.
    """
    found = url if isinstance(url, ObjectUrl) else look_at(url)
    return cast(BinaryIO, io.BufferedReader(ObjectReader(found, stop), FIRST_BYTES))


class ObjectReader(io.RawIOBase):
    """The bytes of an object. Only those of one ETag are read: those of ``url``.

    A read at a new place is one request. The second read in a row begins a stream, which a thread reads ahead; a place
    that lies a little further on is reached by it.
    """

    def __init__(self, url: ObjectUrl, stop: int | None = None) -> None:
        super().__init__()
        self._url = url
        self._stop = url.size if stop is None else min(stop, url.size)
        self._before = BEFORE_BYTES if stop else 0
        self._stream_stop = min(self._stop + FIRST_BYTES, url.size)
        self._position = 0
        self._read_to = -1
        self._left = memoryview(b"")
        self._behind = b""
        self._stream: _Stream | None = None

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
        self._go_to(self._position - self._read_to, len(buffer))
        if not self._left:
            self._left = self._go_on(len(buffer))
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        self._behind = (self._behind + taken[-BEHIND_BYTES:])[-BEHIND_BYTES:]
        self._position = self._read_to = self._position + len(taken)
        return len(taken)

    def close(self) -> None:
        """Stop reading ahead."""
        self._end_stream()
        super().close()

    def _go_to(self, gap: int, size: int) -> None:
        """Prepare to read so many bytes behind (or before) the end of the last read."""
        if -len(self._behind) <= gap < 0:
            self._left = memoryview(self._behind[gap:] + self._left)
            self._behind = self._behind[:gap]
        elif self._stream and 0 <= gap <= SKIPPED_BYTES and self._position < self._stream_stop:
            self._skip(gap)
        elif gap:
            self._end_stream()
            before = min(self._before, self._position)
            data = self._look(size, before)
            self._behind, self._left = bytes(data[:before]), data[before:]

    def _skip(self, gap: int) -> None:
        """Read on in the stream, which has more, until so many bytes are behind."""
        while self._stream and gap > 0:
            self._left = self._left or memoryview(self._stream.take())
            skipped = min(gap, len(self._left))
            self._left, gap = self._left[skipped:], gap - skipped
            self._behind = b""

    def _look(self, size: int, before: int = 0) -> memoryview:
        stop = min(self._position + max(FIRST_BYTES, size), self._url.size)
        return memoryview(read_range(self._url, self._position - before, stop))

    def _go_on(self, size: int) -> memoryview:
        """The next bytes of the stream; behind its end, of a single request."""
        if self._position >= (self._stream_stop if self._stream else self._stop):
            return self._look(size)
        if not self._stream:
            self._stream = _Stream(self._url, self._position, self._stream_stop)
        return memoryview(self._stream.take())

    def _end_stream(self) -> None:
        self._left, self._behind = memoryview(b""), b""
        if self._stream:
            self._stream.end()
            self._stream = None


class _Stream:
    """A thread that reads a range of an object, at most ``AHEAD`` chunks before they are taken."""

    def __init__(self, url: ObjectUrl, start: int, stop: int) -> None:
        self._chunks: Queue[bytes | Exception] = Queue(AHEAD)
        self._ended = Event()
        Thread(target=self._run, args=(url, start, stop), name="read-ahead", daemon=True).start()

    def take(self) -> bytes:
        """The next chunk. Raises what reading it failed with."""
        found = self._chunks.get()
        if isinstance(found, Exception):
            raise found
        return found

    def end(self) -> None:
        """Let the thread end, with its connection."""
        self._ended.set()

    def _run(self, url: ObjectUrl, start: int, stop: int) -> None:
        chunk = bytearray()
        try:
            for piece in stream_range(url, start, stop):
                chunk += piece
                if len(chunk) >= CHUNK_BYTES:
                    if not self._put(bytes(chunk)):
                        return
                    chunk.clear()
            self._put(bytes(chunk))
        except Exception as fault:
            self._put(fault)

    def _put(self, item: bytes | Exception) -> bool:
        """Let an item wait; False where nobody wants it any more."""
        while not self._ended.is_set():
            try:
                self._chunks.put(item, timeout=_LOOK_SECONDS)
            except Full:
                continue
            return True
        return False


def read_range(url: ObjectUrl, start: int, stop: int) -> bytes:
    """The bytes from ``start`` to ``stop`` (exclusive), as ``stream_range`` has them."""
    return b"".join(stream_range(url, start, stop))


def stream_range(url: ObjectUrl, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from ``start`` to ``stop`` (exclusive) of an object that still has the ETag of ``url``, in pieces.

    Where the connection is cut, a new one begins at the first byte that is missing. Raises as ``open_object``.
    """
    position = start
    cuts = 0
    while position < stop:
        before = position
        with faults_explained(url, f"be read near byte {position}"):
            for piece in _until_cut(url, position, stop):
                position += len(piece)
                yield piece
        cuts = 0 if position > before else cuts + 1
        if cuts > _CUTS:
            raise StorageFault(
                f"{url} cannot be read near byte {position}: the connection is cut again and again. Check the network, "
                "and run again."
            )


def _until_cut(url: ObjectUrl, start: int, stop: int) -> Iterator[bytes]:
    import obstore
    from obstore.exceptions import GenericError

    store, key = store_of(url)
    answer = obstore.get(store, key, options={"range": (start, stop), **_unchanged(url)})
    try:
        yield from answer.stream(min_chunk_size=_PIECE_BYTES)
    except GenericError:
        return


def _unchanged(url: ObjectUrl) -> "GetOptions":
    """The condition that the object is still the one that was found; some servers give no ETags."""
    if url.etag:
        return {"if_match": url.etag}
    return {"if_unmodified_since": datetime.fromtimestamp(url.modified_ns / 1e9, UTC)}
