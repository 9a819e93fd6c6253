"""Runs whose input has records and of which none counts: nothing is published, and the reason is said."""

import json
from pathlib import Path

import pytest

from pipeline.errors import GATE_EXIT_CODE
from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, environment, published, run, run_json
from tests.harness import run_here
from tests.needs import needs_java

GOOD = "a1,ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1.5\n"
ANN = [("North America", "ann", 1.5, 1)]
BAD = [f"b{n},ben,2026-01-01T00:00:00Z,v,tv,8.8.8.8,0h{n}m\n" for n in range(4)]


def write_log(folder: Path, name: str, *rows: str) -> None:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / name).write_text(HEADER + "".join(rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published day, of which every watch time has another format now."""
    write_log(tmp_path, "day.csv", GOOD)
    run_here(tmp_path)
    write_log(tmp_path, "day.csv", *BAD)
    return tmp_path


def state(folder: Path) -> tuple[str, list[str]]:
    output = folder / "pipeline_data" / "output"
    versions = output.with_name("output.versions")
    return output.resolve().parent.name, sorted(path.name for path in versions.iterdir() if path.is_dir())


@pytest.mark.parametrize("engine", ["polars", pytest.param("spark", marks=needs_java)])
def test_a_version_with_rows_is_not_replaced_by_nothing(engine: str, folder: Path) -> None:
    before = state(folder)
    ended = run("--input", "logs", "--engine", engine, "--json", cwd=folder)
    assert ended.code == GATE_EXIT_CODE == 4, ended.err
    answer = ended.answer
    assert (answer["status"], answer["records_read"], answer["kept"], answer["rejected"]) == ("failed", 4, 0, 4)
    for part in ("all 4 records were rejected", "watch_time_not_a_number", "WATCH_TIME_COLUMN", "ALLOW_EMPTY_RESULT"):
        assert part in answer["error"]
    assert not any("left the result" in note for note in answer["notes"]), "nothing was published"
    assert any("would leave the result" in note for note in answer["notes"])
    assert (published(folder), state(folder)) == (ANN, before)
    (stopped,) = (folder / "pipeline_data" / "intermediate").glob("run-*/stopped/run.json")
    assert json.loads(stopped.read_text())["rejected_by_reason"] == {"watch_time_not_a_number": 4}


def test_logs_of_headers_and_directives_alone_are_empty(tmp_path: Path) -> None:
    write_log(tmp_path, "twice.csv", HEADER)
    (tmp_path / "logs" / "idle.csv").write_text(f"#Fields: {HEADER.replace(',', ' ')}#Date: 2026-01-01\n")
    result = run_here(tmp_path)
    assert (result.status, result.rejected_by_reason) == ("ok", {"repeated_header": 1, "directive": 1})
    assert result.quality == ()


def test_it_stays_so_until_the_log_is_mended(folder: Path) -> None:
    for _ in range(2):
        assert run_here(folder).stopped_by_gate
    write_log(folder, "more.csv", GOOD.replace("a1", "a2"))
    result = run_here(folder)
    assert (result.status, result.kept, result.records_read) == ("ok", 1, 5)
    (warning,) = result.quality
    assert (warning.name, warning.outcome, warning.count, warning.of) == ("all_rejected", "warn", 4, 5)
    assert "day.csv (all watch_time_not_a_number, see WATCH_TIME_COLUMN, though it had good records before)" in str(
        warning
    )
    assert not run_here(folder).quality, "the warning is for files that count for the first time"


def test_a_setting_lets_nothing_be_published(folder: Path) -> None:
    answer = command_json("--input", "logs", cwd=folder, env=environment(ALLOW_EMPTY_RESULT="yes"))
    assert (answer["status"], answer["output_rows"]) == ("ok", 0)
    assert [(entry["name"], entry["outcome"]) for entry in answer["quality"]] == [
        ("nothing_kept", "warn"), ("all_rejected", "warn"),
    ]  # fmt: skip
    assert published(folder) == []


def test_a_dry_run_only_says_what_would_be_read(folder: Path) -> None:
    ended = command("--input", "logs", "--dry-run", cwd=folder)
    assert ended.code == 0, ended.err
    assert "day.csv" in ended.out
    assert published(folder) == ANN


def test_a_first_run_that_keeps_nothing_publishes_nothing(tmp_path: Path) -> None:
    write_log(tmp_path, "day.csv", *BAD)
    ended = command("--input", "logs", "--engine", "polars", "--quiet", cwd=tmp_path)
    assert ended.code == 4
    assert "all 4 records were rejected" in ended.err
    assert "warning: all_rejected: 4 of 4 records (100.0000%): every record of logs/day.csv" in ended.err
    assert not (tmp_path / "pipeline_data" / "output").exists()


def test_a_refused_file_beside_one_without_records_replaces_nothing(folder: Path) -> None:
    write_log(folder, "day.csv")
    (folder / "logs" / "other.csv").write_text("no,header,here\n1,2,3\n")
    answer = command_json("--input", "logs", cwd=folder, code=4)
    assert "no file that can be read has a record (1 file was refused)" in answer["error"]
    assert published(folder) == ANN


def test_every_file_refused_is_still_a_fault_of_the_input(folder: Path) -> None:
    (folder / "logs" / "day.csv").write_text("no,header,here\n1,2,3\n")
    answer = command_json("--input", "logs", "--full-refresh", cwd=folder, code=3)
    assert "every input file was refused" in answer["error"]
    assert published(folder) == ANN


def test_an_interrupted_run_read_the_file_and_the_next_one_warns(folder: Path) -> None:
    write_log(folder, "more.csv", GOOD.replace("a1", "a2"))
    env = environment() | {"LOGMILLTEST_FAULT": "publish.rename:1"}
    assert run("--input", "logs", "--engine", "polars", cwd=folder, env=env).code == -9
    answer = run_json("--input", "logs", cwd=folder)
    assert answer["new"]["reused_files"] == 2
    (warning,) = answer["quality"]
    assert warning["name"] == "all_rejected"
    assert "logs/day.csv" in warning["detail"]
