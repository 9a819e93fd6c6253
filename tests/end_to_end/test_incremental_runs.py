"""Runs that go on from earlier ones: after every day the result is that of everything computed anew."""

import os
import random
import shutil
import signal
import sqlite3
from pathlib import Path

import polars as pl
import pytest

from pipeline.faults import VARIABLE
from pipeline.planning.run_options import RunOptions
from tests.end_to_end.command import command, command_json
from tests.end_to_end.days import expected, make_old, write_day
from tests.end_to_end.program import HEADER, environment, finish, published, read_result, run, run_json, start, wait_for
from tests.harness import run_here

DAYS = int(os.environ.get("LOGMILLTEST_DAYS", "6"))
REBUILD_EVERY = 1 if DAYS >= 30 else 5
"""After so many days of the simulation everything is also computed anew."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four logs, which a run has read."""
    (tmp_path / "logs").mkdir()
    for number in range(4):
        write_day(tmp_path / "logs" / f"{number}.csv", random.Random(number))
    run_here(tmp_path)
    return tmp_path


def check(folder: Path, answer: dict, logs: list[Path]) -> None:
    rows, counts = expected(logs)
    assert published(folder) == rows
    assert {name: answer[name] for name in counts} == counts


def logs_of(folder: Path) -> list[Path]:
    return sorted((folder / "logs").glob("*.csv"))


def test_a_second_run_reads_nothing_and_changes_nothing(folder: Path) -> None:
    answer = command_json("--input", folder / "logs", cwd=folder)
    check(folder, answer, logs_of(folder))
    new = answer["new"]
    assert (new["files"], new["bytes_read"], new["kept"], new["duplicates"]) == (0, 0, 0, 0)
    assert (new["reused_files"], answer["files"]) == (4, 4)


def test_where_much_changed_all_is_added_up_anew_and_the_summary_says_so(folder: Path) -> None:
    write_day(folder / "logs" / "5.csv", random.Random(5), rows=20)
    few = command("--input", "logs", "--engine", "polars", cwd=folder)
    write_day(folder / "logs" / "6.csv", random.Random(6), rows=3000)
    many = command("--input", "logs", "--engine", "polars", cwd=folder)
    assert "added up anew" not in few.out
    assert "all rows were added up anew, not only what changed: more than 25% of them changed" in " ".join(
        many.out.split()
    )
    assert published(folder) == expected(logs_of(folder))[0]


def test_thirty_days(tmp_path: Path) -> None:
    """Files arrive late, twice, renamed, corrected and withdrawn (LOGMILLTEST_DAYS of them, in CI few)."""
    dice = random.Random(30)
    logs, away = tmp_path / "logs", tmp_path / "away"
    logs.mkdir()
    away.mkdir()
    for number in range(6):
        write_day(logs / f"start-{number}.csv", dice)
    counted: dict[str, Path] = {}
    for day in range(DAYS):
        write_day(logs / f"day-{day}.csv", dice, rows=100)
        prune = day % 4 == 3
        present = logs_of(tmp_path)
        event = ("late", "twice", "renamed", "corrected", "withdrawn")[day % 5]
        if event == "late":
            write_day(logs / f"late-{day}.csv", dice, rows=60)
        elif event == "twice":
            shutil.copy2(dice.choice(present), logs / f"copy-{day}.csv")
        elif event == "renamed":
            old = dice.choice([path for path in present if path.name in counted])
            old.rename(logs / f"renamed-{day}.csv")
            del counted[old.name]
        elif event == "corrected":
            write_day(dice.choice(present), dice, rows=120)
        else:
            withdrawn = dice.choice([path for path in present if path.name in counted])
            shutil.copy2(withdrawn, away / withdrawn.name)
            counted[withdrawn.name] = away / withdrawn.name
            withdrawn.unlink()
        answer = command_json("--input", "logs", *(["--prune-missing"] if prune else []), cwd=tmp_path)
        if prune:
            counted = {name: path for name, path in counted.items() if path.parent == logs}
        counted |= {path.name: path for path in logs_of(tmp_path)}
        check(tmp_path, answer, sorted(counted.values()))
        if day % REBUILD_EVERY == REBUILD_EVERY - 1:
            anew = tmp_path / "anew"
            shutil.rmtree(anew, ignore_errors=True)
            anew.mkdir()
            for name, path in counted.items():
                shutil.copy2(path, anew / name)
            folders = {"OUTPUT_DIR": f"full-{day}", "INTERMEDIATE_DIR": "other"}
            full = run_here(tmp_path, "anew", **folders).to_json()
            assert read_result(tmp_path / f"full-{day}") == published(tmp_path)
            same = ("records_read", "kept", "duplicates", "conflicts", "rejected", "users", "files", "bytes_read")
            assert {name: full[name] for name in same} == {name: answer[name] for name in same}


def test_a_renamed_file_is_not_read_and_a_corrected_one_replaces_the_old(folder: Path) -> None:
    (folder / "logs" / "0.csv").rename(folder / "logs" / "first.csv")
    answer = command_json("--input", "logs", cwd=folder)
    assert (answer["new"]["files"], answer["new"]["renamed_files"]) == (0, 1)
    check(folder, answer, logs_of(folder))
    write_day(folder / "logs" / "first.csv", random.Random(99), rows=50)
    answer = command_json("--input", "logs", cwd=folder)
    assert (answer["new"]["files"], answer["new"]["replaced_files"]) == (1, 1)
    check(folder, answer, logs_of(folder))


def test_a_change_within_the_same_size_and_time_is_noticed(folder: Path) -> None:
    path = folder / "logs" / "0.csv"
    status = path.stat()
    path.write_text(path.read_text().replace(",2.5\n", ",9.5\n"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    check(folder, command_json("--input", "logs", cwd=folder), logs_of(folder))


def test_a_refused_successor_leaves_what_counted(folder: Path) -> None:
    before = published(folder)
    (folder / "logs" / "0.csv").write_text("torn")
    answer = command_json("--input", "logs", cwd=folder, code=6)
    assert answer["status"] == "partial"
    assert published(folder) == before


def test_what_has_left_stays_until_it_is_pruned(folder: Path) -> None:
    before, logs = published(folder), logs_of(folder)
    logs[0].unlink()
    answer = command_json("--input", "logs", cwd=folder)
    assert (answer["files"], answer["new"]["missing_files"]) == (4, 1)
    assert published(folder) == before
    ended = command("--input", "logs", "--engine", "polars", "--prune-missing", cwd=folder)
    assert "0.csv" in ended.out
    assert published(folder) == expected(logs[1:])[0]


def test_another_input_is_refused_added_or_started_over(folder: Path) -> None:
    (folder / "more").mkdir()
    write_day(folder / "more" / "x.csv", random.Random(7))
    before = published(folder)
    answer = command_json("--input", "more", cwd=folder, code=2)
    assert "--full-refresh" in answer["error"]
    assert published(folder) == before
    added = run_here(folder, "more", RunOptions(add=True)).to_json()
    check(folder, added, [*logs_of(folder), folder / "more" / "x.csv"])
    check(folder, command_json("--input", "logs", cwd=folder), [*logs_of(folder), folder / "more" / "x.csv"])
    check(folder, command_json("--input", "more", "--full-refresh", cwd=folder), [folder / "more" / "x.csv"])


def test_other_settings_are_not_mixed_in(folder: Path) -> None:
    answer = command_json("--input", "logs", "--geo-level", "country", cwd=folder)
    assert answer["new"]["files"] == 4
    assert {row[0] for row in published(folder)} == {"US", "PRIVATE", "INVALID"}
    (folder / "logs" / "0.csv").unlink()
    answer = command_json("--input", "logs", cwd=folder, code=3)
    assert "0.csv" in answer["error"]
    assert {row[0] for row in published(folder)} == {"US", "PRIVATE", "INVALID"}


def test_a_lost_file_of_the_store_is_made_anew(folder: Path) -> None:
    next((folder / "pipeline_data" / "intermediate" / "store" / "rows").iterdir()).unlink()
    answer = command_json("--input", "logs", cwd=folder)
    assert answer["new"]["files"] == 1
    check(folder, answer, logs_of(folder))


def test_a_lost_intermediate_folder_costs_time_alone(folder: Path) -> None:
    shutil.rmtree(folder / "pipeline_data" / "intermediate")
    check(folder, command_json("--input", "logs", cwd=folder), logs_of(folder))


def test_rollback_and_the_run_after_it(folder: Path) -> None:
    first = published(folder)
    write_day(folder / "logs" / "4.csv", random.Random(4))
    run_here(folder)
    second = published(folder)
    assert second != first
    assert command("rollback", cwd=folder).code == 0
    assert published(folder) == first
    assert command("rollback", cwd=folder).code == 3, "there is none before"
    assert command("rollback", "20260101T000000Z-abcdef", cwd=folder).code == 3
    check(folder, command_json("--input", "logs", cwd=folder), logs_of(folder))
    assert published(folder) == second


def test_the_version_that_readers_are_in_is_the_last_to_go(folder: Path) -> None:
    """After a rollback the oldest version is the one that was shown until now."""
    current = (folder / "pipeline_data" / "output").resolve()
    write_day(folder / "logs" / "4.csv", random.Random(4))
    run_here(folder, KEEP_VERSIONS=2)
    assert command("rollback", cwd=folder).code == 0
    before = read_result(current)
    command_json("--input", "logs", cwd=folder, env=environment(KEEP_VERSIONS=2))
    assert read_result(current) == before
    assert len(list(current.parents[1].glob("2*"))) == 2


def test_status_and_dry_run_change_nothing(folder: Path) -> None:
    write_day(folder / "logs" / "4.csv", random.Random(4))
    (folder / "logs" / "0.csv").unlink()
    before = picture(folder)
    dry = command("--input", "logs", "--dry-run", cwd=folder)
    assert dry.code == 0
    assert "3 reuse" in dry.out
    assert "1 read" in dry.out
    assert "1 keep" in dry.out
    status = command("status", cwd=folder)
    assert "3 counted; 1 counted, has left" in status.out
    assert "current" in status.out
    assert picture(folder) == before
    empty = folder / "empty"
    empty.mkdir()
    assert command("--input", folder / "logs", "--dry-run", cwd=empty).code == 0
    assert command("status", cwd=empty).code == 0
    assert not list(empty.iterdir())


def picture(folder: Path) -> dict[str, tuple[int, int]]:
    status = {path: path.lstat() for path in [folder, *folder.rglob("*")]}
    return {str(path): (found.st_mtime_ns, found.st_size) for path, found in status.items()}


@pytest.mark.parametrize(("point", "state"), [("manifest.finish", "1 interrupted"), ("publish.link.done", "5 counted")])
def test_a_look_after_a_killed_run_changes_nothing(point: str, state: str, folder: Path) -> None:
    """SQLite's journal is still there then."""
    write_day(folder / "logs" / "4.csv", random.Random(4))
    killed = run("--input", "logs", "--engine", "polars", cwd=folder, env=environment() | {VARIABLE: f"{point}:1"})
    assert killed.code == -signal.SIGKILL
    before = picture(folder)
    assert state in run("status", cwd=folder).out
    assert run("--input", "logs", "--dry-run", cwd=folder).code == 0
    assert picture(folder) == before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_is_continued(how: signal.Signals, tmp_path: Path) -> None:
    """The splits that were noted before the end are not read again."""
    (tmp_path / "logs").mkdir()
    write_day(tmp_path / "logs" / "a.csv", random.Random(1), rows=60_000)
    env = environment(SPLIT_BYTES=40_000, COMPILED_PARSER=0)
    program = start("--input", "logs", "--engine", "polars", "--json", cwd=tmp_path, env=env)
    manifest = tmp_path / "pipeline_data" / "intermediate" / "manifest.sqlite"
    wait_for(lambda: manifest.exists() and noted(manifest) > 0)
    program.send_signal(how)
    finish(program)
    answer = run_json("--input", "logs", cwd=tmp_path, env=env)
    assert answer["new"]["reused_splits"] > 0
    check(tmp_path, answer, logs_of(tmp_path))


def noted(manifest: Path) -> int:
    with sqlite3.connect(f"file:{manifest}?mode=ro", uri=True) as database:
        try:
            return database.execute("select count(*) from splits where result is not null").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def test_conflicts_of_a_file_that_left_are_kept(tmp_path: Path) -> None:
    """A record that lost before its file was removed keeps its bytes; one that loses afterwards, only its content."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.csv").write_text(HEADER + "1,ann,,v,tv,8.8.8.8,1\n1,ann,,v,tv,8.8.8.8,2\n2,bob,,v,tv,8.8.8.8,3\n")
    make_old(logs / "a.csv")
    run_here(tmp_path)
    (logs / "a.csv").unlink()
    (logs / "b.csv").write_text(HEADER + "2,bob,,v,tv,8.8.8.8,4\n")
    answer = command_json("--input", "logs", cwd=tmp_path)
    assert (answer["kept"], answer["conflicts"]) == (2, 2)
    conflicts = pl.read_parquet(
        tmp_path / "pipeline_data" / f"output.versions/{answer['run_id']}/quarantine/conflicts.parquet"
    )
    assert set(conflicts.select("file", "line", "value", "raw").rows()) == {
        ("logs/a.csv", 2, None, b"1,ann,,v,tv,8.8.8.8,1"),
        ("logs/a.csv", None, '["bob", "North America", 3.0]', None),
    }
