"""Countries by address range, as sorted arrays, and the file in which they are stored."""

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

FORMAT_VERSION = 1
"""Raise it whenever the compiler or the file format changes, so that older cache files are ignored."""

_COLUMNS = ("v4_start", "v4_code", "v6_hi", "v6_lo", "v6_code")

U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class CountryRanges:
    """Ranges that tile both address spaces: each begins at its first address and ends before the next one's.

    =================  =====================================================================================
    ``v4_start``       first address of each IPv4 range, ascending from 0
    ``v4_code``        label of each IPv4 range, as a position in ``labels``
    ``v6_hi``          upper half of the first address of each IPv6 range; the addresses ascend from 0
    ``v6_lo``          lower half of the first address of each IPv6 range
    ``v6_code``        label of each IPv6 range, as a position in ``labels``
    ``labels``         the first is ``""``, "not in the database"; others are an ISO 3166-1 alpha-2 code, or
                       ``continent:XX`` where the database names a continent and no country
    ``build``          type and date of the database
    ``attribution``    the text that the database's licence wants shown with results, or ``""``
    ``database_hash``  sha256 of the database's bytes, in hexadecimal digits
    =================  =====================================================================================
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
    """Whether each range's code differs from that of the range before, so that the range is not merged with it."""
    first = np.ones(len(codes), dtype=np.bool_)
    first[1:] = codes[1:] != codes[:-1]
    return first


def save_ranges(ranges: CountryRanges, target: Path) -> None:
    """Write ``ranges`` to the compressed ``.npz`` file ``target``, complete or not at all.

    Equal ranges give equal bytes. Raises EnvironmentFault where the folder cannot be written.
    """
    notes = {
        "format": FORMAT_VERSION,
        "labels": ranges.labels,
        "build": ranges.build,
        "attribution": ranges.attribution,
        "database_hash": ranges.database_hash,
        "content_hash": _hash_ranges(ranges),
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
    """Read the ``database_hash`` in a file of ``save_ranges``, without the ranges. Raises as ``load_ranges``."""
    with _readable(source):
        return str(_checked(read_notes(source))["database_hash"])


def load_ranges(source: Path) -> CountryRanges:
    """Read a file of ``save_ranges``. Raises ConfigError where it is missing, damaged or of another format."""
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
        if _hash_ranges(ranges) != notes["content_hash"]:
            raise ValueError("its content does not match its checksum")
        return ranges


def _checked(notes: dict[str, Any]) -> dict[str, Any]:
    """``notes``, if they are of this format; else raises ValueError."""
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


def _hash_ranges(ranges: CountryRanges) -> str:
    digest = hashlib.sha256(repr((ranges.labels, ranges.build, ranges.attribution, ranges.database_hash)).encode())
    for column in (getattr(ranges, name) for name in _COLUMNS):
        digest.update(f"{column.dtype.str}{column.shape}".encode())
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
