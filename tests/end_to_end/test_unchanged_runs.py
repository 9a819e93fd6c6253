"""Runs that find nothing new: the published version stays, and the ones before it are not pushed out."""

import random
from pathlib import Path

import pytest

from tests.end_to_end.command import command, command_json
from tests.end_to_end.days import expected, write_day
from tests.end_to_end.program import published
from tests.harness import run_here

OF_THE_RUN = (
    "run_id",
    "seconds",
    "peak_memory_bytes",
    "throughput_bytes_per_second",
    "new",
    "notes",
    "plan",
    "publication",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A version of two logs, then one of three and a file that is none."""
    (tmp_path / "logs").mkdir()
    for number in range(2):
        write_day(tmp_path / "logs" / f"{number}.csv", random.Random(number))
    run_here(tmp_path)
    write_day(tmp_path / "logs" / "2.csv", random.Random(2))
    (tmp_path / "logs" / "none.csv").write_text("a,b\n1,2\n")
    assert run_here(tmp_path).status == "partial"
    return tmp_path


def versions(folder: Path) -> list[str]:
    """In the order in which they were published; names of one second are in no order."""
    folders = (folder / "pipeline_data" / "output.versions").glob("2*")
    return [path.name for path in sorted(folders, key=lambda path: path.stat().st_mtime_ns)]


def logs_of(folder: Path) -> list[Path]:
    return sorted((folder / "logs").glob("[0-9].csv"))


def test_however_often_it_runs_no_other_version_goes(folder: Path) -> None:
    before, rows = versions(folder), published(folder)
    assert len(before) == 2
    first = command_json("--input", "logs", "--full-refresh", cwd=folder, code=6)
    assert len(versions(folder)) == 3, "of files that were read anew"
    before = versions(folder)
    for _ in range(3):
        answer = command_json("--input", "logs", cwd=folder, code=6)
        same = {name: value for name, value in answer.items() if name not in OF_THE_RUN}
        assert same == {name: first[name] for name in same}
        assert (first["publication"], answer["publication"]) == ("yes", "unchanged")
        assert not any(value for name, value in answer["new"].items() if not name.startswith("reused"))
        assert versions(folder) == before
    (folder / "logs" / "none.csv").unlink()
    assert command("--input", "logs", "--engine", "polars", cwd=folder).code == 0, "nothing is refused: a new version"
    again = command("--input", "logs", "--engine", "polars", cwd=folder)
    assert "nothing has changed since version" in again.out
    assert versions(folder)[:2] == before[1:]
    assert published(folder) == rows == expected(logs_of(folder))[0]
    runs = [path.name for path in (folder / "pipeline_data" / "intermediate").glob("run-*")]
    assert runs == [f"run-{versions(folder)[-1]}"]
    write_day(folder / "logs" / "3.csv", random.Random(3))
    command_json("--input", "logs", cwd=folder)
    assert published(folder) == expected(logs_of(folder))[0]
    assert command("rollback", cwd=folder).code == 0
    assert published(folder) == rows


@pytest.mark.parametrize("damage", ["file", "folder", "bytes", "record", "geo", "quarantine"])
def test_a_version_that_is_damaged_is_replaced(folder: Path, damage: str) -> None:
    rows, before = published(folder), versions(folder)
    version = (folder / "pipeline_data" / "output").resolve().parent
    file = next(version.glob("data/*/*.parquet"))
    victims = {"record": version / "run.json", "geo": version / "geo.json"}
    if damage == "folder":
        file.unlink()
        file.parent.rmdir()
    elif damage == "bytes":
        file.write_bytes(b"PAR1")
    elif damage == "quarantine":
        (version / "quarantine" / "refused.parquet").unlink()
    else:
        victims.get(damage, file).unlink()
    command_json("--input", "logs", cwd=folder, code=6)
    assert len(versions(folder)) == len(before) + 1
    assert published(folder) == rows


def test_an_input_that_became_empty_takes_nothing_out(folder: Path) -> None:
    rows, before = published(folder), versions(folder)
    for path in (folder / "logs").iterdir():
        path.unlink()
    error = command_json("--input", "logs", "--prune-missing", cwd=folder, code=3)["error"]
    assert "With --prune-missing every file would be removed" in error
    assert before[-1] in error
    assert "not mounted" in error
    assert "--prune-missing" not in command_json("--input", "logs", cwd=folder, code=3)["error"]
    assert (published(folder), versions(folder)) == (rows, before)


def test_an_input_that_was_added_is_known_from_then_on_though_nothing_has_changed(folder: Path) -> None:
    (folder / "link").symlink_to("logs")
    for path in (folder / "logs").glob("none.csv"):
        path.unlink()
    command_json("--input", "link", "--full-refresh", cwd=folder)
    (folder / "logs").rename(folder / "moved")
    (folder / "link").unlink()
    (folder / "link").symlink_to("moved")
    command_json("--input", "link", cwd=folder, code=2)
    command_json("--input", "link", "--add", cwd=folder)
    kept = versions(folder)
    command_json("--input", "link", cwd=folder)
    assert versions(folder) == kept, "and here nothing has"
