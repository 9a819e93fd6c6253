"""Country → region tables: the shipped one (continents, by GeoNames) and the user's (``GEO_REGIONS``)."""

import csv
import re
from pathlib import Path

from pipeline.errors import ConfigError

CONTINENTS_CSV = Path(__file__).parent / "data" / "country-regions.csv"


RESERVED = ("INVALID", "PRIVATE", "UNKNOWN")


MAX_NAME_LENGTH = 64
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"  # readers of hive data sets take it for a null


# For records of a database that name a continent and no country.
CONTINENT_OF_CODE = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}


_COUNTRY = re.compile(r"[A-Z0-9]{2}")


_HEADER = ["country", "region"]


def read_regions(source: Path) -> dict[str, str]:
    """ISO 3166-1 alpha-2 code → region, from a UTF-8 CSV with the header ``country,region``; lines that begin with
    ``#`` are comments.

    Region names are 1 to 64 printable characters without white space at either end, none of INVALID, PRIVATE,
    UNKNOWN, and no two that differ only in case (they become folder names). Raises ConfigError that names the line.
    """
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(
            f"GEO_REGIONS: cannot read {source}: {fault}. Expected a UTF-8 CSV with the header country,region; "
            "check the path."
        ) from fault
    regions: dict[str, str] = {}
    spelling: dict[str, str] = {}
    header_seen = False
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        row = next(csv.reader([line]))
        if not header_seen:
            if row != _HEADER:
                raise _error(source, number, f"the header is {line[:80]!r}", "country,region")
            header_seen = True
            continue
        problem = _find_problem(row, regions, spelling)
        if problem:
            raise _error(source, number, *problem)
        regions[row[0]] = row[1]
        spelling[row[1].casefold()] = row[1]
    if not regions:
        raise _error(source, len(lines) or 1, "no country is listed", "a header country,region and at least one row")
    return regions


def _find_problem(row: list[str], regions: dict[str, str], spelling: dict[str, str]) -> tuple[str, str] | None:
    if len(row) != len(_HEADER):
        return f"{len(row)} fields", "two: country,region"
    country, region = row
    if not _COUNTRY.fullmatch(country):
        return f"country {country[:80]!r}", "an ISO 3166-1 code of two capitals, such as DE"
    if country in regions:
        return f"country {country} for the second time", "each country once"
    if not region or region != region.strip() or len(region) > MAX_NAME_LENGTH or not region.isprintable():
        return f"region {region[:80]!r}", f"1 to {MAX_NAME_LENGTH} printable characters without surrounding white space"
    if not any(char.isalpha() for char in region) or region == _HIVE_NULL:
        return f"region {region!r}", f"a name with a letter, other than {_HIVE_NULL}, so that every reader sees text"
    if region.upper() in RESERVED:
        return (
            f"region {region!r}",
            "a name other than INVALID, PRIVATE, UNKNOWN; a country that is left out becomes UNKNOWN",
        )
    other = spelling.get(region.casefold(), region)
    if other != region:
        return (
            f"region {region!r} beside {other!r}",
            "one spelling of a region: names that differ in case share a folder on some systems",
        )
    return None


def _error(source: Path, line: int, found: str, expected: str) -> ConfigError:
    return ConfigError(
        f"GEO_REGIONS: {source} line {line}: found {found}; expected {expected}. Mend that line and run again."
    )
