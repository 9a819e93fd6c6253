"""Files that machines exchange over a storage: only what was accepted is read, under the paths of the driver."""

import io
import pickle
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.storage import exchange as module
from pipeline.storage.exchange import StorageExchange
from pipeline.storage.faults import StorageFault
from pipeline.storage.objects import delete_objects, list_objects, read_object, write_object
from pipeline.storage.urls import ObjectUrl

DRIVER = Path("/a folder/of the driver")


@pytest.fixture
def exchange(bucket: str, tmp_path: Path) -> StorageExchange:
    url = f"{bucket}/between"
    places = ((str(DRIVER / "store"), f"{url}/stores/1"), (str(tmp_path / "run"), f"{url}/runs/1"))
    return StorageExchange(url, f"{url}/runs/1", places, (str(tmp_path / "run" / "conflicts"),))


def names(url: str) -> list[str]:
    return [found.removeprefix(url) for found in list_objects(f"{url}/")]


def hand_over(exchange: StorageExchange, folder: Path, text: str) -> str:
    (folder / "0-file").write_text(text)
    (name,) = exchange.hand_over([folder / "0-file"], f"attempt-{text}")
    return name


def test_paths_of_the_driver_stand_for_objects(exchange: StorageExchange, tmp_path: Path, bucket: str) -> None:
    assert exchange.url_of(DRIVER / "store" / "rows" / "a") == f"{bucket}/between/stores/1/rows/a"
    assert exchange.url_of(tmp_path / "run" / "b") == f"{bucket}/between/runs/1/b"
    others = DRIVER / "store", DRIVER / "stores" / "a", tmp_path / "run.txt"
    assert not any(map(exchange.holds, others))
    assert pickle.loads(pickle.dumps(exchange)) == exchange


def test_of_two_attempts_the_accepted_one_is_read(exchange: StorageExchange, tmp_path: Path) -> None:
    path = DRIVER / "store" / "rows" / "a"
    lost, won = (hand_over(exchange, tmp_path, text) for text in ("lost", "won"))
    for read in (lambda: exchange.fetch(path, tmp_path / "copy"), lambda: exchange.open(path)):
        with pytest.raises(StorageFault, match=r"stores/1/rows/a is gone: another run has taken over"):
            read()
    exchange.accept([((won, str(path)),)])
    exchange.fetch(path, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "won"
    with exchange.open(path) as stream:
        stream.seek(1)
        assert stream.read(2) == b"on"
        delete_objects([f"{exchange.url}/stores/1/rows/a"])
        stream.seek(0)
        with pytest.raises(StorageFault, match="rows/a is gone"):
            stream.read(1)
    write_object(f"{exchange.url}/stores/1/rows/a", b"won")
    assert names(exchange.url) == [lost.removeprefix(exchange.url), "/stores/1/rows/a"]


def test_the_driver_gets_what_it_reads_itself_and_nothing_else(exchange: StorageExchange, tmp_path: Path) -> None:
    paths = [tmp_path / "run" / "conflicts" / "a", tmp_path / "run" / "totals" / "a", tmp_path / "version" / "a"]
    moves = [((hand_over(exchange, tmp_path, str(number)), str(path)),) for number, path in enumerate(paths)]
    exchange.accept(moves)
    assert [path.exists() for path in paths] == [True, False, True]
    assert (tmp_path / "version" / "a").read_text() == "2"
    assert names(exchange.url) == ["/runs/1/conflicts/a", "/runs/1/totals/a"]


def test_what_a_kernel_removed_goes(exchange: StorageExchange) -> None:
    write_object(f"{exchange.url}/stores/1/rejects/a", b"x")
    exchange.accept([((None, str(DRIVER / "store" / "rejects" / "a")),), ((None, "/elsewhere"),)])
    assert names(exchange.url) == []


def test_a_run_and_a_store_go_when_nobody_needs_them(exchange: StorageExchange) -> None:
    kept = ["/stores/1/rows/a", "/runs/1/totals/a", "/stores/2/rows/a", "/runs/0/totals/a"]
    for name in kept:
        write_object(exchange.url + name, b"12345")
    assert exchange.stored_bytes() == 20
    exchange.keep_store(f"{exchange.url}/stores/1")
    exchange.end()
    assert names(exchange.url) == ["/runs/0/totals/a", "/stores/1/rows/a"]
    exchange.begin()
    assert names(exchange.url) == ["/stores/1/rows/a"]


def test_a_storage_that_cannot_be_written_is_told(exchange: StorageExchange) -> None:
    exchange.check()
    assert names(exchange.url) == []
    missing = StorageExchange("s3://no-such-bucket/x", "s3://no-such-bucket/x/runs/1", ())
    with pytest.raises(StorageFault, match="no such bucket"):
        missing.check()


@pytest.mark.usefixtures("bucket")
def test_what_cannot_be_deleted_after_the_publication_is_left_to_the_next_run() -> None:
    missing = StorageExchange("s3://no-such-bucket/x", "s3://no-such-bucket/x/runs/1", ())
    missing.end()
    missing.keep_store("s3://no-such-bucket/x/stores/1")


def test_copies_are_made_by_the_storage(bucket: str, exchange: StorageExchange, tmp_path: Path) -> None:
    own = hand_over(exchange, tmp_path, "x" * 100)
    with pytest.raises(StorageFault, match="between/none is gone"):
        exchange.accept([((f"{bucket}/between/none", str(DRIVER / "store" / "a")),)])
    exchange.accept([((own, str(DRIVER / "store" / "a")),)])
    assert read_object(f"{exchange.url}/stores/1/a") == b"x" * 100


def test_threads_list_a_folder_once_and_little_of_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    url, count, listings = "s3://a-bucket/between/a folder of this test", 20_000, []

    def list_slowly(folder: str) -> Iterator[ObjectUrl]:
        listings.append(folder)
        time.sleep(0.05)  # so that all threads are there
        for number in range(count):
            etag = f'"{number:032x}"'
            yield ObjectUrl(f"{folder}split-{number:06d}.parquet", number, 1_800_000_000 * 10**9 + number, etag)

    monkeypatch.setattr(module, "list_objects", list_slowly)
    exchange = StorageExchange(url, f"{url}/runs/1", ((str(DRIVER / "store"), url),))
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda n: exchange.open(DRIVER / "store" / f"split-{n:06d}.parquet").close(), range(16)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert listings == [f"{url}/"]
    assert kept < 300 * count
    last = exchange.open(DRIVER / "store" / "split-019999.parquet")
    assert last.seek(0, io.SEEK_END) == 19_999
    assert module._found(f"{url}/split-000007.parquet").etag == f'"{7:032x}"'
    assert module._found(f"{url}/split-000007.parquet").modified_ns == 1_800_000_000 * 10**9 + 7
