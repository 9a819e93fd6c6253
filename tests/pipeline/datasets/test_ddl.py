"""Scripts for other databases: those for DuckDB, MariaDB and Spark run here (PostgreSQL: test_load_postgres); of all
but DuckDB every type and every trap of quoting is compared."""

import re
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline.datasets.ddl import Published, sql_type, statements
from pipeline.datasets.demo import make_demo
from pipeline.datasets.job import JOBS, load_job
from pipeline.datasets.report import render_dictionary
from pipeline.sources.columns import Bool, Column, Date, Decimal, Float, Int, ListOf, Money, Text, Time
from scripts.document_lines import PEERS
from tests.database_servers import empty_database, run_mysql
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, read, run, write_job, write_sales
from tests.pipeline.datasets.test_load_postgres import ALL_TYPES
from tests.result_readers import SparkReader

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


def _statements(script: str) -> list[str]:
    return [statement for statement in re.split(r";\n", script) if statement.strip()]


def test_mariadb_makes_the_tables_of_all_jobs(mariadb: str, tmp_path: Path) -> None:
    traps = ALL_TYPES.replace('Text("text", nullable=True)', "Text(\"a \\\\ and 'quotes'\")").replace(
        'grain="one row per kind"', 'grain="one row\'s kind", key=("name",)'
    )
    jobs = [write_job(tmp_path / "kinds", traps), *(load_job(str(path.parent)) for path in JOBS.glob("*/__init__.py"))]
    for job in jobs:
        with empty_database(mariadb) as url:
            run_mysql(url, *_statements(statements(job, Published("s3://bucket/shop"))["mysql"]))
            found = run_mysql(
                url,
                "SELECT table_name, column_name, is_nullable, column_comment FROM information_schema.columns "
                "WHERE table_schema = database() ORDER BY ordinal_position",
            )
        wanted = [
            (name, column, "YES" if kind.may_be_null else "NO", _comment(kind))
            for name, one in sorted(job.datasets.items())
            for column, kind in one.contract.columns.items()
        ]
        assert sorted(found, key=lambda row: str(row[0])) == wanted, job.name


def _comment(column: Column) -> str:
    return f"{column.description} ({column.unit})" if column.unit else column.description


@pytest.mark.slow
def test_spark_reads_the_published_tables(spark: SparkReader, tmp_path: Path) -> None:
    """Also by the pipeline of docs/lines.md, which makes one of them of another one."""
    job = load_job(str(JOBS / "warehouse"))
    make_demo(job, tmp_path / "source")
    result = run(job, tmp_path, as_of=datetime(2026, 6, 1))
    spark.sql(f"create database shop location '{tmp_path}/shop'", "use shop")
    try:
        spark.sql(*_statements(statements(job, Published(result.output))["spark"]))
        for name in job.datasets:
            assert spark.sql(f"select count(*) from {name}") == [[result.tables[name].rows]], name
        (sums,) = read(result, "fact_sales").select(pl.col("net_cents", "quantity").sum()).rows()
        assert spark.sql("select sum(net_cents), sum(quantity) from fact_sales") == [[*sums]]
        days = [str(day) for day in read(result, "dim_date")["day"].head(3)]
        assert spark.sql("select day from dim_date order by day limit 3") == [[day] for day in days]
        made = spark.pipeline(PEERS / "spark_pipeline.py", "monthly_sales")
        columns = ["year", "month", "orders", "customers", "quantity", "net_cents", "profit_cents", "mean_order_cents"]
        assert sorted(made) == [[*row] for row in read(result, "monthly_sales").select(columns).rows()]
    finally:
        spark.sql("use default", "drop database shop cascade")


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
