"""Writes and reads ``.npz`` files of arrays and notes; a file is written complete or not at all."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
"""Name → array."""


class Unreadable(Exception):
    """An archive is missing, damaged or of another format; the message is the reason."""


@contextmanager
def readable() -> Iterator[None]:
    """A context that raises Unreadable for every exception within it, such as those of reading an archive."""
    try:
        yield
    # NumPy and zipfile raise almost anything for a damaged file: zlib.error and NotImplementedError for a flipped bit.
    except Exception as fault:
        raise Unreadable(str(fault) or type(fault).__name__) from fault


def write_archive(target: Path, notes: Mapping[str, object], arrays: Arrays, compressed: bool) -> None:
    """Write ``arrays`` and ``notes`` (stored as JSON) to ``target``, and create its folder if there is none.

    An older file is replaced at once; where the write fails, the older file stays. Equal arguments give equal bytes.
    No array may be named ``notes``. Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".geo-", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            encoded = np.frombuffer(json.dumps(notes, sort_keys=True).encode(), np.uint8)
            (np.savez_compressed if compressed else np.savez)(stream, notes=encoded, **arrays)  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_notes(source: Path) -> dict[str, Any]:
    """Read the notes of an archive. Call it within ``readable``."""
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        return _decode_notes(stored)


def read_archive(source: Path) -> tuple[dict[str, Any], Arrays]:
    """Read an archive: (notes, arrays). Call it within ``readable``."""
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        return _decode_notes(stored), {name: stored[name] for name in stored.files if name != "notes"}


def _decode_notes(stored: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, Any]:
    notes: dict[str, Any] = json.loads(stored["notes"].tobytes())
    return notes
