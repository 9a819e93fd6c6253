"""Large tables that several executors read in ranges: the result is that of one reader."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import polars as pl
import pytest

from pipeline.datasets import table_ranges
from pipeline.datasets.result import JobResult
from pipeline.datasets.run import KERNELS
from pipeline.engines import Engine
from pipeline.engines.direct import DirectEngine
from pipeline.engines.local import LocalEngine
from pipeline.sources.databases import postgres
from pipeline.sources.databases.faults import DatabaseFault
from pipeline.sources.databases.postgres import PostgresSnapshot, _ranges
from tests.database_servers import empty_schema, run_sql
from tests.pipeline.datasets.jobs_for_tests import files, run, write_job

ROWS = 6_000


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    """A table whose pages have holes, moved rows, and rows that no contract takes."""
    with empty_schema(postgres) as found:
        run_sql(
            found,
            "CREATE TABLE sales AS SELECT 'o' || n AS order_id, 'c' || n % 40 AS customer, date '2026-01-03' AS day,"
            f" n::numeric AS amount FROM generate_series(1, {ROWS}) n",
            "DELETE FROM sales WHERE amount % 7 = 0",
            "UPDATE sales SET day = 'infinity' WHERE amount % 101 = 0",
            "UPDATE sales SET amount = amount / 1000 WHERE amount % 103 = 0",
        )
        yield found


def read_in_ranges(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, pages: int, engine: Engine | None = None
) -> JobResult:
    """Workers of this machine, or another engine, stand for Spark."""
    monkeypatch.setattr(postgres, "_RANGE_PAGES", pages)
    opened = nullcontext(engine) if engine else LocalEngine(2, KERNELS)
    monkeypatch.setattr("pipeline.datasets.run.open_engine", lambda *_: opened)
    return run(write_job(folder / "job"), folder, source=url, engine="spark")


def rejected(result: JobResult) -> list[tuple[object, ...]]:
    found = pl.read_parquet(Path(result.output).resolve().parent / "quarantine/sales/*.parquet")
    return found.select("line", "check", "column", "value", "raw").rows()


@pytest.mark.slow
def test_the_result_is_that_of_one_reader(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for name, pages in (("one", 10**6), ("many", 3)):
        (tmp_path / name).mkdir()
        results.append(read_in_ranges(tmp_path / name, url, monkeypatch, pages))
        bronze = [path.name for path in (tmp_path / name).glob("output.bronze/sales/*/rows-*.parquet")]
        assert (len(bronze) > 3) == (name == "many"), bronze
    one, many = results
    assert files(one.output) == files(many.output)
    assert rejected(one) == rejected(many)
    assert len(rejected(many)) > 50
    assert (one.notes, many.notes) == ([], [])


def test_what_workers_cannot_read_one_reader_does(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executors may lack the packages or the password."""

    def refused(*_: object) -> None:
        raise DatabaseFault("PostgreSQL: cannot connect: it refuses the user or the password.")

    monkeypatch.setattr(table_ranges, "read_range", refused)
    found = read_in_ranges(tmp_path, url, monkeypatch, 3, DirectEngine())
    assert found.sources["sales"].rows + found.sources["sales"].rejected == ROWS - ROWS // 7
    (note,) = found.notes
    assert note.startswith("sales: one reader read it, because several could not: PostgreSQL: ")


def test_a_range_whose_connection_breaks_is_read_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = PostgresSnapshot.read, list[str]()

    def breaking(snapshot: PostgresSnapshot, query: str) -> Iterator[pl.DataFrame]:
        for rows in whole(snapshot, query):
            yield rows
            if not broken:
                broken.append(query)
                raise DatabaseFault("gone", lost=True)

    monkeypatch.setattr(PostgresSnapshot, "read", breaking)
    found = read_in_ranges(tmp_path, url, monkeypatch, 20, DirectEngine())
    assert (len(broken), found.notes) == (1, [])
    assert found.sources["sales"].rows + found.sources["sales"].rejected == ROWS - ROWS // 7


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (19, []),
        (20, [" WHERE ctid < '(10,0)'", " WHERE ctid >= '(10,0)'"]),
        (35, [" WHERE ctid < '(11,0)'", " WHERE ctid >= '(11,0)' AND ctid < '(23,0)'", " WHERE ctid >= '(23,0)'"]),
    ],
)
def test_ranges_are_of_pages_and_the_last_one_has_no_end(
    pages: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_RANGE_PAGES", 10)
    assert _ranges(pages) == expected
    monkeypatch.setattr(postgres, "_RANGE_PAGES", 1)
    assert len(_ranges(10**6)) == 99
