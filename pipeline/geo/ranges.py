"""Countries by address range: what a geo database says, as sorted arrays, and the file that holds them."""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.errors import ConfigError, EnvironmentFault

# Raise it whenever the compiler or this file format changes: older cache files are then ignored.
FORMAT_VERSION = 1

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
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".geo-", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, "wb") as stream:
            np.savez_compressed(
                stream,
                notes=np.frombuffer(json.dumps(notes, sort_keys=True).encode(), dtype=np.uint8),
                v4_start=ranges.v4_start,
                v4_code=ranges.v4_code,
                v6_hi=ranges.v6_hi,
                v6_lo=ranges.v6_lo,
                v6_code=ranges.v6_code,
            )
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except OSError as fault:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise EnvironmentFault(
            f"Geo cache: cannot write {target}: {fault}. Expected a writable folder; "
            "free space there or name another cache folder."
        ) from fault


def load_ranges(source: Path) -> CountryRanges:
    """Read what ``save_ranges`` wrote. Raises ConfigError when the file is missing, damaged or of another format."""
    try:
        with source.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            notes = json.loads(stored["notes"].tobytes())
            if notes["format"] != FORMAT_VERSION:
                raise ValueError(f"format {notes['format']}, expected {FORMAT_VERSION}")
            ranges = CountryRanges(
                v4_start=stored["v4_start"],
                v4_code=stored["v4_code"],
                v6_hi=stored["v6_hi"],
                v6_lo=stored["v6_lo"],
                v6_code=stored["v6_code"],
                labels=tuple(notes["labels"]),
                build=notes["build"],
                attribution=notes["attribution"],
                database_hash=notes["database_hash"],
            )
        if _content_hash(ranges) != notes["content_hash"]:
            raise ValueError("its content does not match its checksum")
    # zlib.error and NotImplementedError are what a flipped bit in the archive's own fields turns into.
    except Exception as fault:
        raise ConfigError(
            f"Geo table: cannot read {source}: {fault or type(fault).__name__}. Expected a compiled geo table; "
            "reinstall Logmill, or delete the file if it lies in the cache folder."
        ) from fault
    return ranges


def _content_hash(ranges: CountryRanges) -> str:
    digest = hashlib.sha256(repr((ranges.labels, ranges.build, ranges.attribution, ranges.database_hash)).encode())
    for part in (ranges.v4_start, ranges.v4_code, ranges.v6_hi, ranges.v6_lo, ranges.v6_code):
        digest.update(f"{part.dtype.str}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
