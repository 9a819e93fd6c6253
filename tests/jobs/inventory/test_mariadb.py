"""The six tables in a real MariaDB, made by the job's own statements, give what the same rows in files give."""

import csv
import re
from pathlib import Path

import pytest

from pipeline.datasets.job import JOBS, load_job
from tests.database_servers import empty_database, run_mysql
from tests.jobs.inventory.shop import AS_OF, COLUMNS
from tests.pipeline.datasets.jobs_for_tests import files, run

pytestmark = pytest.mark.slow
TABLES = re.findall(r"create table (\w+)", (JOBS / "inventory/mariadb.sql").read_text(encoding="utf-8"))


def rows_that_fit(folder: Path, table: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a file of the demo, without those that the keys of a database refuse."""
    with (folder / f"{table}.csv").open(encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    return header, [list(row) for row in dict.fromkeys(map(tuple, rows)) if row[1] != "unheard"]


def insert(table: str, header: list[str], rows: list[list[str]]) -> str:
    values = ",".join(f"({','.join('NULL' if value == '' else repr(value) for value in row)})" for row in rows)
    return f"INSERT INTO {table} ({','.join(header)}) VALUES {values}"


def test_tables_of_mariadb_are_as_their_files(mariadb: str, tmp_path: Path) -> None:
    job, demo, source = load_job(str(JOBS / "inventory")), tmp_path / "demo", tmp_path / "source"
    assert set(TABLES) == set(COLUMNS) == set(job.sources)
    for folder in (demo, source):
        folder.mkdir()
    make_demo(demo)
    script = re.sub("--[^\n]*", "", (JOBS / "inventory/mariadb.sql").read_text(encoding="utf-8"))
    with empty_database(mariadb) as url:
        run_mysql(url, *(statement for statement in script.split(";") if statement.strip()))
        for table in TABLES:
            header, rows = rows_that_fit(demo, table)
            run_mysql(url, insert(table, header, rows))
            with (source / f"{table}.csv").open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([header, *rows])
        found = run(job, tmp_path, source=url, as_of=AS_OF.replace(year=9999), output=str(tmp_path / "of-database"))
    expected = run(job, tmp_path, as_of=AS_OF.replace(year=9999))
    assert {name: table.rows for name, table in found.sources.items()} == {
        name: table.rows for name, table in expected.sources.items()
    }
    assert files(f"{found.output}/{found.day}") == files(f"{expected.output}/{expected.day}")
    assert found.tables["counted_orders"].rows > 1_500


def make_demo(folder: Path) -> None:
    """Write the demo's files."""
    from pipeline.datasets import demo

    demo.make_demo(load_job(str(JOBS / "inventory")), folder / "made")
    for path in (folder / "made").iterdir():
        path.rename(folder / path.name)
