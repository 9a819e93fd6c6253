"""Copies many files to a storage, and back, several at a time."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from pipeline.errors import InputError
from pipeline.storage.faults import CHANGED
from pipeline.storage.objects import look_at, write_object
from pipeline.storage.reader import stream_range
from pipeline.storage.urls import ObjectUrl

_AT_ONCE = 16


def upload_files(files: Mapping[str, Path]) -> None:
    """Write files as the objects of these URLs. Raises StorageFault, and OSError where a file cannot be read."""
    _do_all(lambda named: write_object(*named), files.items())


def download_files(files: Mapping[str, Path]) -> None:
    """Write the objects of these URLs as files; a file appears under its name when it is complete.

    Raises FileNotFoundError where an object is gone, StorageFault, and OSError where a file cannot be written.
    """
    _do_all(lambda named: download_file(*named), files.items())


def download_file(url: str, path: Path) -> None:
    """Write an object as a file; see ``download_files``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as target:
            _copy(url, target)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def spooled(url: str, folder: Path) -> Iterator[IO[bytes]]:
    """A copy of an object as a file in ``folder``, which has a name and goes when the block ends.

    Raises InputError where the object changed meanwhile, FileNotFoundError, StorageFault, OSError.
    """
    with NamedTemporaryFile(dir=folder, prefix=".object-") as copy:
        try:
            _copy(url, copy)
        except OSError as fault:
            if fault.errno != CHANGED:
                raise
            raise InputError(f"{url} changed while it was read. Run again when it is whole.") from None
        copy.seek(0)
        yield copy


def _copy(url: str, target: IO[bytes]) -> None:
    """Write the bytes of an object, for which one request asks."""
    found = url if isinstance(url, ObjectUrl) else look_at(url)
    for piece in stream_range(found, 0, found.size):
        target.write(piece)


def _do_all(action: "Callable[[tuple[str, Path]], None]", files: Iterable[tuple[str, Path]]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        try:
            for _ in threads.map(action, files):
                pass
        except BaseException:
            threads.shutdown(wait=True, cancel_futures=True)
            raise
