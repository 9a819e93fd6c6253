"""Makes the geo table of a run from database, level and regions, and the source from which other processes load it."""

import hashlib
import json
from collections.abc import Callable, Iterable
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
from pipeline.geo.regions import CONTINENT_OF_CODE, CONTINENTS_CSV, RESERVED, is_text_to_readers, read_regions
from pipeline.geo.special import SPECIAL_PURPOSE_CSV, private_intervals
from pipeline.machine import at_hand

PREPARED_VERSION = 1
"""Raise it whenever tables are prepared or stored in another way, so that older cache files are ignored."""

GeoLevel = Literal["region", "country"]

INVALID, PRIVATE, UNKNOWN = (np.uint16(code) for code in range(len(RESERVED)))
"""Codes of the reserved regions."""

SHIPPED_TABLE = Path(__file__).parent / "data" / "dbip-country-lite-2026-06.npz"
"""The compiled DB-IP table that is part of the program."""


@dataclass(frozen=True)
class Prepared:
    """A table that is ready to be searched.

    ===============  ========================================================================
    ``names``        names of the regions or countries, by code
    ``build``        type and date of the database
    ``attribution``  the text that the database's licence wants shown with results, or ``""``
    ``v4``           search for IPv4 addresses
    ``v6``           search for IPv6 addresses
    ===============  ========================================================================
    """

    names: tuple[str, ...]
    build: str
    attribution: str
    v4: IPv4Lookup
    v6: IPv6Lookup


def save_prepared(table: Prepared, digest: str, target: Path) -> None:
    """Write the table to ``target``, without compression. ``digest``: as ``table_digest``. Raises OSError."""
    notes = {"digest": digest, "names": table.names, "build": table.build, "attribution": table.attribution}
    write_archive(target, notes, {**vars(table.v4), **vars(table.v6)}, compressed=False)


def load_prepared(source: Path, digest: str) -> Prepared | None:
    """Read the table with this ``digest``; None where the file is missing, damaged or of another digest."""
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
    """The arrays that are fields of ``kind``."""
    return {field.name: arrays[field.name] for field in fields(kind)}


@dataclass(frozen=True)
class GeoSource:
    """The values from which another process loads the same table; they are cheap to pickle.

    ==============  ================================================================================
    ``compiled``    path of a file of ``save_ranges``
    ``level``       whether codes stand for regions or countries
    ``regions``     (country, region) pairs; empty at level ``"country"``
    ``continents``  whether a record with a continent and no country has the continent as its region
    ``digest``      the ``table_digest`` that the loaded table must have
    ``prepared``    path of a file of ``save_prepared``, or ``""``
    ==============  ================================================================================
    """

    compiled: str
    level: GeoLevel
    regions: tuple[tuple[str, str], ...]
    continents: bool
    digest: str
    prepared: str = ""

    def load(self) -> "GeoTable":
        """Load the table. Raises EnvironmentFault where the compiled file is missing, damaged or of another digest."""
        ready = load_prepared(at_hand(self.prepared), self.digest) if self.prepared else None
        if ready:
            return GeoTable(ready, self)
        try:
            ranges = load_ranges(at_hand(self.compiled))
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
    """IP address → region code. A pickled table is its source; unpickling loads the table.

    ===============  ==============================================================================================
    ``source``       the values from which the table is loaded
    ``digest``       hash of everything that decides a lookup (``table_digest``)
    ``build``        type and date of the database
    ``attribution``  the text that the database's licence wants shown with results, or ``""``
    ``names``        names by code: INVALID, PRIVATE, UNKNOWN, then all regions or countries in order of their text
    ===============  ==============================================================================================
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
        """Find the code (uint16, a position in ``names``) of each row of a String column.

        INVALID for null and for a text that is no address; no value raises. An IPv4-mapped IPv6 address has the code of
        the IPv4 address. White space is not removed.
        """
        addresses = parse_addresses(ips)
        codes = np.full(len(ips), INVALID, np.uint16)
        codes[addresses.v4_rows] = self._v4.find(addresses.v4)
        if len(addresses.v6_rows):
            codes[addresses.v6_rows] = self._v6.find(addresses.v6_hi, addresses.v6_lo)
        return codes

    @cached_property
    def arrays(self) -> dict[str, npt.NDArray[np.generic] | int]:
        """The fields of ``Geo`` in api.h, by which the library decides as ``lookup`` does."""
        return {**vars(self._v4), **vars(self._v6), "halves": len(self._v6.half), "invalid": int(INVALID)}


def prepare(ranges: CountryRanges, source: GeoSource) -> Prepared:
    """Give the ranges the codes of the source's regions or countries, and PRIVATE to special-purpose addresses."""
    label_of = label_codes(ranges.labels, source)
    names = (*RESERVED, *sorted(set(label_of.values())))
    code_of = {name: code for code, name in enumerate(names)}
    codes = np.array([code_of[label_of.get(label, "UNKNOWN")] for label in ranges.labels], np.uint16)
    private = int(PRIVATE)
    v4 = IPv4Lookup.build(ranges.v4_start, codes[ranges.v4_code], private_intervals(4), private)
    v6 = IPv6Lookup.build(ranges.v6_hi, ranges.v6_lo, codes[ranges.v6_code], private_intervals(6), private)
    return Prepared(names, ranges.build, ranges.attribution, v4, v6)


def load_geo_table(
    database: Path | None,
    level: GeoLevel,
    regions_csv: Path | None,
    cache_dir: Path,
    begin: Callable[[], None] = lambda: None,
) -> GeoTable:
    """Load the table of a run.

    ===============  ==================================================================================================
    ``database``     an MMDB file, which is compiled once into ``cache_dir``, under the hash of its bytes; None: the
                     shipped DB-IP table
    ``level``        whether codes stand for regions or ISO country codes
    ``regions_csv``  the user's table of regions, as for ``read_regions``; None: the shipped continents; a country that
                     the table leaves out is UNKNOWN; at level ``"country"`` the table is checked and has no effect
    ``cache_dir``    folder of compiled and prepared tables
    ``begin``        is called before a table is compiled or prepared
    ===============  ==================================================================================================

    Raises ConfigError for a file that cannot be used or has a name that is no text to readers of the result,
    EnvironmentFault where a compiled table cannot be written.
    """
    regions = read_regions(regions_csv or CONTINENTS_CSV)
    compiled = SHIPPED_TABLE if database is None else _compile_cached(database, cache_dir, begin)
    by_region = level == "region"
    pairs = tuple(sorted(regions.items())) if by_region else ()
    continents = by_region and regions_csv is None
    digest = table_digest(read_hash(compiled), level, pairs, continents)
    target = cache_dir / f"geo-lookup-v{PREPARED_VERSION}-{digest[:32]}.npz"
    source = GeoSource(str(compiled.resolve()), level, pairs, continents, digest, str(target.resolve()))
    ready = load_prepared(target, digest)
    if not ready:
        begin()
        ready = prepare(load_ranges(compiled), source)
        with suppress(OSError):  # without the file, every process prepares the table for itself
            save_prepared(ready, digest, target)
    _check_names(ready.names, database)
    return GeoTable(ready, source)


def _check_names(names: Iterable[str], database: Path | None) -> None:
    """Raise ConfigError where readers of the result would not take a name for text, such as the country ``1D``.

    Only a database can have such names: a table of regions was checked line by line.
    """
    for name in names:
        if not is_text_to_readers(name):
            raise ConfigError(
                f"GEO_DATABASE: {database} has the country {name!r}: expected an ISO 3166-1 code, which begins with a "
                "letter. Readers of the result would take that folder for a number. Use GEO_LEVEL = region, or another "
                "database (--geo-db)."
            )


def _compile_cached(database: Path, cache_dir: Path, begin: Callable[[], None]) -> Path:
    """The compiled table of ``database`` in the cache; compiles it where it is missing or damaged, after ``begin``."""
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
        pass  # missing or damaged
    begin()
    from pipeline.geo.mmdb import compile_mmdb  # imports maxminddb, which is not needed for a compiled table

    save_ranges(compile_mmdb(database), compiled)
    return compiled


def label_codes(labels: tuple[str, ...], source: GeoSource) -> dict[str, str]:
    """Label of the database → name of the region or country, without the labels that become UNKNOWN."""
    if source.level == "country":
        return {label: label for label in labels if label and not label.startswith("continent:")}
    label_of = dict(source.regions)
    if source.continents:
        label_of |= {f"continent:{code}": region for code, region in CONTINENT_OF_CODE.items()}
    return label_of


def table_digest(database_hash: str, level: str, regions: tuple[tuple[str, str], ...], continents: bool) -> str:
    """sha256 of everything that decides a lookup, in hexadecimal digits."""
    special = hashlib.sha256(SPECIAL_PURPOSE_CSV.read_bytes()).hexdigest()
    parts = [FORMAT_VERSION, database_hash, level, regions, continents, special]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
