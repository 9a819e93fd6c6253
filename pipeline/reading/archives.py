"""Expands compressed inputs, whole or not at all, in bounded memory and disk.

Formats: gzip (RFC 1952) with any number of members; Zstandard (RFC 8878) with any number of frames, skippable frames
included.
"""

import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import xxhash

from pipeline.errors import FileRefused
from pipeline.machine import writing
from pipeline.reading.file_access import Stamp, object_hash, open_file, stamp_of_open, unreadable
from pipeline.storage.urls import is_url
from utils.units import format_size

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


SMALL_BYTES = 16 * 2**20
"""Bytes to which every archive may expand, whatever its own size."""

DISK_RESERVE = 512 * 2**20
"""Bytes of the disk that expansion leaves free."""

_READ_BYTES = 2**16
"""Bytes of an archive that are read at a time."""

_STEP_BYTES = 2**20
"""Most bytes of text that are held at a time, however far the archive expands."""

_WINDOW_LOG = 27
"""Longest window of a zstd frame, as a power of two: 128 MiB, the limit of the zstd program. Longer ones would not fit
a worker's memory."""


@dataclass(frozen=True)
class Expanded:
    """An archive after its expansion.

    =============  ==========================================================================================
    ``spool``      path of the file with the text
    ``size``       bytes of the text; of an archive that was expanded in part, an estimate for all of it
    ``stamp``      stamp of the archive
    ``file_hash``  ``input_files.hash_file`` of the archive; empty if it was expanded in part
    =============  ==========================================================================================
    """

    spool: str
    size: int
    stamp: Stamp
    file_hash: str


class _Frame(Protocol):
    """One gzip member or zstd frame while it is expanded."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipMember:
    """zlib's decompressor with the interface of ``ZstdDecompressor``: it keeps the input that it has not used yet."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        text = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(text) < max_length
        return text


def _zstd_frame() -> _Frame:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


@dataclass(frozen=True)
class _Format:
    name: str
    begin: Callable[[], _Frame]


_FORMATS = {".gz": _Format("gzip", _GzipMember), ".zst": _Format("zstd", _zstd_frame)}

ARCHIVE_SUFFIXES = tuple(_FORMATS)
"""Endings of compressed inputs, after ``.csv`` or ``.tsv``."""


def is_archive(path: str) -> bool:
    """Whether the file's name says that it is compressed."""
    return path.lower().endswith(ARCHIVE_SUFFIXES)


def expand_file(path: str, spool: Path, max_ratio: int, advance: Callable[[int], None]) -> Expanded:
    """Expand the archive ``path`` into the new file ``spool``; ``advance`` gets the number of bytes read.

    Raises FileRefused, and leaves no ``spool``, where the archive cannot be read, is truncated or corrupt, has bytes
    behind its end, expands to more than ``max_ratio`` times its size and ``SMALL_BYTES``, or would leave less than
    ``DISK_RESERVE`` free on the disk.
    """
    try:
        with open_file(path) as source, writing(spool), spool.open("xb") as target:
            found = stamp_of_open(path, source)
            limit = max(SMALL_BYTES, found[0] * max_ratio)
            digest = xxhash.xxh3_128()
            pieces = _read_pieces(source, digest.update, advance)
            size = unchecked = 0
            for data in _expand(pieces, _FORMATS[Path(path).suffix.lower()]):
                size += len(data)
                if size > limit:
                    raise FileRefused(
                        f"it expands to more than {format_size(limit)} from {format_size(found[0])}, which a "
                        "harmless log hardly does. If it is one, raise MAX_EXPANSION_RATIO and run again."
                    )
                unchecked -= len(data)
                if unchecked < 0:
                    _check_room(spool.parent, size)
                    unchecked = SMALL_BYTES
                target.write(data)
            file_hash = object_hash(path) if is_url(path) else digest.hexdigest()
            return Expanded(str(spool), size, found, file_hash)
    except BaseException:
        spool.unlink(missing_ok=True)
        raise


def expand_beginning(path: str, spool: Path, text_bytes: int) -> Expanded:
    """Expand the first ``text_bytes`` bytes of text, or up to a MiB more, into the new file ``spool``.

    ``size`` of the result is an estimate for the whole text, from the share of the archive that was read. Raises
    FileRefused where the archive cannot be read or is corrupt.
    """
    read = 0

    def advance(number: int) -> None:
        nonlocal read
        read += number

    with open_file(path) as source, spool.open("xb") as target:
        found = stamp_of_open(path, source)
        size, whole = 0, True
        for data in _expand(_read_pieces(source, bytes, advance), _FORMATS[Path(path).suffix.lower()]):
            size += target.write(data)
            if size >= text_bytes:
                whole = False
                break
    read = min(found[0], read + _READ_BYTES)  # the last piece was not counted yet
    expected_size = size if whole else max(size, size * found[0] // read)
    return Expanded(str(spool), expected_size, found, "")


def _check_room(folder: Path, expanded: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < DISK_RESERVE + SMALL_BYTES:
        raise FileRefused(
            f"the disk of the intermediate folder has too little room for it: {format_size(free)} are free after it "
            f"was expanded to {format_size(expanded)}, and {format_size(DISK_RESERVE)} must stay free. Free some room, "
            "or name a folder on another disk with --intermediate, and run again."
        )


def _read_pieces(
    source: BinaryIO, update: Callable[[bytes], object], advance: Callable[[int], None]
) -> Iterator[bytes]:
    while True:
        try:
            data = source.read(_READ_BYTES)
        except OSError as fault:
            raise unreadable(fault, source.tell()) from fault
        if not data:
            return
        update(data)
        yield data
        advance(len(data))


def _expand(pieces: Iterator[bytes], form: _Format) -> Iterator[bytes]:
    """Expand the pieces of an archive; yields at most ``_STEP_BYTES`` bytes at a time, so that no archive fills the
    memory."""
    frame: _Frame | None = None
    read = frames = 0
    for data in pieces:
        read += len(data)
        while data or (frame and not frame.needs_input):
            if frame is None:
                frame = form.begin()
            try:
                yield frame.decompress(data, _STEP_BYTES)
            except (zlib.error, zstd.ZstdError) as fault:
                raise FileRefused(_damage(form, frames, read, str(fault))) from fault
            data = b""
            if frame.eof:
                data, frame = frame.unused_data, None
                frames += 1
    if frame or not frames:
        raise FileRefused(
            f"the {form.name} archive is truncated: it ends after {read} bytes, in the middle. Deliver it again."
        )


def _damage(form: _Format, frames: int, read: int, fault: str) -> str:
    if frames:
        return (
            f"the {form.name} archive is corrupt, or other bytes follow it: before byte {read}, after {frames} whole "
            f"part(s): {fault}. Deliver it again."
        )
    return (
        f"it is no {form.name} archive, or a corrupt one: before byte {read}: {fault}. Deliver it again, or name it "
        "without the ending if it is not compressed."
    )
