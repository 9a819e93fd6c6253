"""Links are followed within the input folder, and not out of it."""

import os
from pathlib import Path

import pytest

from pipeline.reading.input_files import refuse_outside


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for folder in ("in/deep", "in/deeper", "out", "in-too"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("in/a.csv", "in/deep/b.csv", "out/c.csv", "in-too/d.csv"):
        (tmp_path / name).touch()
    (tmp_path / "in/inside.csv").symlink_to("deep/b.csv")
    (tmp_path / "in/outside.csv").symlink_to(tmp_path / "out/c.csv")
    (tmp_path / "in/beside.csv").symlink_to("../in-too/d.csv")
    (tmp_path / "in/chain.csv").symlink_to("outside.csv")
    (tmp_path / "in/folder").symlink_to("../out")
    (tmp_path / "way-in").symlink_to("in")
    return tmp_path


def names(place: Path, pattern: str, given: list[str]) -> tuple[list[str], list[str]]:
    inside, refused = refuse_outside(str(place / pattern), [str(place / name) for name in given])
    return [os.path.relpath(path, place) for path in inside], [os.path.relpath(path, place) for path in refused]


@pytest.mark.parametrize("folder", ["in", "way-in"])
def test_a_folder(place: Path, folder: str) -> None:
    given = [f"{folder}/{name}.csv" for name in ("a", "inside", "outside", "beside", "chain")]
    assert names(place, folder, given) == (given[:2], given[2:])


def test_a_glob(place: Path) -> None:
    given = ["in/a.csv", "in/folder/c.csv", "in/deep/b.csv", "in/outside.csv"]
    assert names(place, "in/**/*.csv", given) == ([given[0], given[2]], [given[1], given[3]])
    assert names(place, "i[n]/*.csv", given) == (given, [])


def test_a_file_is_taken_as_it_is_named(place: Path) -> None:
    assert names(place, "in/outside.csv", ["in/outside.csv"]) == (["in/outside.csv"], [])


def test_the_reason_names_the_target(place: Path) -> None:
    _, refused = refuse_outside(str(place / "in"), [str(place / "in" / "outside.csv")])
    assert str(place / "out" / "c.csv") in refused[str(place / "in" / "outside.csv")]
