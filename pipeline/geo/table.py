"""The geo table of a run: database, level and regions put together, and its recipe for other processes."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.geo.addresses import parse_addresses
from pipeline.geo.archive import Unreadable, read_archive, readable, write_archive
from pipeline.geo.lookup import IPv4Lookup, IPv6Lookup
from pipeline.geo.ranges import FORMAT_VERSION, U16, CountryRanges, load_ranges, read_hash, save_ranges
from pipeline.geo.regions import CONTINENT_OF_CODE, CONTINENTS_CSV, RESERVED, read_regions
from pipeline.geo.special import SPECIAL_PURPOSE_CSV, private_intervals

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


GeoLevel = Literal["region", "country"]


INVALID, PRIVATE, UNKNOWN = (np.uint16(code) for code in range(len(RESERVED)))


SHIPPED_TABLE = Path(__file__).parent / "data" / "dbip-country-lite-2026-06.npz"


@dataclass(frozen=True)
class GeoSource:
    """All that another process needs to load the same table: plain values, cheap to pickle.

    ``compiled`` is the path of a compiled table, ``regions`` the (country, region) pairs or empty at level
    ``"country"``, ``continents`` whether records with a continent and no country count; ``digest`` is what the loaded
    table must have; ``prepared`` is where the table lies ready to be searched (``prepared.py``), or ``""``.
    """

    compiled: str
    level: GeoLevel
    regions: tuple[tuple[str, str], ...]
    continents: bool
    digest: str
    prepared: str = ""

    def load(self) -> "GeoTable":
        """Load the table. Raises EnvironmentFault when the compiled file is gone or is not the one that was meant."""
        ready = load_prepared(Path(self.prepared), self.digest) if self.prepared else None
        if ready:
            return GeoTable(ready, self)
        try:
            ranges = load_ranges(Path(self.compiled))
        except ConfigError as fault:
            raise EnvironmentFault(str(fault)) from fault
        found = table_digest(ranges.database_hash, self.level, self.regions, self.continents)
        if found != self.digest:
            raise EnvironmentFault(
                f"Geo table: {self.compiled} or the special-purpose table changed during the run (digest {found[:12]}, "
                f"expected {self.digest[:12]}). Leave both alone while a run is under way, and run again."
            )
        return GeoTable(prepare(ranges, self), self)


class GeoTable:
    """IP address → region code.

    ``names``: code → label; codes 0, 1, 2 are INVALID, PRIVATE, UNKNOWN, then all regions (or countries) in order of
    their text. ``build``: name and date of the database; ``attribution``: what its licence asks to show with results,
    ``""`` if nothing. ``digest``: hex hash of everything that decides a lookup. ``source``: the recipe; a pickled
    table is its source and loads itself anew.
    """

    def __init__(self, prepared: Prepared, source: GeoSource) -> None:
        self.source = source
        self.digest = source.digest
        self.build = prepared.build
        self.attribution = prepared.attribution
        self.names = prepared.names
        self._v4, self._v6 = prepared.v4, prepared.v6

    def __reduce__(self) -> tuple[object, tuple[GeoSource]]:
        return GeoSource.load, (self.source,)

    def lookup(self, ips: pl.Series) -> U16:
        """Codes (uint16, positions in ``names``) of a String column, row by row; INVALID for null and non-addresses.

        Never raises for a value. IPv4-mapped IPv6 counts as its IPv4 address; values are not trimmed.
        """
        addresses = parse_addresses(ips)
        codes = np.full(len(ips), INVALID, np.uint16)
        codes[addresses.v4_rows] = self._v4.find(addresses.v4)
        if len(addresses.v6_rows):
            codes[addresses.v6_rows] = self._v6.find(addresses.v6_hi, addresses.v6_lo)
        return codes

    @cached_property
    def arrays(self) -> dict[str, npt.NDArray[np.generic] | int]:
        """What the compiled kernel needs to decide as ``lookup`` does, by its names."""
        return {**vars(self._v4), **vars(self._v6), "halves": len(self._v6.half), "invalid": int(INVALID)}


def prepare(ranges: CountryRanges, source: GeoSource) -> Prepared:
    """Put names and special addresses in: what ``ranges`` mean to a run."""
    label_of = label_codes(ranges.labels, source)
    names = (*RESERVED, *sorted(set(label_of.values())))
    position = {name: code for code, name in enumerate(names)}
    codes = np.array([position[label_of.get(label, "UNKNOWN")] for label in ranges.labels], np.uint16)
    private = int(PRIVATE)
    v4 = IPv4Lookup.build(ranges.v4_start, codes[ranges.v4_code], private_intervals(4), private)
    v6 = IPv6Lookup.build(ranges.v6_hi, ranges.v6_lo, codes[ranges.v6_code], private_intervals(6), private)
    return Prepared(names, ranges.build, ranges.attribution, v4, v6)


def load_geo_table(database: Path | None, level: GeoLevel, regions_csv: Path | None, cache_dir: Path) -> GeoTable:
    """The table of a run.

    ``database``: an MMDB file, compiled once into ``cache_dir`` by the hash of its bytes; None is the shipped DB-IP
    table. ``level``: labels are regions or ISO country codes. ``regions_csv``: the user's ``country,region`` table;
    None is the shipped table of continents; countries that it leaves out are UNKNOWN. At level "country" it is
    checked and has no effect.
    Raises ConfigError for a file that cannot serve, EnvironmentFault when the cache cannot be written.
    """
    regions = read_regions(regions_csv or CONTINENTS_CSV)
    compiled = SHIPPED_TABLE if database is None else _compile_cached(database, cache_dir)
    by_region = level == "region"
    pairs = tuple(sorted(regions.items())) if by_region else ()
    continents = by_region and regions_csv is None
    digest = table_digest(read_hash(compiled), level, pairs, continents)
    target = cache_dir / f"geo-lookup-v{PREPARED_VERSION}-{digest[:32]}.npz"
    source = GeoSource(str(compiled.resolve()), level, pairs, continents, digest, str(target.resolve()))
    ready = load_prepared(target, digest)
    if not ready:
        ready = prepare(load_ranges(compiled), source)
        with suppress(OSError):  # without it, every process prepares the table for itself
            save_prepared(ready, digest, target)
    return GeoTable(ready, source)


def _compile_cached(database: Path, cache_dir: Path) -> Path:
    try:
        with database.open("rb") as stream:
            database_hash = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as fault:
        raise ConfigError(
            f"GEO_DATABASE: cannot read {database}: {fault.strerror}. Check the path (--geo-db)."
        ) from fault
    compiled = cache_dir / f"geo-v{FORMAT_VERSION}-{database_hash[:32]}.npz"
    try:
        if load_ranges(compiled).database_hash == database_hash:
            return compiled
    except ConfigError:
        # Missing or damaged: either way it is made anew.
        pass
    from pipeline.geo.mmdb import compile_mmdb  # with maxminddb, which no process needs for a table that is there

    save_ranges(compile_mmdb(database), compiled)
    return compiled


def label_codes(labels: tuple[str, ...], source: GeoSource) -> dict[str, str]:
    """Label of the database → label of the result, without those that become UNKNOWN."""
    if source.level == "country":
        return {label: label for label in labels if label and not label.startswith("continent:")}
    label_of = dict(source.regions)
    if source.continents:
        label_of |= {f"continent:{code}": region for code, region in CONTINENT_OF_CODE.items()}
    return label_of


def table_digest(database_hash: str, level: str, regions: tuple[tuple[str, str], ...], continents: bool) -> str:
    """Hex hash of everything that decides a lookup."""
    special = hashlib.sha256(SPECIAL_PURPOSE_CSV.read_bytes()).hexdigest()
    parts = [FORMAT_VERSION, database_hash, level, regions, continents, special]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
