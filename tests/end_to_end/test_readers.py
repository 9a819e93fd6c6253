"""The published result for those who read it: Polars, PyArrow, DuckDB and Spark, query, dashboard and explain."""

import json
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from cli.web import answers, questions
from config import Config
from pipeline.inspection.query import ask
from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, ROOT, environment, run
from tests.harness import run_here
from tests.needs import needs_java
from tests.result_readers import COLUMNS, IN_PROCESS, Reading, SparkReader

ROW = "a1,ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1.5\n"
NOTHING = Reading("text", frozenset(COLUMNS), ())
ANN = Reading("text", frozenset(COLUMNS), (("North America", "ann", 1.5, 1),))


def write_log(folder: Path, name: str, *rows: str) -> None:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / name).write_text(HEADER + "".join(rows))


def current_data(folder: Path) -> Path:
    return (folder / "pipeline_data" / "output").resolve(strict=True)


@pytest.mark.parametrize("engine", ["polars", pytest.param("spark", marks=needs_java)])
def test_logs_without_records_give_a_result_without_rows(engine: str, tmp_path: Path) -> None:
    write_log(tmp_path, "a.csv")
    (tmp_path / "logs" / "empty.csv").touch()
    ended = run("--input", "logs", "--engine", engine, "--json", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert (ended.answer["records_read"], ended.answer["output_rows"]) == (0, 0)
    assert {name: read(current_data(tmp_path)) for name, read in IN_PROCESS.items()} == dict.fromkeys(
        IN_PROCESS, NOTHING
    )


@needs_java
def test_spark_reads_a_result_without_rows_and_the_one_after_it(spark: SparkReader, tmp_path: Path) -> None:
    write_log(tmp_path, "a.csv")
    run_here(tmp_path)
    nothing = current_data(tmp_path)
    assert spark(nothing) == NOTHING
    write_log(tmp_path, "b.csv", ROW)
    run_here(tmp_path)
    assert spark(current_data(tmp_path)) == ANN
    assert spark(nothing) == NOTHING, "a version does not change"


def test_query_dashboard_and_explain_agree_on_a_result_without_rows(tmp_path: Path) -> None:
    write_log(tmp_path, "a.csv")
    run_here(tmp_path)
    with chdir(tmp_path):
        config = Config()
        assert ask(config, "select count(*) from watch_time").rows == ((0,),)
        assert ask(config, "from user_totals").rows == ()
        assert ask(config, "select distinct geo_region from watch_time").rows == ()
        assert ask(config, questions.REGIONS).rows == ()
        assert len(ask(config, questions.CURRENT).rows) == 1
        assert ask(config, questions.users(None)).rows == ()
    ended = command("explain", "--user", "ann", cwd=tmp_path)
    assert ended.code == 3
    assert "no event of this user was handed over" in ended.err


def test_a_log_whose_records_left_gives_a_result_without_rows_again(tmp_path: Path) -> None:
    write_log(tmp_path, "a.csv", ROW)
    run_here(tmp_path)
    assert IN_PROCESS["duckdb"](current_data(tmp_path)) == ANN
    write_log(tmp_path, "a.csv")
    answer = command_json("--input", "logs", cwd=tmp_path)
    assert answer["records_read"] == 0
    assert {name: read(current_data(tmp_path)) for name, read in IN_PROCESS.items()} == dict.fromkeys(
        IN_PROCESS, NOTHING
    )


def test_path_prints_the_folder_of_a_version_for_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "it's élan"
    folder.mkdir()
    write_log(folder, "a.csv", ROW)
    first = run_here(folder).version
    write_log(folder, "b.csv", ROW.replace("a1", "a2"))
    second = run_here(folder).version
    data = folder.resolve() / "pipeline_data" / "output.versions"
    ended = command("path", cwd=folder)
    assert (ended.code, ended.out, ended.err) == (0, f"{data / second / 'data'}\n", "")
    assert IN_PROCESS["polars"](Path(ended.out.removesuffix("\n"))).rows[0][2:] == (3.0, 2)
    assert command("path", first, "--quiet", cwd=folder).out == f"{data / first / 'data'}\n"
    answer = json.loads(command("path", "--json", cwd=folder).out)
    assert answer == {"path": str(data / second / "data"), "version": second, "output": "pipeline_data/output"}


def test_path_is_that_of_the_system_whatever_the_terminal_shows(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    write_log(tmp_path / "plain", "a.csv", ROW)
    version = run_here(tmp_path / "plain").version
    folder = (tmp_path / "plain").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xc3\xa9"))
    for encoding in "ascii", "utf-8":
        found = subprocess.run(
            [sys.executable, ROOT / "main.py", "path"],
            cwd=folder,
            env=environment() | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        )
        data = os.fsencode(folder.resolve()) + f"/pipeline_data/output.versions/{version}/data\n".encode()
        assert (found.stdout, found.stderr) == (data, b"")


def test_path_says_where_nothing_is(tmp_path: Path) -> None:
    ended = command("path", cwd=tmp_path)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("error: nothing is published at 'pipeline_data/output'")
    write_log(tmp_path, "a.csv", ROW)
    version = run_here(tmp_path).version
    ended = command("path", "v9", "--json", cwd=tmp_path)
    assert ended.code == 3
    assert f"there is no version 'v9' of 'pipeline_data/output'. Kept: {version}" in json.loads(ended.out)["error"]


def test_the_dashboard_answers_about_the_version_that_it_shows(tmp_path: Path) -> None:
    write_log(tmp_path, "a.csv", ROW)
    first = run_here(tmp_path).version
    write_log(tmp_path, "b.csv", ROW.replace("a1", "a2"))
    run_here(tmp_path)
    with chdir(tmp_path):
        config = Config()
        for version, events in ((first, 1), (ask(config, "select version from runs where is_current").rows[0][0], 2)):
            assert answers.answer(config, str(version), questions.REGIONS).rows[0][2] == events
