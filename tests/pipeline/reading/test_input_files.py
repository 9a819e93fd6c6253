"""Logs are found by their names, links are followed within the input folder alone, and a changed file is noticed."""

import os
from pathlib import Path

import pytest
import xxhash

from pipeline.errors import InputError
from pipeline.machine import display_name
from pipeline.reading import input_files
from pipeline.reading.header import Header
from pipeline.reading.input_files import (
    InputFile,
    file_size,
    find_input,
    find_inputs,
    hash_file,
    refuse_outside,
    stamp,
    unchanged,
)

HEADER = Header(",", ("log_id",), {"log_id": 0}, 7, 2, 5.0)

# What is found


def test_a_folder_gives_its_logs_and_names_the_rest(tmp_path: Path) -> None:
    logs = ["b.csv", "a.TSV", "[1].csv", "-x.csv", "a b\nc.csv", "d.csv.gz", "e.TSV.Zst"]
    others = ["c.txt", "f.csv.bz2", "g.gz"]
    for name in logs + others:
        (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("/etc/hosts")
    (tmp_path / "inside.csv").symlink_to("b.csv")
    (tmp_path / "nowhere.csv").symlink_to("gone.csv")
    files, skipped = find_inputs(str(tmp_path))
    assert [os.path.basename(path) for path in files] == sorted([*logs, "link.csv", "inside.csv"])
    assert [os.path.basename(path) for path in skipped] == sorted([*others, "folder.csv", "nowhere.csv"])


def test_names_are_in_order_of_their_bytes(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in (b"\xff.csv", "é.csv".encode(), b"a.csv", b"Z.csv")]
    for name in names:
        (tmp_path / name).touch()
    files, _ = find_inputs(str(tmp_path))
    assert [os.path.basename(path) for path in files] == ["Z.csv", "a.csv", "é.csv", os.fsdecode(b"\xff.csv")]
    assert display_name(os.path.basename(files[-1])) == "\\xff.csv"


def test_an_existing_path_is_literal_and_anything_else_a_glob(tmp_path: Path) -> None:
    (tmp_path / "[1].csv").touch()
    (tmp_path / "1.csv").touch()
    assert find_inputs(str(tmp_path / "[1].csv")) == ([str(tmp_path / "[1].csv")], [])
    assert find_inputs(str(tmp_path / "?.csv"))[0] == [str(tmp_path / "1.csv")]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none", "does not exist"),
        ("none*.csv", "no file matches"),
        ("a.txt", "is no log by its name"),
        ("nowhere.csv", "does not exist"),
        ("pipe.csv", "is neither a file nor a folder"),
    ],
)
def test_what_cannot_be_the_input_is_named(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "nowhere.csv").symlink_to("gone.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match=reason) as raised:
        find_inputs(str(tmp_path / name))
    assert name in str(raised.value)


def test_a_folder_that_may_not_be_entered_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"cannot be listed: Permission denied\. Allow this user"):
        find_inputs(str(tmp_path))


def test_a_folder_without_logs_says_what_was_skipped_and_what_would_go(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02d}.txt").touch()
    with pytest.raises(InputError) as raised:
        find_input(str(tmp_path), "v-7")
    message = str(raised.value)
    assert "00.txt" in message
    assert "09.txt" in message
    assert "10.txt" not in message
    assert "removed from version v-7" in message
    with pytest.raises(InputError) as raised:
        find_input(str(tmp_path))
    assert "--prune-missing" not in str(raised.value)


def test_the_input_is_what_lies_inside(tree: Path) -> None:
    (tree / "in/notes.txt").touch()
    found = find_input(str(tree / "in"))
    assert [os.path.relpath(path, tree) for path in found.paths] == ["in/a.csv", "in/inside.csv"]
    assert {os.path.relpath(path, tree) for path in found.outside} == {
        *("in/outside.csv", "in/beside.csv", "in/chain.csv"),
    }
    assert [os.path.relpath(path, tree) for path in found.skipped] == [
        "in/deep",
        "in/deeper",
        "in/folder",
        "in/notes.txt",
    ]


# Links


@pytest.fixture
def tree(tmp_path: Path) -> Path:
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


def names(tree: Path, pattern: str, given: list[str]) -> tuple[list[str], list[str]]:
    inside, refused = refuse_outside(str(tree / pattern), [str(tree / name) for name in given])
    return [os.path.relpath(path, tree) for path in inside], [os.path.relpath(path, tree) for path in refused]


@pytest.mark.parametrize("folder", ["in", "way-in"])
def test_links_of_a_folder(tree: Path, folder: str) -> None:
    given = [f"{folder}/{name}.csv" for name in ("a", "inside", "outside", "beside", "chain")]
    assert names(tree, folder, given) == (given[:2], given[2:])


def test_links_of_a_glob(tree: Path) -> None:
    given = ["in/a.csv", "in/folder/c.csv", "in/deep/b.csv", "in/outside.csv"]
    assert names(tree, "in/**/*.csv", given) == ([given[0], given[2]], [given[1], given[3]])
    assert names(tree, "i[n]/*.csv", given) == (given, [])


def test_a_file_is_taken_as_it_is_named(tree: Path) -> None:
    assert names(tree, "in/outside.csv", ["in/outside.csv"]) == (["in/outside.csv"], [])


def test_the_reason_names_the_target(tree: Path) -> None:
    _, refused = refuse_outside(str(tree / "in"), [str(tree / "in" / "outside.csv")])
    assert str(tree / "out" / "c.csv") in refused[str(tree / "in" / "outside.csv")]


# Files


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"log_id\n1\n")
    file = InputFile(str(path), stamp(str(path)), HEADER)
    assert unchanged(file)
    path.write_bytes(b"log_id\n1\n2\n")
    assert not unchanged(file)
    path.unlink()
    assert not unchanged(file)


def test_a_size_is_that_of_the_file_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"12345")
    assert file_size(str(tmp_path / "a.csv")) == 5
    assert file_size(str(tmp_path / "gone.csv")) == 0


@pytest.mark.parametrize("size", [0, 1, 4096, 10_000])
def test_a_hash_is_of_all_bytes(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "_STEP", 4096)
    content = bytes(number % 251 for number in range(size))
    (tmp_path / "a.csv").write_bytes(content)
    assert hash_file(str(tmp_path / "a.csv")) == xxhash.xxh3_128_hexdigest(content)


def test_expected_rows_are_judged_by_the_width_of_lines() -> None:
    assert InputFile("a", (57, 0, 0), HEADER).expected_rows == 10
    assert InputFile("a", (3, 0, 0), HEADER).expected_rows == 0
    assert InputFile("a", (57, 0, 0), None).expected_rows == 0


def test_hidden_files_are_skipped_by_name(tmp_path: Path) -> None:
    for name in ("a.csv", ".a.csv", "._a.csv", ".DS_Store", "._b.csv.gz"):
        (tmp_path / name).write_bytes(b"")
    chosen, skipped = find_inputs(str(tmp_path))
    assert [Path(path).name for path in chosen] == ["a.csv"]
    assert [Path(path).name for path in skipped] == [".DS_Store", "._a.csv", "._b.csv.gz", ".a.csv"]
    chosen, skipped = find_inputs(str(tmp_path / ".*"))
    assert [Path(path).name for path in chosen] == [".a.csv"], "who asks for hidden files gets them"
    assert [Path(path).name for path in skipped] == [".DS_Store", "._a.csv", "._b.csv.gz"]
    assert find_inputs(str(tmp_path / ".a.csv")) == ([str(tmp_path / ".a.csv")], [])
