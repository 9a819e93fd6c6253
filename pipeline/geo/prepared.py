"""A geo table ready to be searched, and the file that holds it: loading takes a tenth of the time of preparing."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.geo.archive import Unreadable, read_archive, readable, write_archive
from pipeline.geo.lookup import IPv4Lookup, IPv6Lookup

PREPARED_VERSION = 1
"""Raise it whenever tables are prepared otherwise, or stored otherwise: older cache files are then ignored."""


@dataclass(frozen=True)
class Prepared:
    """``names``: code → label; ``build`` and ``attribution`` of the database; the two searches."""

    names: tuple[str, ...]
    build: str
    attribution: str
    v4: IPv4Lookup
    v6: IPv6Lookup


def save_prepared(table: Prepared, digest: str, target: Path) -> None:
    """Write the table, not compressed. ``digest``: hash of all that decided it. Raises OSError."""
    notes = {"digest": digest, "names": table.names, "build": table.build, "attribution": table.attribution}
    write_archive(target, notes, {**vars(table.v4), **vars(table.v6)}, compressed=False)


def load_prepared(source: Path, digest: str) -> Prepared | None:
    """The table of this digest; None where there is no such file, or it is damaged (the archive has checksums)."""
    try:
        with readable():
            notes, arrays = read_archive(source)
            if notes["digest"] != digest:
                return None
            v4, v6 = IPv4Lookup(**_own(arrays, IPv4Lookup)), IPv6Lookup(**_own(arrays, IPv6Lookup))
            return Prepared(tuple(notes["names"]), notes["build"], notes["attribution"], v4, v6)
    except Unreadable:
        return None


def _own(arrays: dict[str, Any], kind: type) -> dict[str, Any]:
    return {field.name: arrays[field.name] for field in fields(kind)}
