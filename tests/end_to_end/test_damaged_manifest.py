"""A manifest that is damaged, empty, of another format or contradicts itself: no command ends with a fault in the
program, ``--full-refresh`` needs nothing of it, and the result is right."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.history.manifest import MANIFEST_FILE, UNUSABLE_FILE
from pipeline.planning.run_options import RunOptions
from tests.end_to_end.command import command, command_json
from tests.end_to_end.days import expected, write_day
from tests.end_to_end.program import published, read_result
from tests.harness import run_here

FULL_REFRESH, PRUNE = RunOptions(full_refresh=True), RunOptions(prune_missing=True)
WORK = Path("pipeline_data") / "intermediate"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three logs of some splits each were read and published."""
    (tmp_path / "logs").mkdir()
    for number in range(3):
        write_day(tmp_path / "logs" / f"{number}.csv", random.Random(number))
    run_here(tmp_path, SPLIT_BYTES=5_000)
    return tmp_path


def damage(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / WORK / MANIFEST_FILE, isolation_level=None)) as manifest:
        manifest.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            manifest.execute(statement)


def check(folder: Path) -> None:
    """The result is that of DuckDB over the logs, and every question has an answer."""
    assert published(folder) == expected(sorted((folder / "logs").glob("*.csv")))[0]


UNUSABLE = {
    "no database": lambda path: path.write_bytes(b"no database" * 1000),
    "cut in the middle": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "another format": lambda path: damage(path.parents[2], "PRAGMA user_version = 99"),
    "a table less": lambda path: damage(path.parents[2], "DROP TABLE counted"),
    "rows that refer to nothing": lambda path: damage(path.parents[2], "DELETE FROM versions"),
    "values of another kind": lambda path: damage(path.parents[2], "UPDATE files SET path = 7"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_full_refresh_needs_nothing_of_the_manifest(kind: str, folder: Path) -> None:
    versions = folder / "pipeline_data" / "output.versions"
    before = {path: read_result(path / "data") for path in versions.glob("2*")}
    UNUSABLE[kind](folder / WORK / MANIFEST_FILE)
    result = run_here(folder, options=FULL_REFRESH)
    assert result.status == "ok"
    check(folder)
    assert {path: read_result(path / "data") for path in before} == before, "what was published before is still whole"
    assert (folder / WORK / UNUSABLE_FILE).exists()
    (note,) = [note for note in result.notes if "could not be used" in note]
    assert UNUSABLE_FILE in note
    again = run_here(folder)
    assert again.new.reused_files == 3
    assert not [note for note in again.notes if "could not be used" in note]


def test_without_it_an_unusable_manifest_is_named(folder: Path) -> None:
    """Also by questions; a dry run with --full-refresh says what that would do."""
    manifest = folder / WORK / MANIFEST_FILE
    manifest.write_bytes(b"no database" * 1000)
    answer = command_json("--input", "logs", cwd=folder, code=5)
    assert "--full-refresh" in answer["error"]
    assert manifest.read_bytes() == b"no database" * 1000, "nothing is set aside that nobody gave up"
    for words in (["status"], ["run", "--input", "logs", "--dry-run"]):
        ended = command(*words, cwd=folder)
        assert (ended.code, "--full-refresh" in ended.err) == (5, True)
    dry = command("--input", "logs", "--dry-run", "--full-refresh", cwd=folder)
    assert (dry.code, "3 read" in dry.out) == (0, True)


def test_an_empty_manifest_is_a_new_one_and_the_summary_says_so(folder: Path) -> None:
    (folder / WORK / MANIFEST_FILE).write_bytes(b"")
    result = run_here(folder)
    assert any("was empty" in note for note in result.notes)
    check(folder)


LAST_SPLIT = "WHERE number = (SELECT max(number) FROM splits)"
CONTRADICTIONS = {
    "a split without a result": f"UPDATE splits SET result = NULL {LAST_SPLIT}",
    "a result that is no JSON": f"UPDATE splits SET result = '{{' {LAST_SPLIT}",
    "a result without counts": f"UPDATE splits SET result = '{{}}' {LAST_SPLIT}",
    "counts that do not balance": f"UPDATE splits SET result = json_set(result, '$.records', 1) {LAST_SPLIT}",
    "splits that do not follow": f"UPDATE splits SET result = json_set(result, '$.start', 17) {LAST_SPLIT}",
    "a split that is lost": f"DELETE FROM splits {LAST_SPLIT}",
    "a header that is lost": "UPDATE files SET header = '' WHERE id = 3",
    "a header of something else": "UPDATE files SET header = '[]' WHERE id = 3",
}


@pytest.mark.parametrize("published_before", [True, False], ids=["counted", "never published"])
@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_what_the_manifest_contradicts_is_read_again(kind: str, published_before: bool, folder: Path) -> None:
    """As an earlier release left it after a full disk, and its neighbours."""
    if not published_before:
        shutil.rmtree(folder / "pipeline_data" / "output.versions")
        (folder / "pipeline_data" / "output").unlink()
        damage(folder, "DELETE FROM versions", "DELETE FROM counted")
    damage(folder, CONTRADICTIONS[kind])
    result = run_here(folder)
    check(folder)
    assert result.new.repaired_files == 1
    (note,) = [note for note in result.notes if "contradicted itself" in note]
    assert note.endswith("logs/2.csv")
    again = run_here(folder)
    assert (again.new.repaired_files, again.new.reused_files) == (0, 3)


@pytest.mark.parametrize("kind", ["a split without a result", "a result that is no JSON"])
def test_no_question_fails_on_what_the_manifest_contradicts(kind: str, folder: Path) -> None:
    """A file that counts and cannot be explained is named, with what to do; nothing is a fault in the program."""
    damage(folder, CONTRADICTIONS[kind])
    for words, code in {
        ("status",): 0,
        ("run", "--input", "logs", "--dry-run"): 0,
        ("plan", "--input", "logs"): 0,
        ("explain", "--user", "u1"): 3,
        ("explain", "id-1"): 3,
        ("geo-diff", "--geo-db", "nowhere.mmdb"): 2,
    }.items():
        ended = command(*words, cwd=folder)
        assert ended.code == code, (words, ended.err)
        assert "fault in the program" not in ended.err + ended.out
        if code == 3:
            assert "logs/2.csv" in ended.err
            assert "Run again" in ended.err


@pytest.mark.parametrize("kind", ["a split without a result", "counts that do not balance"])
def test_what_cannot_be_read_again_is_named(kind: str, folder: Path) -> None:
    """The contradicted file has left: it counts, and it can be neither mixed in nor read."""
    before = published(folder)
    damage(folder, CONTRADICTIONS[kind])
    (folder / "logs" / "2.csv").unlink()
    error = command_json("--input", "logs", cwd=folder, code=3)["error"]
    assert "--prune-missing" in error
    assert "2.csv" in error
    assert published(folder) == before
    run_here(folder, options=PRUNE)
    check(folder)


def test_counts_of_a_version_that_cannot_be_read_cost_time_alone(folder: Path) -> None:
    damage(folder, "UPDATE versions SET base = '{'")
    write_day(folder / "logs" / "3.csv", random.Random(3))
    assert run_here(folder).status == "ok"
    check(folder)


def test_a_counted_file_without_a_row_is_read_again(folder: Path) -> None:
    damage(folder, "DELETE FROM splits WHERE file = 3", "DELETE FROM files WHERE id = 3")
    result = run_here(folder)
    check(folder)
    assert any("lost from the manifest: 1 file;" in note for note in result.notes)
