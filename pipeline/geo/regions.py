"""Reads tables of country → region: the shipped one (continents, by GeoNames) and the user's (GEO_REGIONS)."""

import csv
import re
import unicodedata
from pathlib import Path

from pipeline.errors import ConfigError

CONTINENTS_CSV = Path(__file__).parent / "data" / "country-regions.csv"

RESERVED = ("INVALID", "PRIVATE", "UNKNOWN")
"""Names of the region codes 0, 1 and 2: of texts that are no address, of private addresses, of all others that the
database or the table of regions leaves out."""

MAX_NAME_LENGTH = 64
"""Characters of the longest name of a region."""

MAX_NAME_BYTES = 255 - len("geo_region=")
"""Bytes of the longest name: a folder's name has at most 255, and three for a character that is special in paths."""

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""The folder name that readers of hive data sets take for a null."""

_WORDS = frozenset(("true", "false", "null", "none", "nan", "inf", "infinity", "epoch"))
"""Texts without a digit that a reader takes for a value of another type."""

_NUMBER = re.compile(
    r"""(?: 0x[0-9a-f_.]* (?: p[+-]?\d+ )? | 0b[01_]+ | 0o[0-7_]+     # as in programs
          | (?: \d[\d_,]* \.? [\d_]* | \.\d[\d_]* ) (?: e[+-]?[\d_]* )? )
        [dfl]?                                                       # as in Java
    """,
    re.VERBOSE,
)

_DATE_OR_TIME = re.compile(
    r"""\d+ ([-/.]) \d+ \1 \d       # 2026-11-29, 29/11/2026, 29.11.2026
      | \d{4} -? w \d              # 2026-W48
      | t? \d+ : \d                # 12:00
    """,
    re.VERBOSE,
)

CONTINENT_OF_CODE = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
"""Code of a continent → region, for records of a database that name a continent and no country."""

_COUNTRY = re.compile(r"[A-Z0-9]{2}")

_HEADER = ["country", "region"]


def read_regions(source: Path) -> dict[str, str]:
    """Read a table of regions: ISO 3166-1 alpha-2 code → region.

    ``source`` is a UTF-8 CSV with the header ``country,region``. Blank lines and lines that begin with ``#`` are left
    out. A name of a region has 1 to ``MAX_NAME_LENGTH`` printable characters, at least one letter, and no white space
    at either end, and fits the name of a folder. Names are brought to Unicode's form NFC: two spellings that look the
    same are one region. The names become folders from which readers guess a type, so each must be text to all of them
    (``is_text_to_readers``), none may be reserved, and no two may differ only in case.

    Raises ConfigError, which names the line, for the first row that breaks a rule, and where the file cannot be read.
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
        row = next(csv.reader([unicodedata.normalize("NFC", line)]))
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
    """(what was found, what was expected) if ``row`` breaks a rule.

    ``regions`` and ``spelling`` are of the rows before: country → region, name of a region in one case → name.
    """
    if len(row) != len(_HEADER):
        return f"{len(row)} fields", "two: country,region"
    country, region = row
    if not _COUNTRY.fullmatch(country):
        return f"country {country[:80]!r}", "an ISO 3166-1 code of two capitals, such as DE"
    if country in regions:
        return f"country {country} for the second time", "each country once"
    if not region or region != region.strip() or len(region) > MAX_NAME_LENGTH or not region.isprintable():
        return f"region {region[:80]!r}", f"1 to {MAX_NAME_LENGTH} printable characters without surrounding white space"
    if sum(3 if char.isascii() and not char.isalnum() else len(char.encode()) for char in region) > MAX_NAME_BYTES:
        return f"region {region!r}", f"a name of at most {MAX_NAME_BYTES} bytes, because it becomes that of a folder"
    if not is_text_to_readers(region):
        return (
            f"region {region!r}",
            "a name with a letter that no reader of the result takes for a number, a truth value, a date, a time or "
            "a null",
        )
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


def is_text_to_readers(name: str) -> bool:
    """Whether every reader of hive data sets takes the name of a folder for text.

    Polars, PyArrow, DuckDB and Spark guess the type of a partition's column from its folders, each by other rules:
    ``1e5``, ``0x10``, ``5F``, ``true``, ``inf``, ``epoch``, ``2026-11-29``, ``29/11/2026`` and ``12:00`` are text to
    some of them only. What begins as a date or a time is none to all, whatever follows, because of zones and eras.
    """
    plain = unicodedata.normalize("NFKC", name).strip().casefold()
    if not any(char.isalpha() for char in plain) or plain == _HIVE_NULL.casefold():
        return False
    unsigned = plain.lstrip("+-").lstrip()
    return unsigned not in _WORDS and not _NUMBER.fullmatch(unsigned) and not _DATE_OR_TIME.match(unsigned)


def _error(source: Path, line: int, found: str, expected: str) -> ConfigError:
    return ConfigError(
        f"GEO_REGIONS: {source} line {line}: found {found}; expected {expected}. Correct that line and run again."
    )
