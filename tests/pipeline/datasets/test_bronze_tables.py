"""Jobs that read tables of a real database: what is published, what is read again, and what stops a run."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from cli.progress import NullProgress
from pipeline.datasets import bronze_tables
from pipeline.errors import ConfigError, InputError
from pipeline.sources.databases import postgres
from pipeline.sources.databases.faults import DatabaseFault
from tests.database_servers import empty_database, empty_schema, run_mysql, run_sql
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, read, run, write_job

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

    class Killing(NullProgress):
        def advance(self, _: int) -> None:
            if not killed:
                killed.extend(run_sql(url, kill("state = 'active' AND application_name = 'logmill'")))

    found = run(write_job(tmp_path / "job"), tmp_path, source=url, progress=Killing())
    assert killed == [(True,)]
    assert (found.sources["sales"].rows, found.tables["lines"].rows) == (30_003, 30_003)
    assert len(list((tmp_path / "output.bronze" / "sales").iterdir())) == 1


def test_a_server_that_dies_publishes_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_tries_end(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def broken(*_: object) -> Iterator[pl.DataFrame]:
        tried.append(1)
        raise DatabaseFault("gone", lost=True)

    monkeypatch.setattr(postgres.PostgresSnapshot, "read", broken)
    with pytest.raises(DatabaseFault, match="gone"):
        run(write_job(tmp_path / "job"), tmp_path, source=url)
    assert len(tried) == bronze_tables._TRIES
