"""Scripts for other databases: DuckDB runs here; of the others every type and every trap of quoting is compared."""

from pathlib import Path

import duckdb
import pytest

from pipeline.datasets.ddl import Published, sql_type, statements
from pipeline.datasets.report import render_dictionary
from pipeline.sources.columns import Bool, Date, Decimal, Float, Int, ListOf, Money, Text, Time
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, read, run, write_job, write_sales

COLUMNS = [Text(), Int(), Money(), Decimal(scale=9), Float(), Bool(), Date(), Time(), ListOf(Text())]


def test_duckdb_makes_and_fills_the_tables(tmp_path: Path) -> None:
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", "10.00"), ("o2", None, "2026-01-02", "1")])
    job = write_job(tmp_path / "job")
    result = run(job, tmp_path)
    database = duckdb.connect()
    database.execute(statements(job, Published(result.output))["duckdb"])
    for table in ("lines", "totals"):
        assert sorted(database.sql(f"from {table}").fetchall(), key=str) == sorted(read(result, table).rows(), key=str)
    with pytest.raises(duckdb.ConstraintException):
        database.execute("insert into lines from lines")


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("postgres", "text bigint bigint numeric(38, 9) double precision boolean date timestamp(6) text[]"),
        ("mysql", "text bigint bigint decimal(38, 9) double boolean date datetime(6) json"),
        ("spark", "string bigint bigint decimal(38, 9) double boolean date timestamp_ntz array<string>"),
        ("athena", "string bigint bigint decimal(38, 9) double boolean date timestamp array<string>"),
    ],
)
def test_every_type_has_its_name(kind: str, types: str) -> None:
    assert " ".join(sql_type(kind, column) for column in COLUMNS) == types


def test_scripts_name_keys_partitions_and_readers(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", (HEAD + LINES + TOTALS).replace('Text("order")', 'Text("order\'s id")'))
    made = statements(job, Published("s3://bucket/sales"))
    assert 'primary key ("order_id")' in made["postgres"]
    assert 'primary key ("customer")' not in made["postgres"]  # it may be null
    assert "is 'order''s id'" in made["postgres"]
    assert "grant usage on schema silver to job_reader;" in made["postgres"]
    assert "`order_id` varchar(255) not null comment 'order''s id'" in made["mysql"]
    assert "partitioned by (`day` date)\nstored as parquet\nlocation 's3://bucket/sales/lines/'" in made["athena"]
    assert made["athena"].count("`day`") == 1
    assert "location 's3://bucket/sales/totals'" in made["spark"]


def test_the_dictionary_tells_columns_and_checks(tmp_path: Path) -> None:
    page = render_dictionary(write_job(tmp_path / "job"))
    assert "Sums of customers." in page
    assert "conserves:cents&lt;-lines (fail)" in page
