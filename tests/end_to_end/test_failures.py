"""Each way of failing: its exit code, one clear message with the next step, and the previous output untouched."""

import shutil
import signal
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import environment, finish, published, run_json, start, wait_for
from tests.end_to_end.test_first_run import without_java
from tests.harness import run_here


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (["--input", "x", "--nonsense"], {}, "--nonsense"),
        (["run", "--workers", "many"], {}, "--workers"),
        (["--memory-limit", "1MB"], {}, "--memory-limit"),
        (["--geo-db", "nowhere.mmdb"], {}, "--geo-db"),
        (["--config", "nowhere.toml"], {}, "nowhere.toml"),
        (["--engine", "duckdb"], {}, "--engine"),
        ([], {"NO_SUCH_SETTING": 1}, "NO_SUCH_SETTING"),
        ([], {"GEO_LEVEL": "city"}, "LOGMILL_GEO_LEVEL"),
    ],
)
def test_usage_and_configuration(
    arguments: list[str], settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    ended = command(*arguments, "--json", cwd=tmp_path, env=environment(**settings))
    assert ended.code == 2
    assert message in ended.answer["error"]
    assert ended.answer["status"] == "failed"
    assert ended.answer["error"] in ended.err


def test_output_that_is_taken(logs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    answer = command_json("--input", logs, "--output", "mine", cwd=tmp_path, code=2)
    assert answer["error"].startswith("--output '")
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("given", ["missing", "missing/*.csv", "empty"])
def test_nothing_to_process(given: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = command_json("--input", given, cwd=tmp_path, code=3)
    assert given in answer["error"]
    assert not (tmp_path / "pipeline_data" / "output").exists()


def test_a_refused_file_among_good_ones(logs: Path, tmp_path: Path) -> None:
    run_here(tmp_path, logs)
    rows = published(tmp_path)
    mixed = tmp_path / "mixed"
    shutil.copytree(logs, mixed)
    (mixed / "other.csv").write_text("a,b\n1,2\n")
    (mixed / "wide.csv").write_bytes("log_id,user_id\n".encode("utf-16"))
    answer = command_json("--input", mixed, "--full-refresh", cwd=tmp_path, code=6)
    assert answer["status"] == "partial"
    assert answer["error"] is None
    assert {Path(refused["file"]).name for refused in answer["refused_files"]} == {"other.csv", "wide.csv"}
    assert "UTF-16" in next(refused["reason"] for refused in answer["refused_files"] if "wide" in refused["file"])
    assert published(tmp_path) == rows

    for path in mixed.glob("activity*"):
        path.unlink()
    answer = command_json("--input", mixed, cwd=tmp_path, code=6)
    assert (answer["status"], answer["new"]["missing_files"]) == ("partial", 4), "files that have left still count"
    assert published(tmp_path) == rows
    answer = command_json("--input", mixed, "--full-refresh", cwd=tmp_path, code=3)
    assert answer["status"] == "failed"
    assert len(answer["refused_files"]) == 2
    assert published(tmp_path) == rows


def test_spark_without_java(logs: Path, tmp_path: Path) -> None:
    ended = command("--input", logs, "--engine", "spark", "--json", cwd=tmp_path, env=without_java(tmp_path))
    assert ended.code == 5
    assert "Java" in ended.answer["error"]
    assert "--engine polars" in ended.answer["error"]


def test_two_runs_at_once(logs: Path, tmp_path: Path) -> None:
    """The first run is halted (SIGSTOP) while it holds the lock, so that the second meets the lock."""
    first = start("--input", logs, "--engine", "polars", "--json", cwd=tmp_path)
    try:
        lock = tmp_path / "pipeline_data" / "intermediate" / ".logmill.lock"
        wait_for(lambda: lock.exists() and lock.stat().st_size > 0)
        first.send_signal(signal.SIGSTOP)
        second = run_json("--input", logs, cwd=tmp_path, code=5)
    finally:
        first.send_signal(signal.SIGCONT)
    assert str(first.pid) in second["error"]
    assert finish(first).code == 0
    assert sum(row[3] for row in published(tmp_path)) == command_json("--input", logs, cwd=tmp_path)["kept"]


def test_a_killed_run_whose_workers_still_live(logs: Path, tmp_path: Path) -> None:
    """The workers are halted, so that they cannot notice the death: none of them holds a lock."""
    program = start("--input", logs, "--engine", "polars", "--json", cwd=tmp_path)
    rows = tmp_path / "pipeline_data" / "intermediate" / "store" / "rows"
    wait_for(lambda: any(rows.glob("*")))
    family = psutil.Process(program.pid).children(recursive=True)
    try:
        for member in family:
            member.suspend()
        program.kill()
        program.wait()
        assert all(member.status() == psutil.STATUS_STOPPED for member in family)
        kept = command_json("--input", logs, cwd=tmp_path)["kept"]
    finally:
        for member in family:
            member.kill()
        program.communicate()
    assert sum(row[3] for row in published(tmp_path)) == kept


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_end_in_the_middle(logs: Path, tmp_path: Path, how: signal.Signals) -> None:
    """The previous output still stands, and what the run left does not disturb the next one."""
    run_here(tmp_path, logs)
    rows = published(tmp_path)
    work = tmp_path / "pipeline_data" / "intermediate"
    before = set(work.glob("store/rows/*"))
    program = start("--input", logs, "--engine", "polars", "--full-refresh", "--json", cwd=tmp_path)
    wait_for(lambda: any(set(work.glob("store/rows/*")) - before))
    program.send_signal(how)
    ended = finish(program)
    assert ended.code == (130 if how is signal.SIGINT else -signal.SIGKILL)
    if how is signal.SIGINT:
        assert "interrupted" in ended.answer["error"]
    assert published(tmp_path) == rows
    command_json("--input", logs, cwd=tmp_path)
    assert published(tmp_path) == rows
    assert not (work / ".logmill.lock").exists()
