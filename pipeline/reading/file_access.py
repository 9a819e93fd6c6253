"""How an input file or object is opened and identified, and the reason of one that the run cannot read.

A path is that of a local file, or the URL of an object (``pipeline/storage``). Objects have no inodes, and their bytes
never change: another object takes their name. So an object's mark (its ETag) stands for the inode, and object and size
stand for the hash of the bytes, for which all of them would have to come over the network a second time.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import FileRefused
from pipeline.storage.faults import CHANGED
from pipeline.storage.urls import ObjectUrl, is_url

CHANGED_MEANWHILE = "it changed while it was read. Run again when it is complete."
"""The reason of a file whose bytes are not those that were found."""

Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change in ns and inode of a file: a file whose stamp is equal has not changed."""


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp in what ``os.stat`` or ``os.fstat`` returned."""
    return status.st_size, status.st_mtime_ns, status.st_ino


def stamp(path: str) -> Stamp:
    """The stamp of a file or object. Raises OSError where it cannot be looked at, StorageFault."""
    if is_url(path):
        found = find_object(path)
        return found.size, found.modified_ns, _number(_mark(found))
    return stamp_of(os.stat(path))


def stamp_of_open(path: str, stream: BinaryIO) -> Stamp:
    """The stamp of the file at ``path`` that was opened as ``stream``."""
    return stamp(path) if is_url(path) else stamp_of(os.fstat(stream.fileno()))


def find_object(url: str) -> ObjectUrl:
    """The object of this URL as it was found, or if nobody has looked yet, as it is now. Raises as ``stamp``."""
    if isinstance(url, ObjectUrl):
        return url
    from pipeline.storage.objects import look_at

    return look_at(url)


def _mark(found: ObjectUrl) -> str:
    """What tells an object from others of its size: its ETag, or where the server gives none, when it was written."""
    return found.etag or str(found.modified_ns)


def _number(mark: str) -> int:
    """63 bits that stand for a mark."""
    import xxhash

    return xxhash.xxh3_64_intdigest(mark.encode()) >> 1


def object_hash(url: str) -> str:
    """What stands for the hash of an object's bytes: that of its ETag and size, as 32 hexadecimal digits."""
    import xxhash

    found = find_object(url)
    return xxhash.xxh3_128_hexdigest(f"{_mark(found)} {found.size}".encode())


def file_size(path: str) -> int:
    """Bytes of a file; 0 where the file cannot be looked at, which is an error only when it is opened."""
    try:
        return find_object(path).size if is_url(path) else os.path.getsize(path)
    except OSError:
        return 0


def exists(path: str) -> bool:
    """Whether there is a file (or link) or object of this name. Raises StorageFault."""
    if not is_url(path):
        return os.path.lexists(path)
    from pipeline.storage.objects import exists as is_object

    return is_object(path)


def real_folders(paths: Iterable[str]) -> Iterator[str]:
    """Each path, absolute, with the links of its folders followed: of each folder once, because it may have very many
    files. A link to a file stays. The URL of an object is as it is."""
    folders: dict[str, str] = {}
    for path in paths:
        if is_url(path):
            yield path
            continue
        folder, name = os.path.split(os.path.abspath(path))
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        yield os.path.join(folders[folder], name)


def real_path(path: str) -> str:
    """A path with all links followed, absolute; a URL as it is, without slashes at its end."""
    return path.rstrip("/") if is_url(path) else os.path.realpath(path)


def open_bytes(path: str | Path, stop: int | None = None) -> BinaryIO:
    """Open a file or object to read its bytes. Raises OSError where it cannot be opened, StorageFault.

    ``stop``: of an object, nothing behind this byte is read ahead; with 0, every read is a request of its own.
    """
    if isinstance(path, str) and is_url(path):
        from pipeline.storage.reader import open_object

        return open_object(path, stop)
    return open(path, "rb")


def open_file(path: str, stop: int | None = None) -> BinaryIO:
    """``open_bytes`` of an input. Raises FileRefused where it cannot be opened, StorageFault."""
    try:
        return open_bytes(path, stop)
    except OSError as fault:
        raise unreadable(fault) from fault


def unreadable(fault: OSError, position: int | None = None) -> FileRefused:
    """The refusal of a file that could not be opened, or not be read at byte ``position``, because of ``fault``."""
    reason = fault.strerror or fault
    if fault.errno == CHANGED:
        return FileRefused(CHANGED_MEANWHILE)
    if position is None:
        return FileRefused(f"cannot be read: {reason}. Check that it exists and its permissions.")
    return FileRefused(f"cannot be read near byte {position}: {reason}.")
