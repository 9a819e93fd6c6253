"""Arrays with notes in one ``.npz`` file, written complete or not at all."""

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


class Unreadable(Exception):
    """An archive that is missing, damaged or not what was meant, with the reason as text."""


@contextmanager
def readable() -> Iterator[None]:
    """Raises Unreadable for whatever goes wrong while an archive is read and its content taken apart."""
    try:
        yield
    # zlib.error and NotImplementedError are what a flipped bit in the archive's own fields turns into.
    except Exception as fault:
        raise Unreadable(str(fault) or type(fault).__name__) from fault


def write_archive(target: Path, notes: Mapping[str, object], arrays: Arrays, compressed: bool) -> None:
    """Replace ``target``. The same content gives the same bytes. ``notes`` as JSON. Raises OSError."""
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
    """The notes alone. To be called within ``readable``."""
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        return _notes(stored)


def read_archive(source: Path) -> tuple[dict[str, Any], Arrays]:
    """Notes and arrays. To be called within ``readable``."""
    with source.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        return _notes(stored), {name: stored[name] for name in stored.files if name != "notes"}


def _notes(stored: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, Any]:
    notes: dict[str, Any] = json.loads(stored["notes"].tobytes())
    return notes
