"""Sizes of a run from memory, disk and input."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from config import Config
from pipeline.engines.capacity import Capacity
from pipeline.errors import EnvironmentFault
from pipeline.planning.planner import check_disk, choose_sizes, choose_workers
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


def test_the_number_of_workers_is_known_before_the_input() -> None:
    for memory in (1e9, 2e9, 64e9):
        for workers in (1, 3, 16):
            chosen = choose_workers(config(memory, workers), spark=False)
            sizes = choose_sizes(config(memory, workers), files(100, 10**10), spark=False)
            assert 1 <= chosen == sizes.workers <= workers
            # 300 MB for the main process; each worker needs 280 MB and 60 MB for its rows.
            assert chosen == workers or 0.3e9 + (chosen + 1) * 0.34e9 > memory
    assert choose_workers(config(4e9, 16), spark=True) < choose_workers(config(4e9, 16), spark=False)


@pytest.mark.parametrize("size", [0, 1, 10**6, 10**8, 10**10, 10**12])
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_buckets_are_a_power_of_two_and_enough_for_the_rows_and_the_workers(workers: int, size: int) -> None:
    sizes = choose_sizes(config(8e9, workers), files(100, size), spark=False)
    assert sizes.buckets.bit_count() == 1
    assert 2 * workers <= sizes.buckets <= 1024
    assert sizes.buckets == 1024 or sizes.buckets * sizes.bucket_rows >= (size - 10) / 100
    assert 4 * 2**20 <= sizes.split_bytes <= 96 * 2**20


def test_settings_and_stored_splits_decide_before_the_input_does() -> None:
    asked = replace(config(8e9), BUCKETS=8, SPLIT_BYTES=123)
    sizes = choose_sizes(asked, files(100, 10**10), spark=False)
    assert (sizes.buckets, sizes.split_bytes) == (8, 123)
    assert choose_sizes(asked, files(100, 10**10), spark=False, least_buckets=64).buckets == 64


def test_every_worker_gets_as_many_splits() -> None:
    """A gigabyte for two workers: twelve splits each, none longer than the others."""
    sizes = choose_sizes(config(8e9, 2), files(100, 24 * 20 * 2**20 - 5), spark=False)
    assert sizes.split_bytes == 20 * 2**20


def test_pseudonyms_need_memory() -> None:
    plain, hidden = config(8e9), replace(config(8e9), PSEUDONYMIZE_USERS=True)
    with_ids, with_pseudonyms = (choose_sizes(c, files(20, 10**12), spark=False) for c in (plain, hidden))
    assert with_pseudonyms.held_bytes < with_ids.held_bytes
    assert with_pseudonyms.task_rows < with_ids.task_rows


def test_on_a_cluster_the_executors_decide_and_not_this_machine() -> None:
    sizes = choose_sizes(config(1e9, 1), files(100, 10**11), spark=True, capacity=Capacity(64, 10**9))
    assert sizes.workers == 64
    assert sizes.buckets >= 128
    assert sizes.held_bytes * 2 < 10**9
    smaller = choose_sizes(config(64e9, 8), files(100, 10**11), spark=True, capacity=Capacity(64, 5 * 10**8))
    assert smaller.held_bytes < sizes.held_bytes


def test_an_executor_with_too_little_memory_is_refused() -> None:
    small = replace(config(64e9), SPARK_PYTHON_MEMORY=500_000_000, SPARK_EXECUTOR_CORES=2)
    with pytest.raises(
        EnvironmentFault, match=r"SPARK_PYTHON_MEMORY of 500 MB is too little .* 2 cores: at least 680 MB"
    ):
        choose_sizes(small, files(100, 10**9), spark=True, capacity=Capacity(8, 250_000_000))
