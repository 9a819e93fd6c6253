"""Sizes of a run from memory, disk and input."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from config import Config
from pipeline.errors import EnvironmentFault
from pipeline.planning.planner import check_disk, choose_sizes
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile


def files(width: float, size: int, count: int = 1) -> list[InputFile]:
    header = Header(",", ("log_id",), {"log_id": 0}, 10, 2, width)
    return [InputFile(f"{n}.csv", (size, 0, n), header) for n in range(count)]


def config(memory: float, workers: int = 2) -> Config:
    return replace(Config(), MEMORY_LIMIT=int(memory), PREPROCESSING_WORKERS=workers)


@pytest.mark.parametrize("memory", [1e9, 2e9, 16e9])
@pytest.mark.parametrize("width", [20, 100, 4000])
def test_what_splits_may_hold_fits_the_limit(memory: float, width: int) -> None:
    """Whatever the lines turn out to be, rows of all workers with the copies made of them stay below it."""
    sizes = choose_sizes(config(memory), files(width, 10**11), spark=False)
    assert sizes.workers * sizes.held_bytes * 2 < memory
    assert sizes.split_bytes / width * 46 < 1.2 * sizes.held_bytes  # a usual split does not end early
    assert sizes.bucket_rows <= sizes.task_rows


def test_short_records_need_more_disk_than_their_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row takes 41 bytes and more beside its totals, however short its line is."""
    monkeypatch.setattr("pipeline.planning.planner.shutil.disk_usage", lambda _: SimpleNamespace(free=7 * 10**8))
    check_disk("between", files(110, 10**9))
    with pytest.raises(EnvironmentFault, match=r"700 MB free; this input needs about 1\.5 GB"):
        check_disk("between", files(40, 10**9))


def test_fewer_workers_where_memory_is_short() -> None:
    assert choose_sizes(config(1e9, 8), files(100, 10**9), spark=False).workers == 2
    with pytest.raises(EnvironmentFault, match=r"too little for one worker beside Spark: at least 2\.1 GB"):
        choose_sizes(config(1e9), files(100, 10**9), spark=True)
