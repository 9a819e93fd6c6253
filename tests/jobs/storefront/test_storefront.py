"""The job ``storefront``: its tables against plain SQL (``oracle.sql``) over dirty shops, its laws, and its gates."""

from contextlib import nullcontext
from pathlib import Path

import duckdb
import polars as pl
import pytest

from cli.progress import NullProgress
from config import Config
from pipeline.datasets.law_check import check_job
from pipeline.datasets.result import JobResult
from pipeline.datasets.run import JobOptions
from pipeline.engines.direct import DirectEngine
from tests.jobs.storefront.shops import run, storefront, write_shop
from tests.pipeline.datasets.jobs_for_tests import read

pytestmark = pytest.mark.slow
ORACLE = Path(__file__).with_name("oracle.sql").read_text(encoding="utf-8")
ZONE = "America/New_York"
SAME = (
    *("dim_category", "dim_product", "product_x_category", "fact_orders", "fact_order_items", "fact_clickstream"),
    *("wide_orders", "wide_order_items", "daily_category_metrics", "daily_order_metrics"),
)
"""Tables of the same name in the oracle."""


def ask_oracle(source: Path) -> duckdb.DuckDBPyConnection:
    """A database with the tables that the job must make of a shop."""
    database = duckdb.connect(":memory:", config={"threads": 1})
    database.execute(f"set variable folder = '{source}'; set variable zone = '{ZONE}'; set variable gap = 20")
    database.execute(ORACLE)
    return database


def made(result: JobResult, name: str) -> pl.DataFrame:
    """A table of the job, with the beginnings of versions instead of their keys, and without keys of sessions."""
    rows = read(result, name).drop("session_key", "visitor", strict=False)
    for kind in ("buyer", "seller"):
        if f"{kind}_key" not in rows.columns:
            continue
        versions = read(result, f"dim_{kind}").select(f"{kind}_key", pl.col("valid_from").alias(f"{kind}_since"))
        found = rows.join(versions, on=f"{kind}_key", how="left", validate="m:1")
        assert found.filter(pl.col(f"{kind}_since").is_null() & (pl.col(f"{kind}_key") != -1)).is_empty()
        rows = found.drop(f"{kind}_key")
    return rows


@pytest.fixture(scope="module", params=[1, 2])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JobResult]:
    """A folder with a dirty shop in ``source``, and what the job made of it."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder / "source", request.param)
    return folder, run(folder, settings={"zone": ZONE, "session_gap_minutes": 20})


def test_tables_are_what_plain_sql_makes(shop: tuple[Path, JobResult]) -> None:
    folder, result = shop
    assert result.error is None
    database = ask_oracle(folder / "source")
    for name in SAME:
        expected = database.table(name)
        found = made(result, name)
        assert sorted(found.columns) == sorted(expected.columns), name
        rows = expected.select(*found.columns).fetchall()
        assert len(rows) > 3, name
        assert sorted(found.rows(), key=str) == sorted(rows, key=str), name


@pytest.mark.parametrize(("kind", "detail"), [("buyer", "tier"), ("seller", "seller_name")])
def test_members_have_the_versions_that_plain_sql_finds(shop: tuple[Path, JobResult], kind: str, detail: str) -> None:
    folder, result = shop
    columns = "user_id, detail, user_name, email, phone, country, is_active, valid_from, valid_to, valid_to is null"
    rows = ask_oracle(folder / "source").sql(f"select member_id, {columns} from versions where kind = '{kind}'")
    found = read(result, f"dim_{kind}").select(
        f"{kind}_id", "user_id", detail, "user_name", "email", "phone", "country", "is_active", "valid_from",
        "valid_to", "is_current",
    )  # fmt: skip
    expected = sorted(rows.fetchall(), key=str)
    assert len(expected) > 5
    assert sorted(found.rows(), key=str) == expected


@pytest.mark.parametrize("shop", [1], indirect=True)
def test_all_data_sets_keep_the_laws(shop: tuple[Path, JobResult], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = shop
    options = JobOptions(str(folder / "source"), str(folder / "output"))
    monkeypatch.setattr("pipeline.datasets.law_check.open_engine", lambda *_: nullcontext(DirectEngine()))
    monkeypatch.setattr("pipeline.datasets.law_check.BUCKETS", (1, 3, 16))  # 64 take most of a minute
    laws = check_job(storefront(), Config(ENGINE="polars"), options, NullProgress())
    assert {law.table for law in laws} == set(storefront().datasets)
    assert [law for law in laws if law.broken] == []
