"""What Phase 1 has done stands in the manifest only when it is on the disk, and the next run goes on from it."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path

import pytest

from pipeline.errors import BalanceError
from pipeline.history.inventory import Inventory
from pipeline.history.journal import Journal
from pipeline.history.known_files import Hint
from pipeline.history.manifest import Manifest
from pipeline.history.split_store import Store
from pipeline.preprocess.ledger import FileLedger
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split
from tests.pipeline.history.samples import HEADER, counts, query, split_result

HINT = Hint(100, 1, 1, 7, True)


class SyncedStore(Store):
    """Remembers which kinds of files of which splits it was told to sync; fails with ``fault`` if there is one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.synced: list[dict[int, frozenset[str]]] = []
        self.fault: OSError | None = None

    def sync(self, finished: Mapping[int, frozenset[str]]) -> None:
        if self.fault:
            raise self.fault
        self.synced.append(dict(finished))


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    """A manifest in which earlier runs have used up the numbers below 11."""
    with Manifest(tmp_path) as opened:
        opened._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('splits', 10), ('files', 4)")
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> SyncedStore:
    return SyncedStore(tmp_path)


def input_file(path: Path, size: int = 100) -> InputFile:
    return InputFile(str(path), (size, 1, 7), HEADER)


def cut_in_two(file: InputFile) -> list[Split]:
    middle = file.size // 2
    return [
        Split(0, file.path, file.size, 16, middle, True, HEADER),
        Split(1, file.path, file.size, middle, file.size, False, HEADER),
    ]


def inventory(*files: InputFile) -> Inventory:
    return Inventory(hints={file.path: HINT for file in files}, fresh=tuple(file.path for file in files))


def test_splits_get_the_numbers_of_the_manifest_and_the_given_ones_stay(
    manifest: Manifest, store: SyncedStore, tmp_path: Path
) -> None:
    files = [input_file(tmp_path / "a.csv"), input_file(tmp_path / "b.csv", 200)]
    given = {file.path: cut_in_two(file) for file in files}
    before = deepcopy(given)
    with Journal(manifest, store, inventory(*files), "settings") as journal:
        start = journal.begin(files, given)
    assert given == before
    assert start.results == {}
    assert [[split.number for split in start.splits[file.path]] for file in files] == [[11, 12], [13, 14]]
    assert query(tmp_path, "SELECT number, file, start, stop, exact, result FROM splits ORDER BY number") == [
        (11, 5, 16, 50, 1, None),
        (12, 5, 50, 100, 0, None),
        (13, 6, 16, 100, 1, None),
        (14, 6, 100, 200, 0, None),
    ]
    assert query(tmp_path, "SELECT id, fingerprint, content_hash, text_size FROM files") == [
        (5, "settings", "", 100),
        (6, "settings", "", 200),
    ]


def test_what_is_finished_is_synced_and_then_noted(manifest: Manifest, store: SyncedStore, tmp_path: Path) -> None:
    file = input_file(tmp_path / "a.csv")
    with Journal(manifest, store, inventory(file), "settings") as journal:
        first, second = journal.begin([file], {file.path: cut_in_two(file)}).splits[file.path]
        results = split_result(first), split_result(second, handed_over=0, rejected=0)
        for result in results:
            journal.finish_split(result)
        journal.finish_file(FileLedger(file, (), "abc"))
        assert query(tmp_path, "SELECT count(result) FROM splits") == [(0,)], "nothing is noted before it is flushed"
        journal.flush()
        journal.wait()
        noted = query(tmp_path, "SELECT result FROM splits ORDER BY number")
        assert [json.loads(result) for (result,) in noted] == [
            json.loads(counts()),
            json.loads(counts(handed_over=0, rejected=0)),
        ]
        assert query(tmp_path, "SELECT content_hash FROM files") == [("abc",)]
        assert list(journal.ids) == [5]
    assert store.synced == [
        {11: frozenset({"lines", "rows", "index", "rejects"}), 12: frozenset({"lines"})},
    ]


def test_a_split_is_not_noted_while_the_disk_fails(manifest: Manifest, store: SyncedStore, tmp_path: Path) -> None:
    file = input_file(tmp_path / "a.csv")
    store.fault = OSError(28, "No space left on device")

    def finish_all() -> None:
        with Journal(manifest, store, inventory(file), "settings") as journal:
            (first, _) = journal.begin([file], {file.path: cut_in_two(file)}).splits[file.path]
            journal.finish_split(split_result(first))
            journal.finish_file(FileLedger(file, (), "abc"))

    with pytest.raises(OSError, match="No space left"):
        finish_all()
    assert query(tmp_path, "SELECT result FROM splits") == [(None,), (None,)]
    assert query(tmp_path, "SELECT content_hash FROM files") == [("",)]


def test_after_a_failure_nothing_more_is_noted(manifest: Manifest, store: SyncedStore, tmp_path: Path) -> None:
    """The disk may have room again for the end of the file, whose splits were not noted."""
    file = input_file(tmp_path / "a.csv")
    store.fault = OSError(28, "No space left on device")
    with Journal(manifest, store, inventory(file), "settings") as journal:
        (first, second) = journal.begin([file], {file.path: cut_in_two(file)}).splits[file.path]
        journal.finish_split(split_result(first))
        journal.flush()
        with pytest.raises(OSError, match="No space left"):
            journal.wait()
        store.fault = None
        journal.finish_split(split_result(second))
        journal.finish_file(FileLedger(file, (), "abc"))
    assert query(tmp_path, "SELECT result FROM splits") == [(None,), (None,)]
    assert query(tmp_path, "SELECT content_hash FROM files") == [("",)]


def test_a_file_is_not_noted_while_a_split_of_it_has_no_result(
    manifest: Manifest, store: SyncedStore, tmp_path: Path
) -> None:
    """Whatever went wrong before: the transaction itself refuses, and nothing of it is noted."""
    file, other = input_file(tmp_path / "a.csv"), input_file(tmp_path / "b.csv")

    def finish_both() -> None:
        with Journal(manifest, store, inventory(file, other), "settings") as journal:
            start = journal.begin([file, other], {path.path: cut_in_two(path) for path in (file, other)})
            for split in [*start.splits[file.path], start.splits[other.path][0]]:
                journal.finish_split(split_result(split))
            journal.finish_file(FileLedger(file, (), "abc"))
            journal.finish_file(FileLedger(other, (), "def"))

    with pytest.raises(BalanceError, match="splits without a result"):
        finish_both()
    assert query(tmp_path, "SELECT content_hash FROM files") == [("",), ("",)]
    assert query(tmp_path, "SELECT count(result) FROM splits") == [(0,)]


def test_a_fault_of_the_run_is_not_hidden_by_one_of_the_disk(manifest: Manifest, store: SyncedStore) -> None:
    store.fault = OSError(28, "No space left on device")

    def fail_in_the_middle() -> None:
        with Journal(manifest, store, Inventory(), "settings") as journal:
            journal.finish_split(split_result(cut_in_two(input_file(Path("a.csv")))[0]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle()


def test_the_next_run_takes_up_finished_splits(manifest: Manifest, store: SyncedStore, tmp_path: Path) -> None:
    file, other = input_file(tmp_path / "a.csv"), input_file(tmp_path / "b.csv")
    with Journal(manifest, store, inventory(file), "settings") as journal:
        (first, second) = journal.begin([file], {file.path: cut_in_two(file)}).splits[file.path]
        journal.finish_split(split_result(first))
    found = Inventory(hints={file.path: HINT, other.path: HINT}, resumed={file.path: manifest.files()[0]})
    whole = [Split(0, file.path, 100, 16, 100, True, HEADER)]
    given = {file.path: whole, other.path: cut_in_two(other)}
    with Journal(manifest, store, found, "settings") as journal:
        start = journal.begin([other, file], given)
        journal.finish_split(split_result(second))
        journal.finish_file(FileLedger(file, (), "abc"))
    assert list(start.splits) == [other.path, file.path]
    assert start.splits[file.path] == [first, second]
    assert start.results == {11: split_result(first)}
    assert [split.number for split in start.splits[other.path]] == [13, 14]
    assert list(journal.ids) == [5], "the file keeps its id"


def test_a_file_with_another_text_is_read_from_its_beginning(
    manifest: Manifest, store: SyncedStore, tmp_path: Path
) -> None:
    """Its size on disk may be the same: that of a compressed file says little."""
    file = input_file(tmp_path / "a.csv")
    with Journal(manifest, store, inventory(file), "settings") as journal:
        (first, _) = journal.begin([file], {file.path: cut_in_two(file)}).splits[file.path]
        journal.finish_split(split_result(first))
    longer = input_file(tmp_path / "a.csv", 101)
    found = Inventory(hints={file.path: HINT}, resumed={file.path: manifest.files()[0]})
    with Journal(manifest, store, found, "settings") as journal:
        start = journal.begin([longer], {longer.path: cut_in_two(longer)})
    assert [split.number for split in start.splits[longer.path]] == [13, 14]
    assert start.results == {}


def test_a_split_that_is_read_again_counts_nothing_meanwhile(
    manifest: Manifest, store: SyncedStore, tmp_path: Path
) -> None:
    file = input_file(tmp_path / "a.csv")
    with Journal(manifest, store, inventory(file), "settings") as journal:
        (_, second) = journal.begin([file], {file.path: cut_in_two(file)}).splits[file.path]
        journal.finish_split(split_result(second))
        journal.reopen_split(second.restarted_at(57, second.header))
        assert query(tmp_path, "SELECT start, stop, exact, result FROM splits WHERE number = 12") == [
            (57, 100, 1, None)
        ]


def test_the_rest_of_a_split_has_numbers_of_its_own(manifest: Manifest, store: SyncedStore, tmp_path: Path) -> None:
    file = input_file(tmp_path / "a.csv")
    with Journal(manifest, store, inventory(file), "settings") as journal:
        (_, second) = journal.begin([file], {file.path: cut_in_two(file)}).splits[file.path]
        rest = [
            Split(second.number, file.path, 100, 60, 80, True, HEADER),
            Split(second.number, file.path, 100, 80, 100, False, HEADER),
        ]
        assert journal.divide_split(second.ending_at(60), rest) == [13, 14]
    assert query(tmp_path, "SELECT number, file, start, stop, exact FROM splits WHERE number > 11 ORDER BY number") == [
        (12, 5, 50, 60, 0),
        (13, 5, 60, 80, 1),
        (14, 5, 80, 100, 0),
    ]


def test_splits_are_noted_while_others_are_read(
    manifest: Manifest, store: SyncedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.history.journal.FLUSH_SECONDS", -1.0)
    file = input_file(tmp_path / "a.csv")
    with Journal(manifest, store, inventory(file), "settings") as journal:
        (first, second) = journal.begin([file], {file.path: cut_in_two(file)}).splits[file.path]
        journal.finish_split(split_result(first))
        journal.wait()
        assert query(tmp_path, "SELECT number FROM splits WHERE result IS NOT NULL") == [(first.number,)]
        store.fault = OSError(28, "No space left on device")
        journal.finish_split(split_result(second))
        with pytest.raises(OSError, match="No space left"):
            journal.wait()
        store.fault = None
    assert store.synced == [{first.number: frozenset({"lines", "rows", "index", "rejects"})}]
