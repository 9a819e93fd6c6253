"""The store keeps what splits need and nothing else; few files are synced by themselves, very many at once."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import ConfigError
from pipeline.history import split_store
from pipeline.history.split_store import StorageStore, Store, begin_store, open_store
from pipeline.storage.faults import StorageFault
from pipeline.storage.objects import copy_object, delete_objects, list_objects, read_object, write_object

ALL = frozenset({"rows", "index", "rejects", "lines"})
FILES = {"rows": "parquet", "index": "npy", "rejects": "parquet", "lines": "npy"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with all files of the splits 1, 2 and 1234567."""
    store = Store(tmp_path)
    for kind, suffix in FILES.items():
        (tmp_path / "store" / kind).mkdir(parents=True)
        for number in ("000001", "000002", "1234567"):
            (tmp_path / "store" / kind / f"split-{number}.{suffix}").touch()
    return store


def names(store: Store) -> set[str]:
    """All files as kind/name."""
    return {f"{path.parent.name}/{path.name}" for path in store.root.glob("*/*")}


def of_split(number: str, *kinds: str) -> set[str]:
    return {f"{kind}/split-{number}.{FILES[kind]}" for kind in kinds or FILES}


def test_opening_removes_the_files_of_other_splits(store: Store) -> None:
    left = "rows/split-000002.partial", "rejects/.split-1234567.parquet.4711.partial"
    for name in (*left, "rows/notes.txt", "lines/split-2.npy"):
        (store.root / name).touch()
    store.open({2: frozenset({"lines"}), 1234567: ALL})
    foreign = {"rows/notes.txt", "lines/split-2.npy"}
    assert names(store) == of_split("000002") | of_split("1234567") | foreign, "what no run made is left alone"


def test_opening_makes_folders_for_the_owner_and_follows_no_link(tmp_path: Path) -> None:
    Store(tmp_path / "a").open({})
    folders = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "store").iterdir()}
    assert folders == dict.fromkeys(FILES, 0o700)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "store").symlink_to(tmp_path / "a" / "store")
    with pytest.raises(ConfigError, match="is a link"):
        Store(tmp_path / "b").open({})


def test_a_split_that_lacks_a_needed_file_is_missing(store: Store) -> None:
    (store.root / "rows" / "split-000001.parquet").unlink()
    before = names(store)
    assert store.missing({1: ALL, 2: ALL, 1234567: ALL, 3: frozenset({"lines"})}) == {1, 3}
    assert store.missing({1: ALL - {"rows"}, 2: ALL, 3: frozenset()}) == set()
    assert names(store) == before
    assert Store(store.root / "nowhere").missing({1: ALL}) == {1}


def test_splits_are_removed_with_all_their_files(store: Store) -> None:
    store.remove([1, 3])
    assert names(store) == of_split("000002") | of_split("1234567")


def test_the_files_of_finished_splits_and_their_folders_are_synced(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(split_store, "sync", lambda path: synced.append(str(path.relative_to(store.root))))
    store.sync({1: frozenset({"lines"}), 2: frozenset({"rows", "lines"})})
    assert set(synced) == of_split("000001", "lines") | of_split("000002", "rows", "lines") | set(FILES)
    assert len(synced) == 3 + len(FILES)


def test_what_a_run_leaves_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(split_store, "sync", lambda path: synced.append(str(path.relative_to(tmp_path))))
    for name in ("run/totals/bucket-0000.parquet", "run/conflicts/bucket-0001.parquet", "run/merge/x"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    Store(tmp_path).sync_run(tmp_path / "run")
    assert sorted(synced) == [
        ".",
        "run",
        "run/conflicts",
        "run/conflicts/bucket-0001.parquet",
        "run/totals",
        "run/totals/bucket-0000.parquet",
    ]


def make(folder: Path, number: int) -> list[Path]:
    paths = [folder / str(n) for n in range(number)]
    for path in paths:
        path.write_bytes(b"x")
    return paths


@pytest.mark.skipif(split_store._syncfs is None, reason="this system has no syncfs")
def test_few_files_by_themselves_and_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone: list[int] = []
    whole: list[str] = []
    fsync, syncfs = os.fsync, split_store._syncfs
    monkeypatch.setattr(os, "fsync", lambda handle: (alone.append(handle), fsync(handle)))
    monkeypatch.setattr(
        split_store, "_syncfs", lambda handle: whole.append(os.readlink(f"/proc/self/fd/{handle}")) or syncfs(handle)
    )
    paths = make(tmp_path, 1_000)
    split_store.sync_files(paths[:50])
    assert (len(alone), whole) == (50, [])
    split_store.sync_files(paths)
    assert (len(alone), whole) == (50, [str(paths[0])])


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> int:
        split_store.ctypes.set_errno(errno.EIO)
        return -1

    monkeypatch.setattr(split_store, "_syncfs", fails)
    with pytest.raises(OSError, match="Input/output error") as told:
        split_store.sync_files(make(tmp_path, 1_000))
    assert told.value.errno == errno.EIO
    (tmp_path / "0").unlink()
    with pytest.raises(FileNotFoundError):
        split_store.sync_files([tmp_path / "0"])


@pytest.fixture
def there(tmp_path: Path, bucket: str) -> StorageStore:
    """The same store on a storage."""
    url = begin_store(tmp_path, f"{bucket}/between")
    for kind, suffix in FILES.items():
        for number in ("000001", "000002", "1234567"):
            write_object(f"{url}/{kind}/split-{number}.{suffix}", number.encode())
    store = open_store(tmp_path)
    assert isinstance(store, StorageStore)
    assert begin_store(tmp_path, f"{bucket}/between") == store.url == url
    return store


def objects_of(store: StorageStore) -> Iterator[str]:
    return list_objects(f"{store.url}/")


def objects(store: StorageStore) -> set[str]:
    return {found.removeprefix(store.url + "/") for found in objects_of(store)}


def test_a_store_on_a_storage_keeps_what_splits_need(there: StorageStore) -> None:
    write_object(f"{there.url}/rows/notes.txt", b"")
    there.open({2: frozenset({"lines"}), 1234567: ALL})
    assert objects(there) == of_split("000002") | of_split("1234567") | {"rows/notes.txt"}
    assert there.missing({1: ALL, 2: ALL, 1234567: ALL, 3: frozenset()}) == {1}
    there.sync({2: ALL})
    there.remove([2, 9])
    assert objects(there) == of_split("1234567") | {"rows/notes.txt"}


def test_a_file_of_a_store_on_a_storage_is_copied_when_it_is_read(there: StorageStore) -> None:
    there.open({1: ALL})
    assert there.lines(1).read_text() == "000001"
    assert not there.at_hand("index", 7).exists()
    assert names(there) == of_split("000001", "lines")
    there.open({1: ALL})
    assert names(there) == set(), "copies may hold texts that are forgotten meanwhile"


def test_texts_of_a_store_on_a_storage_are_forgotten(there: StorageStore, tmp_path: Path) -> None:
    rejected = pl.DataFrame({"reason": ["blank"], "value": ["ann"], "raw": [b"ann,"]})
    rejected.write_parquet(tmp_path / "rejects")
    write_object(f"{there.url}/rejects/split-000001.parquet", tmp_path / "rejects")
    assert [there.forget_texts(number) for number in (1, 1, 99)] == [True, False, False]
    found = pl.read_parquet(read_object(f"{there.url}/rejects/split-000001.parquet"))
    assert found.rows() == [("blank", None, None)]


def test_a_new_folder_has_a_store_of_its_own(tmp_path: Path, bucket: str) -> None:
    """Another machine may give splits the same numbers."""
    first, second = (tmp_path / name for name in ("first", "second"))
    for folder in (first, second):
        folder.mkdir()
    assert begin_store(first, f"{bucket}/between") != begin_store(second, f"{bucket}/between")
    assert type(open_store(tmp_path)) is Store


@pytest.fixture
def second(there: StorageStore, tmp_path: Path, bucket: str) -> StorageStore:
    """The store of another machine, which goes on from a version that the machine of ``there`` has published."""
    folder = tmp_path / "second"
    folder.mkdir()
    begin_store(folder, f"{bucket}/between")
    for name, path in there.shared().items():
        (folder / name).write_bytes(path.read_bytes())
    store = open_store(folder)
    assert isinstance(store, StorageStore)
    return store


def test_another_machine_takes_over_what_it_needs(there: StorageStore, second: StorageStore) -> None:
    there.note_cleared(7.5)
    before = objects(there)
    second.open({1: frozenset({"rows", "index", "lines"}), 1234567: ALL, 9: ALL})
    assert objects(second) == of_split("000001", "rows", "index", "lines") | of_split("1234567") | {"texts-cleared"}
    assert read_object(f"{second.url}/rows/split-1234567.parquet") == b"1234567"
    assert second.missing({1: ALL, 1234567: ALL, 9: ALL}) == {1, 9}
    assert second.texts_cleared() == 7.5
    assert objects(there) == before, "the other machine may be at work"
    assert second.shared() != there.shared()


def test_taking_over_goes_on_where_it_was_interrupted(there: StorageStore, second: StorageStore, monkeypatch) -> None:
    copied: list[str] = []

    def copy(source: str, target: str) -> None:
        if len(copied) == 3:
            raise StorageFault("nothing answers there")
        copied.append(target)
        copy_object(source, target)

    monkeypatch.setattr(split_store, "_COPIES_AT_ONCE", 1)
    with monkeypatch.context() as broken:
        broken.setattr(split_store, "copy_object", copy)
        with pytest.raises(StorageFault):
            second.open({1: ALL, 2: ALL})
    assert copied[0].endswith("/texts-cleared"), "before the texts, which may be cleared meanwhile"
    assert len(objects(second)) == 2, "there is no such mark"
    monkeypatch.setattr(split_store, "copy_object", lambda *urls: copied.append(urls[1]) or copy_object(*urls))
    second.open({1: ALL, 2: ALL})
    assert objects(second) == of_split("000001") | of_split("000002")
    assert len(set(copied)) == len(copied)
    delete_objects(list(objects_of(there)))
    second.open({1: ALL, 2: ALL})
    assert objects(second) == of_split("000001") | of_split("000002"), "they are taken over once"


def test_a_mark_of_cleared_texts_is_not_newer_than_the_texts_that_were_copied(
    there: StorageStore, second: StorageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the machine that goes on would never look for their texts again."""
    there.note_cleared(3.0)

    def copy(source: str, target: str) -> None:
        copy_object(source, target)
        if "rejects/" in source:
            raise StorageFault("nothing answers there")

    with monkeypatch.context() as broken:
        broken.setattr(split_store, "copy_object", copy)
        with pytest.raises(StorageFault):
            second.open({1: ALL})
    there.note_cleared(10.0)
    second.open({1: ALL})
    assert second.texts_cleared() == 3.0


@pytest.mark.parametrize("left", ["", "s3://elsewhere/between/stores/0123"])
def test_of_a_store_in_another_bucket_nothing_is_taken_over(left: str, second: StorageStore) -> None:
    (second.root.parent / "store-before.url").write_text(left)
    second.open({1: ALL})
    assert second.missing({1: ALL}) == {1}


@pytest.mark.parametrize("left", ["", "s3://", "s3://elsewhere/stores/0123"])
def test_a_folder_that_names_no_store_gets_a_new_one(left: str, tmp_path: Path) -> None:
    """A full disk or a lost machine leaves such a file, which would keep every later run from its work."""
    (tmp_path / "store.url").write_text(left)
    url = begin_store(tmp_path, "s3://b/between")
    assert url.startswith("s3://b/between/stores/")
    assert begin_store(tmp_path, "s3://b/between") == url
    assert [path.name for path in tmp_path.iterdir()] == ["store.url"]


def test_a_store_has_its_url_when_that_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(split_store, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        begin_store(tmp_path, "s3://b/between")
    assert type(open_store(tmp_path)) is Store
