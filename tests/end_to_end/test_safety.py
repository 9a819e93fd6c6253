"""What is not Logmill's stays as it is, and neither limits of the system nor odd paths change a result."""

import resource
import subprocess
import sys
from pathlib import Path

from pipeline.planning.run_options import RunOptions
from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, environment, published, read_result
from tests.harness import run_here

ROOT = Path(__file__).resolve().parents[2]


def one_log(folder: Path) -> Path:
    path = folder / "one.csv"
    path.write_text(HEADER + "1,ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1.5\n")
    return path


def test_folders_that_only_look_like_ours_survive(tmp_path: Path) -> None:
    log = one_log(tmp_path)
    between, versions = tmp_path / "between", tmp_path / "out.versions"
    for folder in (between / "run-notes", versions / "aaa-mine", versions / ".new-plan"):
        folder.mkdir(parents=True)
        (folder / "note").write_text("mine")
    (between / "run-x.txt").write_text("mine")
    for _ in range(2):
        anew = RunOptions(full_refresh=True)
        run_here(tmp_path, log, anew, OUTPUT_DIR="out", INTERMEDIATE_DIR="between", KEEP_VERSIONS=1)
    command_json("--input", log, "--output", "out", "--intermediate", "between", "--full-refresh", cwd=tmp_path,
             env=environment(KEEP_VERSIONS=1))  # fmt: skip
    assert (between / "run-x.txt").exists()
    assert all((f / "note").exists() for f in (between / "run-notes", versions / "aaa-mine", versions / ".new-plan"))
    assert len([path for path in versions.iterdir() if path.name.startswith("2")]) == 1


def test_the_generator_overwrites_no_log_of_yours(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    log = tmp_path / "mine" / "activity_0009_2026-01-09.csv"
    log.write_text("precious")
    ended = command("generate", "--files", 1, "--size", "10kB", "--output", "mine", cwd=tmp_path)
    assert ended.code == 2
    assert log.name in ended.err
    assert log.read_text() == "precious"


def test_the_greatest_watch_times_of_many_users(tmp_path: Path) -> None:
    rows = "".join(f"{n},u{n},2026-01-01T00:00:00Z,v,tv,8.8.8.8,1000000000\n" for n in range(12_000))
    (tmp_path / "big.csv").write_text(HEADER + rows)
    answer = command_json("--input", "big.csv", cwd=tmp_path, env=environment(BUCKETS=1))
    assert answer["total_watch_time_min"] == 12_000 * 1e9
    assert {row[2] for row in published(tmp_path)} == {1e9}


def test_a_total_that_no_integer_holds_stops_the_run(tmp_path: Path) -> None:
    rows = "".join(f"{n},ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1000000000\n" for n in range(9_300))
    (tmp_path / "big.csv").write_text(HEADER + rows)
    answer = command_json("--input", "big.csv", cwd=tmp_path, code=1)
    assert "add up to more than 9.2e12 minutes" in answer["error"]
    assert "'ann'" not in answer["error"]
    assert not (tmp_path / "pipeline_data" / "output").exists()


def test_brackets_in_paths_and_ids_in_several_buckets(tmp_path: Path) -> None:
    rows = "".join(f"{n % 50},u{n},2026-01-01T00:00:00Z,v,tv,8.8.8.8,{n}\n" for n in range(500))
    (tmp_path / "shared.csv").write_text(HEADER + rows)
    answer = command_json("--input", "shared.csv", "--intermediate", "t[1]*", cwd=tmp_path, env=environment(BUCKETS=64))
    assert (answer["kept"], answer["conflicts"]) == (50, 450)
    assert {row[1] for row in published(tmp_path)} == {f"u{n}" for n in range(450, 500)}


def test_more_splits_than_open_files(logs: Path, tmp_path: Path) -> None:
    run_here(tmp_path, logs, OUTPUT_DIR="whole")
    cut = environment(OUTPUT_DIR="cut", SPLIT_BYTES=15_000)

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    ended = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "--input", str(logs), "--engine", "polars", "--quiet"],
        cwd=tmp_path, env=cut, preexec_fn=few_files, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert read_result(tmp_path / "cut") == read_result(tmp_path / "whole")


def test_nothing_is_generated_before_what_was_asked_is_possible(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    answer = command_json("--output", "mine", cwd=tmp_path, code=2)
    assert answer["error"].startswith("--output '")
    assert not (tmp_path / "pipeline_data").exists()
