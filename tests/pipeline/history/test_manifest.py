"""The manifest: what is noted stands in plain tables, all of a transaction or nothing, and faults are told apart."""

import os
import sqlite3
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import EnvironmentFault
from pipeline.history.known_files import Hint, KnownFile, KnownSplit
from pipeline.history.manifest import (
    MANIFEST_FILE,
    UNUSABLE_FILE,
    KnownVersion,
    Manifest,
    NewFile,
    UnusableManifest,
    set_aside,
    sqlite_errors_explained,
)
from tests.pipeline.history.samples import HEADER_JSON, counts, query

HINT = Hint(100, 10**18, 10**18 + 1, 2**40, True)
OUTPUT, OTHER = Path("/out"), Path("/other")


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    with Manifest(tmp_path) as opened:
        yield opened


def new_file(path: str = "/logs/a.csv", splits: int = 2) -> NewFile:
    cuts = tuple((10 * number, 10 * number + 10, number == 0) for number in range(splits))
    return NewFile(path, "a.csv", HINT, "settings", 100, HEADER_JSON, cuts)


def publish(manifest: Manifest, output: Path, name: str, files: list[int]) -> None:
    manifest.prepare_version(output, name, ["/logs"], files, '{"kept": 1}')
    manifest.confirm_version(output, name)


def test_a_file_comes_back_as_it_was_noted(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.history.manifest.time.time", lambda: 12.5)
    path = os.fsdecode(b"/logs/\xff \xe2\x82\xac.csv")
    ((id_, numbers),) = manifest.begin_files([new_file(path)])
    manifest.finish([(numbers[0], "{}")], [])
    manifest.finish([(numbers[1], '{"handed_over": 3}')], [(id_, "abc")])
    assert manifest.files() == [
        KnownFile(
            id_, path, "a.csv", HINT, "settings", "abc", 100, HEADER_JSON, 12.5,
            (
                KnownSplit(numbers[0], 0, 10, True, "{}"),
                KnownSplit(numbers[1], 10, 20, False, '{"handed_over": 3}'),
            ),
        )
    ]  # fmt: skip


def test_splits_are_in_the_order_of_their_bytes_also_when_they_were_divided(manifest: Manifest) -> None:
    ((_, (first, second)),) = manifest.begin_files([new_file()])
    (rest,) = manifest.divide_split(first, 4, [(4, 10, True)])
    (file,) = manifest.files()
    assert [(split.number, split.start, split.stop) for split in file.splits] == [
        (first, 0, 4),
        (rest, 4, 10),
        (second, 10, 20),
    ]


def test_numbers_are_never_given_again(manifest: Manifest) -> None:
    """Files of a split that was forgotten may still lie in the store."""
    ((one, before),) = manifest.begin_files([new_file()])
    manifest.forget_files([one])
    assert manifest.files() == []
    ((two, after),) = manifest.begin_files([new_file()])
    assert two > one
    assert min(after) > max(before)


def test_a_file_that_was_found_again_keeps_all_but_its_names(manifest: Manifest) -> None:
    ((id_, _),) = manifest.begin_files([new_file()])
    (before,) = manifest.files()
    hint = Hint(100, 5, 6, 7, False)
    manifest.note_names([(id_, "/moved/b.csv", "b.csv", hint, "hash")])
    (after,) = manifest.files()
    assert (after.path, after.shown, after.hint) == ("/moved/b.csv", "b.csv", hint)
    assert (after.id, after.fingerprint, after.splits) == (before.id, before.fingerprint, before.splits)


def test_versions_of_one_output_are_no_versions_of_another(manifest: Manifest) -> None:
    ((one, _), (two, _)) = manifest.begin_files([new_file(), new_file()])
    publish(manifest, OUTPUT, "v1", [one])
    manifest.prepare_version(OUTPUT, "v2", ["/logs", "/more"], [one, two], "{}")
    publish(manifest, OTHER, "v1", [two])
    assert manifest.versions(OUTPUT) == {
        "v1": KnownVersion("v1", ("/logs",), frozenset({one}), '{"kept": 1}', True),
        "v2": KnownVersion("v2", ("/logs", "/more"), frozenset({one, two}), "{}", False),
    }
    manifest.drop_versions(OUTPUT, ["v1", "v2"])
    assert manifest.versions(OUTPUT) == {}
    assert manifest.versions(OTHER)["v1"].files == {two}


def test_what_counts_in_no_version_is_unreferenced(manifest: Manifest) -> None:
    ((one, _), (two, splits), (three, _)) = manifest.begin_files([new_file() for _ in range(3)])
    publish(manifest, OUTPUT, "v1", [one])
    publish(manifest, OTHER, "v1", [three])
    assert manifest.counted_anywhere() == {one, three}
    assert manifest.unreferenced() == ([two], splits)
    manifest.drop_versions(OUTPUT, ["v1"])
    assert manifest.counted_anywhere() == {three}
    assert manifest.unreferenced()[0] == [one, two]


def test_splits_of_a_file_that_grew_are_those_of_both_and_go_with_the_last(manifest: Manifest) -> None:
    ((one, (first, second)),) = manifest.begin_files([new_file()])
    grown = NewFile("/logs/a.csv", "a.csv", HINT, "settings", 300, HEADER_JSON, ((20, 300, True),), (first, second))
    ((two, (third,)),) = manifest.begin_files([grown])
    again = NewFile("/logs/a.csv", "a.csv", HINT, "settings", 400, HEADER_JSON, ((300, 400, True),), (first, third))
    ((three, (fourth,)),) = manifest.begin_files([again])

    def splits() -> dict[int, list[int]]:
        return {file.id: [split.number for split in file.splits] for file in manifest.files()}

    assert splits() == {one: [first, second], two: [first, second, third], three: [first, third, fourth]}
    publish(manifest, OUTPUT, "v1", [three])
    assert manifest.unreferenced() == ([one, two], [second])
    manifest.forget_files([one])
    assert splits() == {two: [first, second, third], three: [first, third, fourth]}
    manifest.forget_files([two])
    assert splits() == {three: [first, third, fourth]}
    manifest.check()
    manifest.drop_versions(OUTPUT, ["v1"])
    assert manifest.unreferenced() == ([three], [first, third, fourth])
    manifest.forget_files([three])
    assert manifest.files() == []


def test_a_manifest_of_the_release_before_is_gone_on_from(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.begin_files([new_file()])
        before = manifest.files()
        manifest._db.executescript("DROP TABLE continued; PRAGMA user_version = 1")
    with Manifest(tmp_path) as manifest:
        assert manifest.files() == before
        manifest.begin_files([NewFile("/b", "b", HINT, "settings", 9, HEADER_JSON, (), (before[0].splits[0].number,))])
    assert query(tmp_path, "PRAGMA user_version") == [(2,)]


def test_a_settled_file_is_shorter_and_read_again(manifest: Manifest) -> None:
    ((id_, (first, second, third)),) = manifest.begin_files([new_file(splits=3)])
    manifest.finish([(first, "{}"), (second, "{}"), (third, "{}")], [])
    manifest.settle_file(id_, 17, HINT, [first, second], [third])
    (file,) = manifest.files()
    assert file.text_size == 17
    assert file.splits == (KnownSplit(first, 0, 10, True, None), KnownSplit(second, 10, 17, False, None))


def test_a_transaction_that_fails_leaves_nothing(manifest: Manifest, tmp_path: Path) -> None:
    ((_, (first, _)),) = manifest.begin_files([new_file()])
    before = [query(tmp_path, f"SELECT * FROM {table}") for table in ("files", "splits", "sqlite_sequence")]

    def fail_after(value: object) -> Iterator:
        yield value
        raise ZeroDivisionError

    acts: list[Callable[[], object]] = [
        lambda: manifest.begin_files(fail_after(new_file())),
        lambda: manifest.divide_split(first, 4, fail_after((4, 10, True))),
        lambda: manifest.finish(fail_after((first, "{}")), []),
        lambda: manifest.forget_files(fail_after(1)),
    ]
    for act in acts:
        with pytest.raises(ZeroDivisionError):
            act()
        assert [query(tmp_path, f"SELECT * FROM {table}") for table in ("files", "splits", "sqlite_sequence")] == before
    assert manifest.begin_files([new_file()]), "and the next one is fine"


def test_threads_take_turns(manifest: Manifest) -> None:
    with ThreadPoolExecutor(8) as threads:
        begun = list(threads.map(lambda _: manifest.begin_files([new_file()] * 5), range(40)))
    numbers = [number for files in begun for _, splits in files for number in splits]
    assert len(set(numbers)) == len(numbers) == 40 * 5 * 2
    assert len(manifest.files()) == 40 * 5


def test_only_the_owner_may_read_it_and_one_file_is_left(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.begin_files([new_file()])
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_FILE]
    assert stat.S_IMODE((tmp_path / MANIFEST_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "file and journal", "folder"])
def test_a_manifest_is_set_aside_in_the_place_of_the_one_before(kind: str, tmp_path: Path) -> None:
    (tmp_path / UNUSABLE_FILE).write_text("of an earlier time")
    (tmp_path / f"{UNUSABLE_FILE}-wal").write_text("of an earlier time")
    if kind == "folder":
        (tmp_path / MANIFEST_FILE).mkdir()
    else:
        (tmp_path / MANIFEST_FILE).write_text("this one")
    if kind == "file and journal":
        (tmp_path / f"{MANIFEST_FILE}-wal").write_text("its journal")
    assert set_aside(tmp_path) == tmp_path / UNUSABLE_FILE
    left = {path.name: path.read_text() if path.is_file() else "a folder" for path in tmp_path.iterdir()}
    journal = {f"{UNUSABLE_FILE}-wal": "its journal"} if kind == "file and journal" else {}
    assert left == {UNUSABLE_FILE: "a folder" if kind == "folder" else "this one"} | journal


def test_what_is_no_file_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).mkdir()
    with pytest.raises(UnusableManifest, match=r"is no file.*--full-refresh"):
        Manifest(tmp_path)


DAMAGES = {
    "a row without its file": "PRAGMA foreign_keys = OFF; DELETE FROM files",
    "an index that lacks a row": (
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = "
        "(SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_sequence') WHERE name = 'splits_of_file'"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_check_finds_what_no_single_row_shows(damage: str, tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.begin_files([new_file(), new_file()])
        manifest.check()
    database = sqlite3.connect(tmp_path / MANIFEST_FILE)
    database.executescript(DAMAGES[damage])
    database.close()
    with Manifest(tmp_path) as manifest, pytest.raises(UnusableManifest, match="--full-refresh"):
        manifest.check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE files SET path = 7",
        "UPDATE versions SET sources = 'no list'",
        "UPDATE versions SET sources = '7'",
        "DROP TABLE splits",
        "UPDATE files SET shown = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_value_of_another_kind_is_named(statement: str, tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        ((id_, _),) = manifest.begin_files([new_file()])
        publish(manifest, OUTPUT, "v1", [id_])
    database = sqlite3.connect(tmp_path / MANIFEST_FILE, isolation_level=None)
    database.execute("PRAGMA foreign_keys = OFF")
    database.execute(statement)
    database.close()

    def read_all(manifest: Manifest) -> None:
        manifest.files()
        manifest.versions(OUTPUT)

    with Manifest(tmp_path) as manifest, pytest.raises(UnusableManifest, match="--full-refresh"):
        read_all(manifest)


def test_a_manifest_of_another_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / MANIFEST_FILE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(UnusableManifest, match=r"format 99, expected 2.*--full-refresh"):
        Manifest(tmp_path)
    assert query(tmp_path, "PRAGMA user_version") == [(99,)]


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(UnusableManifest, match=f"{MANIFEST_FILE}.*--full-refresh"):
        Manifest(tmp_path)


@pytest.mark.parametrize(
    ("kind", "damaged"),
    [
        ("FULL", False),
        ("IOERR_WRITE", False),
        ("CANTOPEN", False),
        ("READONLY_DIRECTORY", False),
        ("BUSY", False),
        ("CORRUPT", True),
        ("NOTADB", True),
        ("SCHEMA", True),
    ],
)
def test_only_a_damaged_file_is_a_reason_to_start_over(kind: str, damaged: bool) -> None:
    fault = sqlite3.OperationalError("what SQLite says")
    fault.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{kind}")
    with pytest.raises(EnvironmentFault, match="what SQLite says") as raised, sqlite_errors_explained(Path("m")):
        raise fault
    assert isinstance(raised.value, UnusableManifest) == damaged
    assert ("--full-refresh" in str(raised.value)) == damaged


def test_a_full_disk_ends_the_transaction_and_says_so(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.begin_files([new_file()])
        (pages,) = manifest._db.execute("PRAGMA page_count").fetchone()
        manifest._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(EnvironmentFault, match="full") as raised:
            manifest.begin_files([new_file(splits=10_000)])
        assert not isinstance(raised.value, UnusableManifest)
        assert len(manifest.files()) == 1


def test_a_known_file_takes_600_bytes_with_its_path(tmp_path: Path) -> None:
    """As objects, with what its split needs, it takes 1,300."""
    count = 5_000
    result = counts()
    paths = [f"/logs/of/some/length/{n:07}.csv" for n in range(count)]
    with Manifest(tmp_path) as manifest:
        begun = manifest.begin_files(replace(new_file(path, splits=1), shown=path) for path in paths)
        manifest.finish(
            [(number, result) for _, numbers in begun for number in numbers], [(id_, f"{id_:032x}") for id_, _ in begun]
        )
        tracemalloc.start()
        known = manifest.files()
        needed = {split.number: split.needs() for file in known for split in file.splits}
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(known) == len(needed) == count
    assert all(file.splits[0].result == result and file.shown == file.path for file in known)
    assert peak < 600 * count
