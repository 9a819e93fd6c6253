"""Names of the files between the phases; arrays and frames that have their name only when they are whole."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.exchange import workspace
from pipeline.exchange.workspace import (
    SPLIT_KINDS,
    Workspace,
    bucket_file,
    count_rows,
    read_frame,
    save_array,
    split_file,
    write_frame,
)


def test_files_of_splits_lie_in_the_store_and_all_others_in_the_run(tmp_path: Path) -> None:
    run, store = tmp_path / "run", tmp_path / "store"
    both = Workspace(str(run), str(store))
    both.create()
    assert not store.exists(), "whoever owns the store makes it"
    assert {path.name for path in run.iterdir()}.isdisjoint(SPLIT_KINDS)
    assert both.path("rows", "x") == store / "rows" / "x"
    assert both.path("totals", "x") == run / "totals" / "x"
    assert both.path("totals", "x").parent.is_dir()


def test_without_a_store_all_lies_in_one_folder_that_only_the_owner_may_enter(tmp_path: Path) -> None:
    alone = Workspace(str(tmp_path / "run"))
    alone.create()
    alone.create()
    folders = [alone.path(kind, "x").parent for kind in (*SPLIT_KINDS, "totals", "delta")]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_names_sort_as_their_numbers() -> None:
    assert [split_file(7), split_file(123456, "npy")] == ["split-000007.parquet", "split-123456.npy"]
    assert [bucket_file(7), bucket_file(1023)] == ["bucket-0007.parquet", "bucket-1023.parquet"]


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype=np.uint64).reshape(2, 3), np.arange(6).reshape(2, 3).T, np.empty((0, 2), np.int64)],
    ids=["in rows", "in columns", "empty"],
)
def test_arrays_are_files_of_numpy(tmp_path: Path, array: np.ndarray) -> None:
    save_array(tmp_path / "x.npy", array)
    found = np.load(tmp_path / "x.npy")
    assert found.dtype == array.dtype
    assert found.tolist() == array.tolist()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this is a device of Linux only")
def test_a_full_disk_is_told_as_such() -> None:
    """``/dev/full`` takes no byte."""
    with pytest.raises(OSError, match="No space left on device"):
        save_array(Path("/dev/full"), np.arange(100_000))


def test_a_frame_has_its_name_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a[1]*.parquet"
    assert count_rows(path) == 0
    frame = pl.DataFrame({"place": [3, 1]}, {"place": pl.Int64})
    write_frame(path, frame)
    assert read_frame(path).equals(frame)
    assert count_rows(path) == 2

    def killed(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workspace, "point", killed)
    with pytest.raises(KeyboardInterrupt):
        write_frame(path, frame.clear())
    assert count_rows(path) == 2, "the file before is there"
