"""The laws are kept by transforms that keep them, and broken by those that do not."""

from pathlib import Path

import polars as pl
import pytest

from cli.progress import NullProgress
from config import Config
from pipeline.datasets import law_check
from pipeline.datasets.laws import _digest
from pipeline.datasets.run import JobOptions
from pipeline.engines.direct import DirectEngine
from tests.needs import needs_java
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, run, write_job, write_sales

RANKED = TOTALS.replace(
    'pl.col("cents").sum())',
    'pl.col("cents").sum()).with_columns(pl.col("cents").rank("ordinal").cast(pl.Int64).alias("orders"))',
)
LOOKUP = """

class Named(Contract):
    customer = Text("who", nullable=True)
    orders = Int("orders", nullable=True)


@dataset(Named, grain="one row per customer", by="customer", lookup={"totals": "customer"}, key="customer")
def named(lines, totals):
    return lines.select("customer").unique().join(totals.select("customer", "orders"), on="customer", how="left")
"""
BY_LEN = LOOKUP.replace(
    'totals.select("customer", "orders")', 'totals.select("customer", pl.len().cast(pl.Int64).alias("orders"))'
)
ROWS = [(f"o{at}", f"c{at % 17}", "2026-01-01", at) for at in range(200)]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import nullcontext

    monkeypatch.setattr(law_check, "open_engine", lambda *_: nullcontext(DirectEngine()))


def broken(tmp_path: Path, text: str) -> dict[tuple[str, str], str]:
    """What ``check`` says of the laws of a job."""
    write_sales(tmp_path, ROWS)
    job = write_job(tmp_path / "job", text)
    assert run(job, tmp_path).status == "ok"
    options = JobOptions(str(tmp_path / "source"), str(tmp_path / "output"))
    laws = law_check.check_job(job, Config(ENGINE="polars"), options, NullProgress())
    return {(law.table, law.law): law.broken for law in laws}


def test_laws_that_are_kept(tmp_path: Path) -> None:
    found = broken(tmp_path, HEAD + LINES + TOTALS + LOOKUP)
    assert set(found.values()) == {""}
    assert ("named", "lookup totals") in found
    assert {law for table, law in found if table == "totals"} == {"3 buckets, shuffled", "64 buckets, shuffled"}


def test_a_rank_over_everything_is_found(tmp_path: Path) -> None:
    found = broken(tmp_path, HEAD + LINES + RANKED)
    assert "looks beyond one value of by" in found["totals", "3 buckets, shuffled"]
    assert not found["lines", "64 buckets, shuffled"]


def test_a_lookup_that_is_none_is_found(tmp_path: Path) -> None:
    found = broken(tmp_path, HEAD + LINES + TOTALS + BY_LEN)
    assert "declare it as whole" in found["named", "lookup totals"]


@pytest.mark.slow
@needs_java
def test_spark_gives_the_same_bytes(tmp_path: Path) -> None:
    from tests.pipeline.datasets.jobs_for_tests import files

    write_sales(tmp_path, ROWS)
    job = write_job(tmp_path / "job", HEAD + LINES + TOTALS + LOOKUP)
    embedded = run(job, tmp_path)
    spark = run(job, tmp_path, output=str(tmp_path / "spark"), engine="spark", workers=2)
    assert (embedded.engine, spark.engine) == ("polars", "spark")
    assert files(spark.output) == files(embedded.output)


def test_only_values_decide_the_digest_of_rows() -> None:
    """Not how the memory of texts and nulls is laid out, which depends on the parts that rows came from."""
    rows = pl.DataFrame({"text": [f"a text of more than twelve bytes {at}" for at in range(9)], "number": range(9)})
    parts = pl.concat([rows.filter(pl.col("number") % 3 == part) for part in range(3)]).sort("number")
    assert _digest(parts) == _digest(rows)
    hidden = rows.with_columns(pl.when(pl.col("number") != 4).then(pl.col("number")).alias("number"))
    absent = rows.with_columns(pl.Series("number", [0, 1, 2, 3, None, 5, 6, 7, 8]))
    assert _digest(hidden) == _digest(absent)
    assert _digest(hidden) != _digest(hidden.with_columns(pl.col("number").fill_null(0)))


def test_marks_of_nulls_do_not_decide_the_digest_of_rows() -> None:
    """A column without values, or without nulls, comes from joins and filters with such marks or without."""
    none = pl.DataFrame({"text": [None, None]}, schema={"text": pl.String})
    same = [
        pl.DataFrame({"text": ["a", "b"]}).select(pl.when(pl.col("text") == "c").then(pl.col("text")).alias("text")),
        pl.concat([none.head(1), none.tail(1)]),
        pl.DataFrame({"text": ["a", None]})[[1, 1]],
    ]
    assert {_digest(rows) for rows in same} == {_digest(none)}
    full = pl.DataFrame({"text": ["a", None, "b"]}).filter(pl.col("text").is_not_null())
    assert _digest(full) == _digest(pl.DataFrame({"text": ["a", "b"]})) != _digest(none)
