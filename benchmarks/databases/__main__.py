"""``python -m benchmarks.databases --source URL --jdbc URL --jar FILE``: loads three tables of a shop from PostgreSQL.

``--source`` names a database in which the tables of ``storefront`` are made anew; ``--jdbc`` the same one for Spark.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import duckdb

from benchmarks.contenders import environment
from benchmarks.databases.shop import fill, tables_of
from benchmarks.measure import Measurement, measure
from benchmarks.program import MAIN
from utils.units import format_seconds, format_size

_COMPARED = {
    "clean_orders": "count(*), sum(total)::varchar, min(day), max(day), count(*) filter (where counts), min(status)",
    "clean_order_items": "count(*), sum(quantity)::bigint, sum(base_price)::varchar, sum(tax)::varchar",
    "clean_clicks": "count(*), sum(user_id)::bigint, min(event_id), max(event_at), count(distinct day)",
}


def main(argv: Sequence[str]) -> int:
    """Returns 0 where both finished and agree, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.databases", description=__doc__)
    parser.add_argument(
        "--source", required=True, help="postgresql://user@host:port/database, whose tables are replaced"
    )
    parser.add_argument("--jdbc", required=True, help="jdbc:postgresql://host:port/database?user=...")
    parser.add_argument("--jar", required=True, help="the JDBC driver of PostgreSQL")
    parser.add_argument(
        "--orders", type=int, default=300_000, help="orders; thrice as many lines, five times the clicks"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data/databases"))
    options = parser.parse_args(argv)
    folder = options.folder.absolute()
    fill(options.source, options.orders)
    tables = [word for name in _COMPARED for word in ("--only", name)]
    logmill = [sys.executable, str(MAIN), "job", "storefront", "--source", options.source, "--output",
               str(folder / "logmill/output"), *tables, "--engine", "polars", "--workers", "2", "--quiet"]  # fmt: skip
    pyspark = [sys.executable, "-m", "benchmarks.databases.spark_load", options.jdbc, options.jar,
               str(folder / "pyspark/output")]  # fmt: skip
    found: dict[str, list[Measurement]] = {"logmill": [], "pyspark": []}
    for _ in range(options.runs):
        for name, command in (("logmill", logmill), ("pyspark", pyspark)):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(parents=True)
            found[name].append(measure(command, environment(folder / name)))
            if failure := found[name][-1].failure:
                print(f"{name}: {failure}", file=sys.stderr)
                return 1
    return _tell(found, {name: _facts(folder / name / "output") for name in found})


def _facts(output: Path) -> list[object]:
    """What is compared of the tables of one contender."""
    tables, database = tables_of(output), duckdb.connect()
    database.execute("set timezone = 'UTC'")
    return [
        database.sql(f"select {asked} from read_parquet('{tables[name]}')").fetchall()
        for name, asked in _COMPARED.items()
    ]


def _tell(found: Mapping[str, Sequence[Measurement]], facts: Mapping[str, object]) -> int:
    for name, runs in found.items():
        seconds, own = (
            median(values) for values in zip(*((run.seconds, run.own_seconds) for run in runs), strict=True)
        )
        peak = max(run.peak_bytes for run in runs)
        print(f"{name}: {format_seconds(seconds)}, {format_seconds(own)} of a processor, {format_size(peak)}")
    times = {name: median(run.seconds for run in runs) for name, runs in found.items()}
    print(f"time of Logmill by that of PySpark: {times['logmill'] / times['pyspark']:.2f}")
    if facts["logmill"] != facts["pyspark"]:
        print(f"the tables differ: {facts}", file=sys.stderr)
        return 1
    print(f"both have {facts['logmill']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
