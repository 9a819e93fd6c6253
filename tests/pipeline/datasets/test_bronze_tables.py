"""Jobs that read tables of a real database: what is published, what is read again, and what stops a run."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.progress import NullProgress
from pipeline.datasets import bronze_tables
from pipeline.datasets.job import Job
from pipeline.datasets.plan import plan_job
from pipeline.datasets.run import JobOptions
from pipeline.datasets.table_ranges import TRIES
from pipeline.errors import ConfigError, InputError
from pipeline.sources.databases import mysql, postgres
from pipeline.sources.databases.address import parse_address
from pipeline.sources.databases.extract_table import extract_rows
from pipeline.sources.databases.faults import DatabaseFault
from tests.database_servers import MARIADB, empty_database, empty_schema, mariadb_server, run_mysql, run_sql
from tests.pace import patient
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, read, run, write_job
from tests.storage_servers import free_ports

TABLE = "CREATE TABLE sales (order_id text, customer text, day date, amount numeric)"
ROWS = """INSERT INTO sales VALUES
    ('o1', 'ann', '2026-01-01', 10), ('o2', NULL, '2026-01-02', 0.5), ('o3', '', '2026-01-02', 7)"""


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    with empty_schema(postgres) as found:
        run_sql(found, TABLE, ROWS)
        yield found


def test_the_same_job_reads_files_and_tables(url: str, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "sales.csv").write_text(
        "order_id,customer,day,amount\no1,ann,2026-01-01,10\no2,,2026-01-02,0.5\no4,ann,2026-01-02,7\n"
    )
    assert read(run(job, tmp_path), "totals").rows() == [(None, 1, 50), ("ann", 2, 1700)]
    found = run(job, tmp_path, source=url)
    assert read(found, "totals").rows() == [(None, 1, 50), ("", 1, 700), ("ann", 1, 1000)]
    assert found.sources["sales"].recomputed == 3


def test_only_changed_rows_are_computed_again(url: str, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job")
    run_sql(url, "INSERT INTO sales SELECT 'n' || n, 'c' || n % 40, '2026-01-03', 1 FROM generate_series(1, 400) n")
    run(job, tmp_path, source=url)
    assert run(job, tmp_path, source=url).status == "nothing new"
    run_sql(url, "UPDATE sales SET amount = 2 WHERE order_id = 'n7'", "VACUUM FULL sales")
    found = run(job, tmp_path, source=url)
    assert found.tables["lines"].recomputed == 1
    assert read(found, "totals").filter(pl.col("customer") == "c7").rows() == [("c7", 10, 1100)]


def test_what_does_not_fit_is_in_the_quarantine(url: str, tmp_path: Path) -> None:
    run_sql(url, "INSERT INTO sales VALUES ('o4', 'eve', 'infinity', 1), ('o5', 'ann', NULL, 1)")
    found = run(write_job(tmp_path / "job"), tmp_path, source=url)
    assert (found.sources["sales"].rows, found.sources["sales"].rejected) == (3, 2)
    rejected = pl.read_parquet(Path(found.output).resolve().parent / "quarantine/sales/*.parquet")
    assert rejected.select("line", "check", "column", "value").rows() == [
        (4, "not a date in one of its formats", "day", "infinity"),
        (5, "missing", "day", None),
    ]
    assert rejected["raw"][0] == b'{"order_id": "o4", "customer": "eve", "day": "infinity", "cents": "1"}'


def test_a_connection_that_breaks_is_opened_again(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_BATCH_BYTES", 64 * 2**10)
    run_sql(
        url, "INSERT INTO sales SELECT 'n' || n, repeat('c', 100), '2026-01-03', 1 FROM generate_series(1, 30000) n"
    )
    killed = []

    killing = Once(lambda: killed.extend(run_sql(url, kill("state = 'active' AND application_name = 'logmill'"))))
    found = run(write_job(tmp_path / "job"), tmp_path, source=url, progress=killing)
    assert (killed, found.notes) == ([(True,)], [])
    assert (found.sources["sales"].rows, found.tables["lines"].rows) == (30_003, 30_003)
    assert len(list((tmp_path / "output.bronze" / "sales").iterdir())) == 1


def test_a_server_that_dies_publishes_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bronze_tables, "_PAUSES", (0, 0, 0))
    monkeypatch.setattr(postgres, "_BATCH_BYTES", 64 * 2**10)
    job = write_job(tmp_path / "job")
    before = Path(run(job, tmp_path, source=url).output).resolve()
    run_sql(
        url, "INSERT INTO sales SELECT 'n' || n, repeat('c', 100), '2026-01-03', 1 FROM generate_series(1, 30000) n"
    )

    class Killing(NullProgress):
        def advance(self, _: int) -> None:
            run_sql(url, kill("application_name = 'logmill'"))

    with pytest.raises(DatabaseFault, match="PostgreSQL: cannot read a table: ") as fault:
        run(job, tmp_path, source=url, progress=Killing())
    assert fault.value.exit_code == 5
    assert (tmp_path / "output").resolve() == before
    assert run(job, tmp_path, source=url).sources["sales"].rows == 30_003


def test_where_the_snapshot_is_lost_all_is_read_again_from_a_new_one(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session that holds it ends while the first table is read: the second one cannot be of its moment."""
    monkeypatch.setattr(bronze_tables, "_PAUSES", (0, 0))
    run_sql(url, "CREATE TABLE other AS TABLE sales")
    statements = [
        kill("state = 'idle in transaction' AND application_name = 'logmill'"),
        "INSERT INTO sales VALUES ('o4', 'eve', '2026-01-01', 1)",
        "INSERT INTO other SELECT * FROM sales WHERE order_id = 'o4'",
    ]
    progress = Once(lambda: run_sql(url, *statements))
    found = run(two_tables(tmp_path / "job"), tmp_path, source=url, progress=progress, workers=1)
    assert {name: source.rows for name, source in found.sources.items()} == {"sales": 4, "other": 4}
    assert [note for note in found.notes if "read again, from a new snapshot" in note]


class Once(NullProgress):
    """Does something when the first rows are read."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def advance(self, _: int) -> None:
        action, self.action = self.action, None
        if action:
            action()


def two_tables(folder: Path) -> Job:
    """A job that also reads the table ``other``, with the rows of sales."""
    text = LINES.replace("lines", "others").replace("(sales)", "(other)").replace("sales.u", "other.u")
    return write_job(folder, HEAD + 'other = csv("other.csv", Sales)\n' + LINES + TOTALS + text)


def test_two_tables_are_read_side_by_side_and_end_together(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_BATCH_BYTES", 64 * 2**10)
    run_sql(
        url, "INSERT INTO sales SELECT 'n' || n, repeat('c', 100), '2026-01-03', 1 FROM generate_series(1, 30000) n"
    )
    run_sql(url, "CREATE TABLE other AS TABLE sales")
    job, met, told = two_tables(tmp_path / "job"), threading.Barrier(2, timeout=patient(60)), []

    class Meeting(NullProgress):
        def advance(self, rows: int) -> None:
            told.append(rows)

    def read_slowly(rows: Iterable[pl.DataFrame], *given: Any) -> Any:
        met.wait()  # both tables are being read
        return extract_rows(rows, *given)

    with monkeypatch.context() as patched:
        patched.setattr(bronze_tables, "extract_rows", read_slowly)
        found = run(job, tmp_path, source=url, progress=Meeting(), workers=2)
    assert (found.sources["sales"].rows, found.sources["other"].rows) == (30_003, 30_003)
    assert run(job, tmp_path, source=url, workers=1).status == "nothing new"
    batches, told[:] = len(told), []

    class Failing(Meeting):
        def advance(self, rows: int) -> None:
            super().advance(rows)
            raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        run(job, tmp_path, source=url, progress=Failing(), workers=2)
    assert 1 <= len(told) <= 4 < batches


def test_a_server_with_few_connections_is_read_one_table_after_the_other(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bronze_tables, "_PAUSES", (0, 0.2, 1))
    monkeypatch.setattr(postgres, "_BATCH_BYTES", 64 * 2**10)
    schema = run_sql(url, "SELECT current_schema()")[0][0]
    run_sql(
        url, "INSERT INTO sales SELECT 'n' || n, repeat('c', 100), '2026-01-03', 1 FROM generate_series(1, 30000) n",
        "CREATE TABLE other AS TABLE sales", f"CREATE ROLE {schema} LOGIN CONNECTION LIMIT 2",
        f"GRANT USAGE ON SCHEMA {schema} TO {schema}", f"GRANT SELECT ON sales, other TO {schema}",
    )  # fmt: skip
    try:
        theirs = url.replace("postgres@/", f"{schema}@/")
        found = run(two_tables(tmp_path / "job"), tmp_path, source=theirs, workers=2)
        assert (found.sources["sales"].rows, found.sources["other"].rows) == (30_003, 30_003)
    finally:
        run_sql(url, f"DROP OWNED BY {schema}", f"DROP ROLE {schema}")


def test_where_mysql_ends_the_connection_all_is_read_again(
    mariadb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written meanwhile is in both tables, or would be in none."""
    monkeypatch.setattr(bronze_tables, "_PAUSES", (0, 0))
    monkeypatch.setattr(mysql, "_BLOCK_BYTES", 2**17)
    with empty_database(mariadb) as url:
        run_mysql(
            url,
            TABLE.replace("numeric", "decimal(12,2)"),
            "INSERT INTO sales SELECT seq, repeat('c', 100), '2026-01-03', 1 FROM seq_1_to_30000",
            "CREATE TABLE other AS SELECT * FROM sales LIMIT 3",
        )

        def disturb() -> None:
            asked = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT `order_id`%'"
            (found,) = run_mysql(url, asked)
            run_mysql(
                url,
                f"KILL CONNECTION {found[0]}",
                "INSERT INTO sales VALUES ('o4', 'eve', '2026-01-01', 1)",
                "INSERT INTO other VALUES ('o4', 'eve', '2026-01-01', 1)",
            )

        job = two_tables(tmp_path / "job")
        found = run(job, tmp_path, source=url, progress=Once(disturb))
        assert {name: source.rows for name, source in found.sources.items()} == {"sales": 30_001, "other": 4}
        assert [note for note in found.notes if "read again, from a new snapshot" in note]
        assert len(list((tmp_path / "output.bronze" / "sales").iterdir())) == 1
        assert run(job, tmp_path, source=url).status == "nothing new"


def test_tables_without_snapshots_are_named(mariadb: str, tmp_path: Path) -> None:
    with empty_database(mariadb) as url:
        run_mysql(
            url, TABLE.replace("numeric", "decimal(12,2)"), ROWS, "CREATE TABLE other ENGINE=MyISAM SELECT * FROM sales"
        )
        (note,) = run(two_tables(tmp_path / "job"), tmp_path, source=url).notes
        assert ".other is kept by MyISAM, which has no snapshots" in note
        run_mysql(url, "ALTER TABLE other ENGINE=InnoDB")
        assert run(two_tables(tmp_path / "again"), tmp_path, source=url).notes == []


@pytest.mark.slow
@pytest.mark.skipif(not MARIADB, reason="no MariaDB on this machine")
def test_a_server_of_mysql_that_is_killed_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bronze_tables, "_PAUSES", (0, 0, 0))
    monkeypatch.setattr(mysql, "_BLOCK_BYTES", 2**17)
    job = write_job(tmp_path / "job")
    (port,) = free_ports(1)
    with mariadb_server(port) as server:
        run_mysql(server, "CREATE DATABASE shop", "CREATE USER reader", "GRANT SELECT ON shop.* TO reader")
        shop, url = server.replace("/mysql?", "/shop?"), f"mysql://reader@127.0.0.1:{port}/shop"
        run_mysql(shop, TABLE.replace("numeric", "decimal(12,2)"), ROWS)
        before = Path(run(job, tmp_path, source=url).output).resolve()
        run_mysql(shop, "INSERT INTO sales SELECT seq, repeat('c', 1000), '2026-01-03', 1 FROM seq_1_to_30000")
        pid = int(Path(parse_address(server).options["socket"]).with_name("pid").read_text())
        with pytest.raises(DatabaseFault, match="MySQL: cannot connect: there is no answer") as fault:
            run(job, tmp_path, source=url, progress=Once(lambda: os.kill(pid, signal.SIGKILL)))
        assert fault.value.exit_code == 5
    assert (tmp_path / "output").resolve() == before


def kill(where: str) -> str:
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}"


def test_a_missing_table_is_named_and_an_optional_one_is_empty(url: str, tmp_path: Path) -> None:
    run_sql(url, "DROP TABLE sales")
    with pytest.raises(InputError, match="sales: there is no table sales in this PostgreSQL database"):
        run(write_job(tmp_path / "job"), tmp_path, source=url)
    text = HEAD.replace('"sales*.csv", Sales', '"sales*.csv", Sales, optional=True') + LINES + TOTALS
    assert run(write_job(tmp_path / "other", text), tmp_path, source=url).sources["sales"].rows == 0


def test_a_job_reads_tables_of_mariadb(mariadb: str, tmp_path: Path) -> None:
    with empty_database(mariadb) as url:
        run_mysql(url, TABLE.replace("numeric", "decimal(12,2)"), ROWS, "INSERT INTO sales VALUES ('o4', 'x', NULL, 1)")
        job = write_job(tmp_path / "job")
        found = run(job, tmp_path, source=url)
        assert read(found, "totals").rows() == [(None, 1, 50), ("", 1, 700), ("ann", 1, 1000)]
        assert (found.sources["sales"].rows, found.sources["sales"].rejected) == (3, 1)
        assert run(job, tmp_path, source=url).status == "nothing new"


def test_a_new_column_is_told_until_it_is_known(url: str, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job")
    assert run(job, tmp_path, source=url).notes == []
    run_sql(url, "ALTER TABLE sales ADD extra numeric(9,2)", "UPDATE sales SET amount = 99 WHERE order_id = 'o1'")
    (note,) = run(job, tmp_path, source=url).notes
    assert note.startswith("sales: the table test_")
    assert note.endswith(".sales has a new column extra (numeric(9,2)), which Sales does not declare")
    assert run(job, tmp_path, source=url).notes == []


def test_a_deployment_calls_tables_and_columns_as_it_likes(url: str, tmp_path: Path) -> None:
    run_sql(url, "ALTER TABLE sales RENAME TO order_header", "ALTER TABLE order_header RENAME amount TO paid")
    names = {"sales": "order_header", "sales.cents": "paid"}
    job = write_job(tmp_path / "job")
    assert read(run(job, tmp_path, source=url, names=names), "totals")["cents"].sum() == 1750
    assert run(job, tmp_path, source=url, names=names).status == "nothing new"
    steps = plan_job(job, JobOptions(url, str(tmp_path / "output"), names=names))
    assert [step.work for step in steps] == ["compare", "if changed", "if changed"]


def test_a_declared_table_and_its_file(url: str, tmp_path: Path) -> None:
    text = HEAD.replace('csv("sales*.csv", Sales)', 'table("sales", Sales)').replace("sales =", "orders =")
    job = write_job(
        tmp_path / "job", text + LINES.replace("(sales)", "(orders)").replace("sales.u", "orders.u") + TOTALS
    )
    assert run(job, tmp_path, source=url).sources["orders"].rows == 3
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "sales.csv").write_text("order_id,customer,day,amount\no1,ann,2026-01-01,10\n")
    assert run(job, tmp_path).sources["orders"].rows == 1


def test_a_password_in_the_url_is_refused_and_none_is_in_the_record(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = write_job(tmp_path / "job")
    with pytest.raises(ConfigError, match="has a password"):
        run(job, tmp_path, source=url.replace("postgres@", "postgres:sec-ret@"))
    monkeypatch.setenv("PGPASSWORD", "sec-ret")
    run(job, tmp_path, source=url)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in written if b"sec-ret" in text]


def test_missing_packages_are_told_with_the_command(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"Install them: .* -m pip install -r .*requirements-databases\.txt$"):
        run(write_job(tmp_path / "job"), tmp_path, source=url)


def test_the_plan_says_what_only_the_database_knows(url: str, tmp_path: Path) -> None:
    """Nothing is known to change, and nothing is promised to stay; what is computed anyway is said as always."""
    job = write_job(tmp_path / "job")
    options = JobOptions(url, str(tmp_path / "output"))

    def planned(**given: bool) -> list[tuple[str, str, str]]:
        return [(step.name, step.work, step.reason) for step in plan_job(job, replace(options, **given))]

    new = [("sales", "extract", "new"), ("lines", "compute", "new"), ("totals", "compute", "new")]
    assert planned() == new
    run(job, tmp_path, source=url)
    assert planned() == [
        ("sales", "compare", "all rows"), ("lines", "if changed", "sales"), ("totals", "if changed", "lines"),
    ]  # fmt: skip
    assert planned(full_refresh=True) == new


def test_tries_end(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def broken(*_: object) -> Iterator[pl.DataFrame]:
        tried.append(1)
        raise DatabaseFault("gone", lost=True)

    monkeypatch.setattr(bronze_tables, "_PAUSES", (0, 0))
    monkeypatch.setattr(postgres.PostgresSnapshot, "read", broken)
    with pytest.raises(DatabaseFault, match="gone"):
        run(write_job(tmp_path / "job"), tmp_path, source=url)
    assert len(tried) == 2 * TRIES
