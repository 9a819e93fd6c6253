"""Countries by address range: what a geo database says, as sorted arrays, and the file that holds them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.geo.archive import Unreadable, read_archive, read_notes, readable, write_archive

# Raise it whenever the compiler or this file format changes: older cache files are then ignored.
FORMAT_VERSION = 1
_COLUMNS = ("v4_start", "v4_code", "v6_hi", "v6_lo", "v6_code")


U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class CountryRanges:
    """The whole of both address spaces, tiled by ranges that each start where the one before ends.

    ``v4_start`` (uint32) and ``v6_hi``/``v6_lo`` (uint64 halves) are the first addresses, ascending and distinct, the
    first one zero. ``v4_code`` and ``v6_code`` (uint16) are positions in ``labels``; ``labels[0]`` is ``""``, "not in
    the database". A label is an ISO 3166-1 alpha-2 code, or ``continent:XX`` where the database names a continent
    without a country.
    """

    v4_start: U32
    v4_code: U16
    v6_hi: U64
    v6_lo: U64
    v6_code: U16
    labels: tuple[str, ...]
    build: str
    attribution: str
    database_hash: str


def first_of_runs(codes: U16) -> npt.NDArray[np.bool_]:
    """True where a range's code differs from the one before it, so that equal neighbours can be merged."""
    first = np.ones(len(codes), dtype=np.bool_)
    first[1:] = codes[1:] != codes[:-1]
    return first


def save_ranges(ranges: CountryRanges, target: Path) -> None:
    """Write ``ranges`` as one compressed ``.npz``, complete or not at all. The same ranges give the same bytes.

    Raises EnvironmentFault when the folder cannot be written.
    """
    notes = {
        "format": FORMAT_VERSION,
        "labels": ranges.labels,
        "build": ranges.build,
        "attribution": ranges.attribution,
        "database_hash": ranges.database_hash,
        "content_hash": _content_hash(ranges),
    }
    arrays = {name: getattr(ranges, name) for name in _COLUMNS}
    try:
        write_archive(target, notes, arrays, compressed=True)
    except OSError as fault:
        raise EnvironmentFault(
            f"Geo cache: cannot write {target}: {fault}. Expected a writable folder; "
            "free space there or name another cache folder."
        ) from fault


def read_hash(source: Path) -> str:
    """``database_hash`` of what ``save_ranges`` wrote. Raises ConfigError as ``load_ranges``."""
    with _readable(source):
        return str(_checked(read_notes(source))["database_hash"])


def load_ranges(source: Path) -> CountryRanges:
    """Read what ``save_ranges`` wrote. Raises ConfigError when the file is missing, damaged or of another format."""
    with _readable(source):
        notes, arrays = read_archive(source)
        _checked(notes)
        ranges = CountryRanges(
            **{name: arrays[name] for name in _COLUMNS},
            labels=tuple(notes["labels"]),
            build=notes["build"],
            attribution=notes["attribution"],
            database_hash=notes["database_hash"],
        )
        if _content_hash(ranges) != notes["content_hash"]:
            raise ValueError("its content does not match its checksum")
        return ranges


def _checked(notes: dict[str, Any]) -> dict[str, Any]:
    if notes["format"] != FORMAT_VERSION:
        raise ValueError(f"format {notes['format']}, expected {FORMAT_VERSION}")
    return notes


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    try:
        with readable():
            yield
    except Unreadable as fault:
        raise ConfigError(
            f"Geo table: cannot read {source}: {fault}. Expected a compiled geo table; "
            "reinstall Logmill, or delete the file if it lies in the cache folder."
        ) from fault


def _content_hash(ranges: CountryRanges) -> str:
    digest = hashlib.sha256(repr((ranges.labels, ranges.build, ranges.attribution, ranges.database_hash)).encode())
    for part in (getattr(ranges, name) for name in _COLUMNS):
        digest.update(f"{part.dtype.str}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
