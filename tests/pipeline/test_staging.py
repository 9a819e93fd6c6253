"""Files of an attempt: they have names of their own until the driver accepts its result."""

import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline.exchange.workspace import save_array
from pipeline.staging import Moves, accept, at_once, attempting, here, is_elsewhere, ranges_of, remove, staged
from tests.exchanges import FolderExchange


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in ("attempts", "rows"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_without_an_attempt_every_file_has_its_own_name_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    assert staged(path) == path
    path.write_text("old")
    remove(path)
    assert not path.exists()
    remove(path)


def test_an_attempt_writes_nothing_that_others_read_until_it_is_accepted(run: Path) -> None:
    path = run / "rows" / "a.npy"
    np.save(path, np.array([1]))
    with attempting(run / "attempts" / "1") as moves:
        save_array(path, np.array([2]))
        assert staged(path) == staged(staged(path)), "what an attempt reads back is its own file"
    assert np.load(path).tolist() == [1]
    accept(moves[0])
    assert np.load(path).tolist() == [2]
    assert list((run / "attempts" / "1").iterdir()) == []


def test_a_lost_attempt_changes_nothing_however_late_it_ends(run: Path) -> None:
    path = run / "rows" / "a.txt"
    with attempting(run / "attempts" / "1"):
        staged(path).write_text("lost")
        with attempting(run / "attempts" / "2") as moves:  # the other executor's, meanwhile
            staged(path).write_text("accepted")
        accept(moves[0])
        staged(path).write_text("lost, later")
    assert path.read_text() == "accepted"


def test_what_a_kernel_removes_goes_with_the_accepted_result_alone(run: Path) -> None:
    kept, gone, temporary = (run / "rows" / name for name in ("kept", "gone", "temporary"))
    gone.write_text("old")
    kept.write_text("old")
    with attempting(run / "attempts" / "1") as moves:
        remove(gone)
        remove(kept)
        staged(kept).write_text("new")
        staged(temporary).write_text("x")
        staged(temporary).unlink()
    assert gone.exists()
    assert kept.read_text() == "old"
    accept(moves[0])
    assert not gone.exists()
    assert kept.read_text() == "new"
    assert not temporary.exists()


def test_files_of_one_name_in_two_folders_do_not_meet(run: Path) -> None:
    (run / "index").mkdir()
    paths = [run / kind / "split-000001.npy" for kind in ("rows", "index")]
    with attempting(run / "attempts" / "1") as moves:
        for path in paths:
            staged(path).write_text(path.parent.name)
    accept(moves[0])
    assert [path.read_text() for path in paths] == ["rows", "index"]


def test_a_file_on_another_disk_waits_beside_its_place(run: Path, tmp_path: Path) -> None:
    version = tmp_path / "version"
    path = version / "data" / "geo_region=Asia" / "part.parquet"
    path.parent.mkdir(parents=True)
    with attempting(run / "attempts" / "1") as moves:
        own = staged(path, beside=version)
        own.write_text("x")
    assert version in own.parents
    assert not list((version / "data").rglob("*.*")), "readers list this folder"
    accept(moves[0])
    assert path.read_text() == "x"


def test_an_attempt_that_fails_hands_nothing_over(run: Path) -> None:
    def attempt() -> None:
        with attempting(run / "attempts" / "1") as moves:
            handed_over.append(moves)
            staged(run / "rows" / "a").write_text("x")
            raise ValueError("x")

    handed_over: list[list[Moves]] = []
    with pytest.raises(ValueError, match="x"):
        attempt()
    assert handed_over == [[]]


def test_a_missing_file_is_noticed(run: Path) -> None:
    with pytest.raises(FileNotFoundError):
        accept(((str(run / "attempts" / "none"), str(run / "rows" / "a")),))


def test_an_attempt_that_outlives_its_run_makes_no_folders(run: Path) -> None:
    with pytest.raises(FileNotFoundError), attempting(run / "removed" / "1"):
        pass


def test_files_on_an_exchange_are_read_as_copies_or_by_ranges_and_handed_over_there(run: Path) -> None:
    nowhere = run / "a folder of the driver"
    exchange = FolderExchange(nowhere, run / "rows")
    (run / "rows" / "old").write_bytes(b"0123456789")
    with attempting(run / "attempts" / "1", exchange) as moves:
        assert [here(nowhere / "old").read_bytes() for _ in range(2)] == [b"0123456789"] * 2
        assert is_elsewhere(nowhere / "old")
        with ranges_of(nowhere / "old") as stream:
            stream.seek(3)
            assert stream.read(4) == b"3456"
        own = staged(nowhere / "new", beside=nowhere / "version")
        own.write_text("made")
        assert own.parent == run / "attempts" / "1"
        assert (here(own), ranges_of(own)) == (own, None), "what an attempt wrote is on its own disk"
        remove(nowhere / "old")
        assert (run / "rows" / "old").exists()
    assert exchange.fetched == ["old"]
    exchange.accept(moves)
    assert [(path.name, path.read_text()) for path in (run / "rows").iterdir()] == [("new", "made")]


def test_on_a_shared_disk_a_file_is_read_where_it_is(run: Path) -> None:
    path = run / "rows" / "a"
    assert (here(path), ranges_of(path), is_elsewhere(path)) == (path, None, False)
    with attempting(run / "attempts" / "1"):
        assert (here(path), ranges_of(path), is_elsewhere(path)) == (path, None, False)


def test_several_files_of_an_exchange_are_read_at_once_and_come_in_order(run: Path) -> None:
    numbers = list(range(200))
    for number in numbers:
        (run / "rows" / str(number)).write_text(str(number))
    nowhere, threads = run / "nowhere", set()

    def read(number: int) -> int:
        threads.add(threading.get_ident())
        with ranges_of(nowhere / str(number)) as stream:
            return int(stream.read(9))

    with attempting(run / "attempts" / "1", FolderExchange(nowhere, run / "rows")):
        assert list(at_once(read, numbers)) == numbers
    assert threading.get_ident() not in threads
    with attempting(run / "attempts" / "2"):
        assert list(at_once(lambda _: threading.get_ident(), numbers)) == [threading.get_ident()] * 200
