"""TABLE_FORMAT = delta through the command line: both engines, killed runs, rollback, doctor."""

import json
import os
from pathlib import Path

import pytest
from deltalake import DeltaTable

from config import Config
from pipeline.errors import ConfigError
from pipeline.versions.output_link import Output
from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, environment, published, run, run_json
from tests.harness import run_here
from tests.needs import needs_java
from tests.result_readers import DELTA_READERS, SparkReader

ROW = "{},{},2026-01-01T00:00:00Z,v,tv,{},{}\n"
DELTA = {"TABLE_FORMAT": "delta"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two days of logs, the first of them published with its table."""
    write_log(tmp_path, 1)
    run_here(tmp_path, **DELTA)
    write_log(tmp_path, 2)
    return tmp_path


def write_log(folder: Path, day: int) -> None:
    (folder / "logs").mkdir(exist_ok=True)
    rows = [ROW.format(f"{day}-{n}", f"u{n}", ip, day) for n, ip in enumerate(("8.8.8.8", "10.0.0.1", "133.11.0.1"))]
    (folder / "logs" / f"{day}.csv").write_text(HEADER + "".join(rows[: day + 1]))


def table(folder: Path) -> Path:
    return folder / "pipeline_data" / "output.delta"


def commits(folder: Path) -> list[str]:
    return [commit["logmill.version"] for commit in reversed(DeltaTable(str(table(folder))).history())]


def assert_table_is_the_result(folder: Path) -> None:
    rows = tuple(sorted(published(folder), key=str))
    assert {name: read(table(folder), None).rows for name, read in DELTA_READERS.items()} == dict.fromkeys(
        DELTA_READERS, rows
    )


@pytest.mark.parametrize("engine", ["polars", pytest.param("spark", marks=needs_java)])
def test_a_run_is_a_commit_and_a_run_without_news_is_none(engine: str, folder: Path) -> None:
    for _ in range(2):
        ended = run("--input", "logs", "--engine", engine, cwd=folder, env=environment(**DELTA))
        assert ended.code == 0, ended.err
        assert_table_is_the_result(folder)
    versions = Output(str(folder / "pipeline_data" / "output")).version_names()
    assert commits(folder) == versions
    assert len(versions) == 2
    before = DELTA_READERS["polars"](table(folder), 0)
    assert [row[1:] for row in before.rows] == [("u0", 1.0, 1), ("u1", 1.0, 1)]


@needs_java
def test_spark_reads_the_table_through_arrow(spark: SparkReader, folder: Path) -> None:
    run_here(folder, **DELTA)
    assert spark.delta(table(folder)).rows == tuple(sorted(published(folder), key=str))


@pytest.mark.parametrize("where", ["table.link", "publish.link.done", "table.commit", "table.commit.done"])
def test_a_killed_run_is_made_up_for(where: str, folder: Path) -> None:
    env = environment(**DELTA) | {"LOGMILLTEST_FAULT": f"{where}:1"}
    assert run("--input", "logs", "--engine", "polars", cwd=folder, env=env).code == -9
    found = {name: len(read(table(folder), None).rows) for name, read in DELTA_READERS.items()}
    assert set(found.values()) in ({2}, {3})
    run_json("--input", "logs", cwd=folder, env=environment(**DELTA))
    assert_table_is_the_result(folder)
    assert len(published(folder)) == 3
    assert len(set(commits(folder))) == len(commits(folder)), "one commit a version"


def test_a_full_disk_at_the_commit_leaves_the_version_and_a_message(folder: Path) -> None:
    env = environment(**DELTA) | {"LOGMILLTEST_FAULT": "table.link:1:ENOSPC"}
    ended = run("--input", "logs", "--engine", "polars", "--json", cwd=folder, env=env)
    assert ended.code == 5, ended.err
    run_json("--input", "logs", cwd=folder, env=environment(**DELTA))
    assert_table_is_the_result(folder)
    assert len(published(folder)) == 3


def test_rollback_takes_the_table_along_or_says_that_it_does_not(folder: Path) -> None:
    run_here(folder, **DELTA)
    ended = command("rollback", cwd=folder, env=environment(**DELTA))
    assert (ended.code, ended.err) == (0, "")
    assert_table_is_the_result(folder)
    assert commits(folder)[-1] == commits(folder)[0]
    ended = command("rollback", commits(folder)[1], cwd=folder)
    assert ended.code == 0
    assert "warning: the Delta table pipeline_data/output.delta did not follow" in ended.err
    assert commits(folder)[-1] == commits(folder)[0]
    answer = command_json("--input", "logs", cwd=folder)  # TABLE_FORMAT is parquet now
    assert answer["kept"] == 5
    assert commits(folder)[-1] == commits(folder)[0]
    record = json.loads(next(table(folder).parent.joinpath("output").resolve().parent.glob("run.json")).read_text())
    if record["settings"]["TABLE_FORMAT"] == "parquet":
        assert any("Delta table" in note and "does not follow" in note for note in record["notes"])


def test_a_table_begins_with_the_version_that_is_there(tmp_path: Path) -> None:
    write_log(tmp_path, 1)
    first = run_here(tmp_path).version
    write_log(tmp_path, 2)
    second = run_here(tmp_path, **DELTA).version
    assert commits(tmp_path) == [first, second]
    assert_table_is_the_result(tmp_path)


def test_doctor_looks_for_what_the_table_needs(folder: Path) -> None:
    ended = command("doctor", "--no-spark", "--json", cwd=folder, env=environment(**DELTA))
    checks = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    assert checks["delta table"]["status"] == "ok", checks["delta table"]
    assert "delta table" not in command("doctor", "--no-spark", cwd=folder, env=environment()).out


def test_the_table_lies_apart_from_the_logs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="overlap"):
        Config(INPUT_DIR=str(tmp_path / "out.delta"), OUTPUT_DIR=str(tmp_path / "out"))
    assert not os.listdir(tmp_path)
