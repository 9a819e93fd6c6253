"""Skewed logs: results as they were built to be, within the memory limit; and Spark's plan for large buckets."""

from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest

from benchmarks.program import run_program
from benchmarks.shapes import Shape, differences, make_logs
from benchmarks.skew import prepare, shapes
from tests.end_to_end.program import run_json
from tests.needs import needs_java

LIMIT = 10**9
SMALL = {shape.name: shape for shape in shapes(4_000_000) if "uniform" not in shape.name}


@pytest.mark.parametrize("name", SMALL)
def test_skew_changes_no_value_and_stays_within_the_limit(name: str, tmp_path: Path) -> None:
    case = prepare(SMALL[name], tmp_path)
    case.run(["--engine", "polars", "--memory-limit", str(LIMIT)])
    assert case.wrong == []
    assert 10**8 < case.peak_bytes < LIMIT


def test_a_bucket_of_one_user_and_one_id_goes_in_passes(tmp_path: Path) -> None:
    """All at once: a bot, copies and a shared id, in one bucket of many more rows than are worked on at once."""
    shape = Shape("all", 30_000_000, bot_share=0.5, copies=20_000, shared=5_000, users=6_000)
    truth = make_logs(shape, tmp_path / "logs")
    options = ["--engine", "polars", "--memory-limit", str(LIMIT)]
    ran = run_program(tmp_path, tmp_path / "logs", options, {"LOGMILL_BUCKETS": "1"})
    assert ran.record["plan"]["bucket_rows"] < shape.rows
    assert differences(shape, truth, ran.answer, ran.output) == []
    assert (truth.duplicates, truth.conflicts) == (19_999, 4_999)


@needs_java
@pytest.mark.parametrize("rows", [340_000, 200_000])
def test_spark_takes_its_own_plan_where_a_bucket_fits_no_worker(rows: int, tmp_path: Path) -> None:
    """A worker's share holds about 295,000 rows here, and one bucket has them all."""
    shape = replace(Shape("bot", 0, bot_share=0.3), size_bytes=rows * 83)
    truth = make_logs(shape, tmp_path / "logs")
    settings = {"LOGMILL_BUCKETS": "1", "LOGMILL_SPARK_DRIVER_MEMORY": "512MiB"}
    options = ["--engine", "spark", "--memory-limit", "1.68GB", "--workers", "1"]
    ran = run_program(tmp_path, tmp_path / "logs", options, settings)
    by_sql = any("Spark's own plan" in note for note in ran.record["notes"])
    assert by_sql == (ran.record["plan"]["task_rows"] < rows)
    assert by_sql == (rows == 340_000)
    assert differences(shape, truth, ran.answer, ran.output) == []


def test_the_built_truth_is_what_the_lines_say(tmp_path: Path) -> None:
    """The truth of shapes against DuckDB, and a wrong result is noticed."""
    shape = Shape("mixed", 500_000, files=3, users=700, copies=300, shared=200, bot_share=0.2)
    truth = make_logs(shape, tmp_path / "logs")
    found = duckdb.sql(
        f"""with events as (
              select log_id, user_id[2:]::int u, ("watch_time(min)"::decimal(18, 1) * 1000000)::bigint micro,
              from read_csv('{tmp_path}/logs/*.csv', all_varchar = true)),
            winners as (select arg_max(u, micro) u, max(micro) micro from events group by log_id)
            select u, sum(micro)::bigint, count(*) from winners group by u order by u"""
    ).fetchall()
    users = np.flatnonzero(truth.events)
    assert [row[0] for row in found] == users.tolist()
    assert [row[1] for row in found] == truth.micro[users].tolist()
    assert [row[2] for row in found] == truth.events[users].tolist()
    answer = run_json("--input", "logs", cwd=tmp_path)
    output = tmp_path / "pipeline_data" / "output"
    assert differences(shape, truth, answer, output) == []
    truth.events[3] += 1
    assert len(differences(shape, truth, answer, output)) == 2
