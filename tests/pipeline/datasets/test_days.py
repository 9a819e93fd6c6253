"""Jobs that publish by day: a run makes one day, and all others stay as they are, until the same switch."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from cli.progress import NullProgress
from config import Config
from pipeline.datasets.days import days_of
from pipeline.datasets.ddl import Published, statements
from pipeline.datasets.forget import forget_people
from pipeline.datasets.job import Job
from pipeline.datasets.result import JobResult
from pipeline.datasets.run import JobOptions
from pipeline.datasets.state import read_state
from pipeline.errors import ConfigError
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import roll_back
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, files, run, write_job, write_sales

CONFIG = Config(ENGINE="polars", MEMORY_LIMIT=10**9, PREPROCESSING_WORKERS=1)
FIRST, SECOND = dt.datetime(2026, 11, 29, 23, 59), dt.datetime(2026, 11, 30)
SALES = [("o1", "c1", "2026-11-01", "10.00"), ("o2", "c2", "2026-11-02", "0.50"), ("o3", "c1", "2026-11-02", "1.00")]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_sales(tmp_path, SALES)
    return write_job(tmp_path / "job", daily=True)


def totals(result: JobResult, day: str) -> list[tuple[object, ...]]:
    return pl.read_parquet(Path(result.output) / day / "totals/*.parquet").rows()


def test_a_new_day_shares_all_files_of_the_days_before(job: Job, tmp_path: Path) -> None:
    first = run(job, tmp_path, as_of=FIRST)
    assert first.day == "2026-11-29"
    old = {path: path.stat().st_ino for path in Path(first.output).resolve().rglob("*.parquet")}
    write_sales(tmp_path, [*SALES, ("o4", "c1", "2026-11-30", "5.00")])
    second = run(job, tmp_path, as_of=SECOND)
    data = Path(second.output).resolve()
    assert days_of(data) == ["2026-11-29", "2026-11-30"]
    now = {path: path.stat().st_ino for path in (data / "2026-11-29").rglob("*.parquet")}
    assert list(now.values()) == [inode for path, inode in old.items() if path.parent.name == "totals"]
    assert totals(second, "2026-11-29") == [("c1", 2, 1100), ("c2", 1, 50)]
    assert totals(second, "2026-11-30") == [("c1", 3, 1600), ("c2", 1, 50)]
    lines = {path.relative_to(data / "silver"): path.stat().st_ino for path in data.glob("silver/*/*/*.parquet")}
    assert {path.parent.name: inode in old.values() for path, inode in lines.items()} == {
        "day=2026-11-01": True, "day=2026-11-02": True, "day=2026-11-30": False,
    }  # fmt: skip


def test_a_day_that_is_run_again_is_replaced_alone_and_comes_back_by_rollback(job: Job, tmp_path: Path) -> None:
    run(job, tmp_path, as_of=FIRST)
    second = run(job, tmp_path, as_of=SECOND)
    before = files(second.output)
    write_sales(tmp_path, [("o1", "c1", "2026-11-01", "7.00"), *SALES[1:]])
    again = run(job, tmp_path, as_of=FIRST + dt.timedelta(seconds=1))
    assert (again.status, again.day) == ("ok", "2026-11-29")
    assert totals(again, "2026-11-29") == [("c1", 2, 800), ("c2", 1, 50)]
    after = files(again.output)
    assert {name for name in after if after[name] != before.get(name)} == {
        "2026-11-29/totals/part-0.parquet", "silver/lines/day=2026-11-01/part-0.parquet"
    }  # fmt: skip
    roll_back(again.output, None)
    assert files(again.output) == before


def test_a_day_without_news_is_published_and_the_same_run_again_is_not(job: Job, tmp_path: Path) -> None:
    run(job, tmp_path, as_of=FIRST)
    second = run(job, tmp_path, as_of=SECOND)
    assert (second.status, second.tables["totals"].recomputed) == ("ok", 0)
    assert totals(second, "2026-11-30") == totals(second, "2026-11-29")
    assert run(job, tmp_path, as_of=SECOND).status == "nothing new"
    assert run(job, tmp_path, as_of=SECOND, full_refresh=True).status == "ok"
    assert days_of(Path(second.output)) == ["2026-11-29", "2026-11-30"]


def test_scripts_for_databases_and_the_record_name_the_day(job: Job, tmp_path: Path) -> None:
    run(job, tmp_path, as_of=FIRST)
    result = run(job, tmp_path, as_of=SECOND)
    state = read_state(Output(result.output))
    assert state
    assert (state.day, state.record["days"]) == ("2026-11-30", ["2026-11-29", "2026-11-30"])
    made = statements(job, Published("s3://shop/insights", state.day))["duckdb"]
    assert "read_parquet('s3://shop/insights/2026-11-30/totals/**/*.parquet'" in made
    assert "read_parquet('s3://shop/insights/silver/lines/**/*.parquet'" in made


def test_who_is_forgotten_leaves_the_days_before_too(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    forgets = HEAD.replace('Text("who", nullable=True)', 'Text("who", nullable=True, forget="value")')
    totals_of = TOTALS.replace('Text("who", nullable=True)', 'Text("who", nullable=True, forget="row")')
    job = write_job(tmp_path / "job", forgets + LINES + totals_of, daily=True)
    run(job, tmp_path, as_of=FIRST)
    second = run(job, tmp_path, as_of=SECOND)
    options = JobOptions(str(tmp_path / "source"), second.output)
    found = forget_people(job, CONFIG, options, ["c1"], NullProgress())
    assert found.result.day == "2026-11-30"
    assert totals(found.result, "2026-11-30") == [(None, 2, 1100), ("c2", 1, 50)]
    assert totals(found.result, "2026-11-29") == [("c2", 1, 50)]
    lines = pl.read_parquet(Path(second.output) / "silver/lines/**/*.parquet", hive_partitioning=False)
    assert sorted(lines["customer"].to_list(), key=str) == [None, None, "c2"]


def test_who_is_only_in_days_before_is_forgotten_there(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    forgets = HEAD.replace('Text("who", nullable=True)', 'Text("who", nullable=True, forget="row")')
    totals_of = TOTALS.replace('Text("who", nullable=True)', 'Text("who", nullable=True, forget="row")')
    job = write_job(tmp_path / "job", forgets + LINES + totals_of, daily=True)
    run(job, tmp_path, as_of=FIRST)
    write_sales(tmp_path, SALES[1:2])
    second = run(job, tmp_path, as_of=SECOND)
    options = JobOptions(str(tmp_path / "source"), second.output)
    forget_people(job, CONFIG, options, ["c1"], NullProgress())
    assert totals(second, "2026-11-29") == totals(second, "2026-11-30") == [("c2", 1, 50)]
    assert len(list(Path(f"{second.output}.versions").glob("2*"))) == 1


def test_a_run_of_some_tables_does_not_publish_the_others_under_another_day(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    by_who = TOTALS.replace("Total(", "Other(").replace("Total,", "Other,").replace("def totals", "def others")
    job = write_job(tmp_path / "two", HEAD + LINES + TOTALS + by_who, daily=True)
    run(job, tmp_path, as_of=FIRST)
    write_sales(tmp_path, [*SALES, ("o4", "c1", "2026-11-30", "5.00")])
    with pytest.raises(ConfigError, match="publish 2026-11-30 with tables of 2026-11-29: others"):
        run(job, tmp_path, as_of=SECOND, only=("totals",))
    same_day = run(job, tmp_path, as_of=FIRST + dt.timedelta(seconds=1), only=("totals",))
    assert totals(same_day, "2026-11-29") == [("c1", 3, 1600), ("c2", 1, 50)]
