"""Runs that find nothing new: the published version stays, and the ones before it are not pushed out."""

import random
from pathlib import Path

import pytest

from tests.end_to_end.days import expected, write_day
from tests.end_to_end.program import published, run, run_json

OF_THE_RUN = ("run_id", "seconds", "peak_memory_bytes", "throughput_bytes_per_second", "new")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A version of two logs, then one of three and a file that is none."""
    (tmp_path / "logs").mkdir()
    for number in range(2):
        write_day(tmp_path / "logs" / f"{number}.csv", random.Random(number))
    run_json("--input", "logs", cwd=tmp_path)
    write_day(tmp_path / "logs" / "2.csv", random.Random(2))
    (tmp_path / "logs" / "none.csv").write_text("a,b\n1,2\n")
    run_json("--input", "logs", cwd=tmp_path, code=3)
    return tmp_path


def versions(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "pipeline_data" / "output.versions").glob("2*"))


def logs_of(place: Path) -> list[Path]:
    return sorted((place / "logs").glob("[0-9].csv"))


def test_however_often_it_runs_no_other_version_goes(place: Path) -> None:
    before, rows = versions(place), published(place)
    assert len(before) == 2
    first = run_json("--input", "logs", "--full-refresh", cwd=place, code=3)
    assert len(versions(place)) == 3, "of files that were read anew"
    before = versions(place)
    for _ in range(3):
        answer = run_json("--input", "logs", cwd=place, code=3)
        same = {name: value for name, value in answer.items() if name not in OF_THE_RUN}
        assert same == {name: first[name] for name in same}
        assert not any(value for name, value in answer["new"].items() if not name.startswith("reused"))
        assert versions(place) == before
    (place / "logs" / "none.csv").unlink()
    assert run("--input", "logs", "--engine", "polars", cwd=place).code == 0, "nothing is refused: a new version"
    again = run("--input", "logs", "--engine", "polars", cwd=place)
    assert "nothing has changed since version" in again.out
    assert versions(place)[:2] == before[1:]
    assert published(place) == rows == expected(logs_of(place))[0]
    left = [path.name for path in (place / "pipeline_data" / "intermediate").glob("run-*")]
    assert left == [f"run-{versions(place)[-1]}"]
    write_day(place / "logs" / "3.csv", random.Random(3))
    run_json("--input", "logs", cwd=place)
    assert published(place) == expected(logs_of(place))[0]
    assert run("rollback", cwd=place).code == 0
    assert published(place) == rows


@pytest.mark.parametrize("damage", ["file", "folder", "bytes", "record", "geo", "quarantine"])
def test_a_version_that_is_damaged_is_replaced(place: Path, damage: str) -> None:
    rows, before = published(place), versions(place)
    folder = (place / "pipeline_data" / "output").resolve().parent
    file = next(folder.glob("data/*/*.parquet"))
    victims = {"record": folder / "run.json", "geo": folder / "geo.json"}
    if damage == "folder":
        file.unlink()
        file.parent.rmdir()
    elif damage == "bytes":
        file.write_bytes(b"PAR1")
    elif damage == "quarantine":
        (folder / "quarantine" / "refused.parquet").unlink()
    else:
        victims.get(damage, file).unlink()
    run_json("--input", "logs", cwd=place, code=3)
    assert len(versions(place)) == len(before) + 1
    assert published(place) == rows


def test_an_input_that_became_empty_takes_nothing_out(place: Path) -> None:
    rows, before = published(place), versions(place)
    for path in (place / "logs").iterdir():
        path.unlink()
    error = run_json("--input", "logs", "--prune-missing", cwd=place, code=3)["error"]
    assert "With --prune-missing every file would be taken out" in error
    assert before[-1] in error
    assert "not mounted" in error
    assert "--prune-missing" not in run_json("--input", "logs", cwd=place, code=3)["error"]
    assert (published(place), versions(place)) == (rows, before)


def test_an_input_that_was_added_is_known_from_then_on_though_nothing_has_changed(place: Path) -> None:
    (place / "link").symlink_to("logs")
    for path in (place / "logs").glob("none.csv"):
        path.unlink()
    run_json("--input", "link", "--full-refresh", cwd=place)
    (place / "logs").rename(place / "moved")
    (place / "link").unlink()
    (place / "link").symlink_to("moved")
    run_json("--input", "link", cwd=place, code=2)
    run_json("--input", "link", "--add", cwd=place)
    kept = versions(place)
    run_json("--input", "link", cwd=place)
    assert versions(place) == kept, "and here nothing has"
