"""The published tables of a job in a real PostgreSQL: rows of the files, at one moment, refreshed by one command."""

import re
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipeline.datasets.ddl import Published, statements
from pipeline.datasets.load_postgres import load_postgres, names_of_views
from pipeline.errors import ConfigError
from pipeline.privacy import KEY_VARIABLE
from pipeline.sources.databases.faults import DatabaseFault
from tests.database_servers import run_sql, session
from tests.end_to_end.command import command
from tests.end_to_end.program import environment
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, read, run, write_job, write_sales

SALES = [("o1", "ann", "2026-01-01", "10.00"), ("o2", "ann", "2026-01-02", "0.50"), ("o3", "", "2026-01-02", "7")]
ALL_TYPES = '''
import datetime as dt
import decimal
import polars as pl
from pipeline.datasets import *


class Kinds(Contract):
    name = Text("text", nullable=True)
    count = Int("whole", nullable=True)
    price = Decimal("exact", scale=9, nullable=True)
    ratio = Float("float", nullable=True)
    done = Bool("yes or no", nullable=True)
    day = Date("date", nullable=True)
    moment = Time("moment", nullable=True)
    words = ListOf(Text("word"), "words", nullable=True)


class One(Contract):
    name = Text("text")


ones = csv("ones.csv", One)


@dataset(Kinds, grain="one row per kind")
def kinds(ones):
    """Every type."""
    rows = [
        ("é🐘\\n\\'\\"", -(2**63), decimal.Decimal("12345678901234567890123.123456789"), 0.1, True, dt.date(1, 1, 1),
         dt.datetime(2026, 11, 30, 10, 0, 0, 1), ["a,b", '"', "NULL"]),
        (None,) * 8,
        ("", 0, decimal.Decimal(0), -0.0, False, dt.date(9999, 12, 31), dt.datetime(1970, 1, 1), []),
    ]
    return pl.LazyFrame(rows, schema=Kinds.schema(), orient="row")
'''


@pytest.fixture
def url(postgres: str) -> str:
    """The URL of an empty database."""
    run_sql(postgres, "DROP DATABASE IF EXISTS loads", "CREATE DATABASE loads")
    return postgres.replace("/postgres?", "/loads?")


def rows_of(url: str, query: str) -> list[tuple[object, ...]]:
    return run_sql(url, query)


def test_tables_are_loaded_and_only_changed_ones_again(url: str, tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job", HEAD + LINES + TOTALS)
    first = run(job, tmp_path)
    loaded = load_postgres(job, first.output, url)
    assert (loaded.version, loaded.rows) == (first.run_id, {"lines": 3, "totals": 2})
    assert rows_of(url, "SELECT * FROM gold.totals ORDER BY 1") == [("ann", 2, 1050), (None, 1, 700)]
    assert load_postgres(job, first.output, url).rows == {}
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", "10.00"), ("o2", "ann", "2026-01-03", "0.50"), SALES[2]])
    second = run(job, tmp_path)
    assert load_postgres(job, second.output, url).rows == {"lines": 3}, "the sums are those of before"
    found = rows_of(url, "SELECT order_id, day::text FROM silver.lines ORDER BY 1")
    assert found == [("o1", "2026-01-01"), ("o2", "2026-01-03"), ("o3", "2026-01-02")]


def test_every_type_comes_out_as_it_went_in(url: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "ones.csv").write_text("name\na\n")
    job = write_job(tmp_path / "job", ALL_TYPES)
    result = run(job, tmp_path)
    load_postgres(job, result.output, url)
    columns = ", ".join(f"{name}::text" for name in read(result, "kinds").columns)
    assert rows_of(url, f"SELECT {columns} FROM gold.kinds ORDER BY count NULLS LAST") == [
        ("é🐘\n'\"", "-9223372036854775808", "12345678901234567890123.123456789", "0.1", "true", "0001-01-01",
         "2026-11-30 10:00:00.000001", '{"a,b","\\"","NULL"}'),
        ("", "0", "0.000000000", "-0", "false", "9999-12-31", "1970-01-01 00:00:00", "{}"),
        (None,) * 8,
    ]  # fmt: skip


def test_readers_see_the_version_before_until_the_load_is_complete(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job", HEAD + LINES + TOTALS)
    load_postgres(job, run(job, tmp_path).output, url)
    write_sales(tmp_path, [("o9", "eve", "2026-01-01", "5.00")])
    second = run(job, tmp_path)
    seen = []
    (job.folder / "views.postgres.sql").write_text("create view totals_view as select * from totals")
    read_text = Path.read_text

    def look(self: Path, *given: object, **named: object) -> str:
        if self.name == "views.postgres.sql":  # all rows are written by now
            seen.extend(rows_of(url, "SELECT customer FROM gold.totals ORDER BY 1"))
        return read_text(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", look)
    load_postgres(job, second.output, url)
    assert seen == [("ann",), (None,)]
    assert rows_of(url, "SELECT customer FROM interface.totals_view") == [("eve",)]


def test_a_load_that_fails_changes_nothing(url: str, tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job", HEAD + LINES + TOTALS)
    result = run(job, tmp_path)
    (job.folder / "views.postgres.sql").write_text("create view v as select no_such_column from totals")
    with pytest.raises(DatabaseFault, match="cannot load the tables"):
        load_postgres(job, result.output, url)
    assert rows_of(url, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'gold'") == [(0,)]
    (job.folder / "views.postgres.sql").unlink()
    run_sql(url, "CREATE SCHEMA silver", "CREATE TABLE silver.lines (order_id text)")
    with pytest.raises(ConfigError, match=r"silver\.lines in PostgreSQL has the columns order_id, expected"):
        load_postgres(job, result.output, url)


LAYERS = (
    HEAD
    + LINES
    + TOTALS
    + """

@dataset(Sales, layer="bronze", grain="one row per row")
def raw(sales):
    '''As they came.'''
    return sales
"""
)
PLACES = ("bronze.raw", "silver.lines", "gold.totals", "interface.sums")


@pytest.mark.parametrize(("script_first", "user"), [(True, "postgres"), (False, "postgres"), (True, "writer")])
def test_bronze_is_for_its_owner_and_the_rest_for_readers(
    script_first: bool, user: str, url: str, tmp_path: Path
) -> None:
    """In tables that the script, or load, made; another job's reader gets none of them."""
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "shop", LAYERS)
    (job.folder / "views.postgres.sql").write_text(
        "-- for people\ncreate or replace view sums as\nselect * from totals"
    )
    output = run(job, tmp_path).output
    others = (HEAD + LINES + TOTALS).replace("lines", "other_lines").replace("totals", "other_totals")
    other = statements(write_job(tmp_path / "other", others), Published(output))["postgres"]
    scripts = [statements(job, Published(output))["postgres"], other]
    roles = ("shop_owner", "shop_reader", "other_reader")
    for script in scripts if script_first else []:
        run_sql(url, *filter(str.strip, re.split(r";\n", script)))
    if not script_first:
        for role in roles:
            run_sql(url, f"do $$ begin if not exists (select from pg_roles where rolname = '{role}') then "
                         f"create role {role}; end if; end $$")  # fmt: skip
    if user == "writer":
        run_sql(url, "DROP ROLE IF EXISTS writer", "CREATE ROLE writer LOGIN", "GRANT shop_owner TO writer",
                "GRANT CREATE ON DATABASE loads TO writer", "GRANT CREATE ON SCHEMA public TO writer")  # fmt: skip
    load_postgres(job, output, url.replace("postgres@", f"{user}@"))
    rights = {role: [_may_read(url, role, place) for place in PLACES] for role in roles}
    assert rights == {
        "shop_owner": [True] * 4, "shop_reader": [False, True, True, True], "other_reader": [False] * 4,
    }  # fmt: skip
    with session(url) as connection:
        connection("SET ROLE shop_owner")
        connection("DELETE FROM gold.totals")


def _may_read(url: str, role: str, place: str) -> bool:
    with session(url) as connection:
        connection(f"SET ROLE {role}")
        try:
            return len(connection(f"SELECT * FROM {place}")) > 0
        except Exception as fault:
            if "permission denied" not in str(fault):
                raise
            return False


@pytest.mark.parametrize("place", ["results", "mysql://here/shop", "s3://bucket/shop"])
def test_another_place_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="load needs the URL of a PostgreSQL database"):
        load_postgres(write_job(tmp_path / "job"), str(tmp_path / "output"), place)


@pytest.mark.slow
def test_the_warehouse_and_its_scripts_run_in_postgres(url: str, tmp_path: Path) -> None:
    """By the commands: the scripts of docs make the same tables and roles, and load fills them and makes the views."""
    env = environment() | {KEY_VARIABLE: "a key that is long enough"}
    words = ("--output", "results/shop")
    assert command("job", "warehouse", "--as-of", "2026-06-01", *words, "--quiet", cwd=tmp_path, env=env).code == 0
    assert command("job", "warehouse", "docs", *words, cwd=tmp_path, env=env).code == 0
    script = (tmp_path / "results" / "shop.docs" / "postgres.sql").read_text()
    run_sql(url, *filter(str.strip, re.split(r";\n", script)))
    ended = command("job", "warehouse", "load", url, *words, "--json", cwd=tmp_path, env=env)
    assert ended.code == 0, ended.err
    files = tmp_path / "results" / "shop"
    with closing(duckdb.connect()) as database:
        for table, sums in (("fact_sales", "sum(net_cents)"), ("fact_payments", "sum(fee_cents)"), ("dim_date", "0")):
            wanted = database.execute(f"SELECT count(*), {sums}::bigint FROM '{files}/{table}/**/*.parquet'").fetchone()
            assert rows_of(url, f"SELECT count(*), {sums}::bigint FROM gold.{table}") == [wanted]
        wanted = database.execute(f"SELECT sum(net_cents)::bigint FROM '{files}/monthly_sales/**/*.parquet'").fetchone()
    assert rows_of(url, "SELECT (sum(net) * 100)::bigint FROM interface.vw_monthly_sales") == [wanted]
    rights = {(role, place): _may_read(url, f"warehouse_{role}", place) for role in ("reader", "owner")
              for place in ("silver.order_lines", "gold.fact_sales", "interface.vw_monthly_sales")}  # fmt: skip
    assert all(rights.values()), rights
    again = command("job", "warehouse", "load", url, *words, cwd=tmp_path, env=env)
    assert "nothing new" in again.out


def test_views_are_those_that_a_script_makes() -> None:
    script = """
    -- create view for people
    create view plain as select "create view nor this" from x where y = 'create view not_this';
    /* create view
       nor_that */ CREATE OR REPLACE VIEW gold."My Sums" as select 1;
    create materialized view if not exists interface . months as select 2;
    """
    assert names_of_views(script) == ["plain", 'gold."My Sums"', "interface . months"]
