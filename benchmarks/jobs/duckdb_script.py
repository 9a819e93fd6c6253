"""One DuckDB script: ``python -m benchmarks.jobs.duckdb_script MODE SOURCE DATABASE``; MODE: full or changed.

``full`` makes all tables in the database of all files; ``changed`` loads the files of the change alone: it replaces
rows of facts by their ids, and makes the other tables again of the facts.
"""

import sys
import tempfile
from collections.abc import Mapping

import duckdb

from benchmarks.jobs.star import AFFECTED, DUCKDB, LOADED, NEW_FACTS, TABLES, text_rows
from benchmarks.peers import THREADS

DIMENSIONS = ("dim_product", "dim_date")
"""What the change does not touch: its files have no products, and the calendar has its days."""


def main(mode: str, source: str, database: str) -> None:
    """Run the script on two threads."""
    spill = f"{tempfile.gettempdir()}/duckdb"
    base = duckdb.connect(
        database, config={"threads": THREADS, "preserve_insertion_order": False, "temp_directory": spill}
    )
    for statement in statements(mode, source):
        base.execute(statement)
    base.close()


def statements(mode: str, source: str) -> list[str]:
    """The statements of the script, in order."""
    later = "_2" if mode == "changed" else "*"
    inputs = {
        **{name: name for name in TABLES}, "days": DUCKDB.days,
        "orders": text_rows(f"{source}/orders{later}.csv"), "payments": text_rows(f"{source}/payments{later}.csv"),
        "customers": text_rows(f"{source}/customers.csv"), "products": text_rows(f"{source}/products.csv"),
    }  # fmt: skip
    inputs["affected"] = AFFECTED.format(**inputs)
    found = list(DUCKDB.functions)
    for name, select in TABLES.items():
        if mode == "full" or name not in (*LOADED, *DIMENSIONS):
            found.append(f"create or replace table {name} as {select.format(**inputs)}")
        elif name in LOADED:
            found += _load(name, inputs)
    return found


def _load(name: str, inputs: Mapping[str, str]) -> list[str]:
    rows = TABLES[name].format(**inputs) + NEW_FACTS.get(name, "").format(**inputs)
    key = ", ".join(LOADED[name])
    return [
        f"create temp table new_{name} as {rows}",
        f"delete from {name} where ({key}) in (select ({key}) from new_{name})",
        f"insert into {name} select * from new_{name}",
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
