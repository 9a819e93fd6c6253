"""Predictions of runs on clusters: requests are counted as they are made, and more of anything takes no less."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Config
from pipeline.engines.capacity import Capacity
from pipeline.exchange import row_groups
from pipeline.planning.cluster_prediction import (
    START_SECONDS,
    ClusterPrediction,
    as_if,
    count_footers,
    predict_on_cluster,
)
from pipeline.planning.pace import Pace
from pipeline.planning.planner import fit_sizes
from pipeline.planning.prediction import Work
from pipeline.planning.sample import Sample

WORK = Work(Sample(1, 10**9, 10**7, 8.0, 4.0, 10**5), 0, "polars", True, 2)


def predict(size: int, cores: int, *, on_storage: bool = True, work: Work = WORK) -> ClusterPrediction:
    work = as_if(work, size)
    sizes = fit_sizes(Config(), work.sample.text_bytes, work.sample.rows, spark=True, capacity=Capacity(cores, 10**9))
    return predict_on_cluster(sizes, work, Pace(), 4, on_storage=on_storage)


def test_an_input_of_a_thousand_times_the_size_has_as_many_files_and_rows() -> None:
    sample = as_if(WORK, 10**12).sample
    assert (sample.files, sample.text_bytes, sample.rows, sample.result_rows) == (1000, 10**12, 10**10, 10**8)
    assert as_if(WORK, 10**9) == WORK
    small = as_if(WORK, 10**6).sample
    assert (small.files, small.text_bytes, small.rows, small.result_rows) == (1, 10**6, 10**4, 100)


@given(st.integers(1, 1000), st.integers(1, 10**6), st.integers(1, 10**5), st.sampled_from([10**10, 10**12, 10**18]))
def test_how_much_was_looked_at_does_not_matter(files: int, rows: int, result_rows: int, size: int) -> None:
    """Five kilobytes that stand for an exabyte, too: nothing is made for each file."""
    share = replace(WORK.sample, files=files, text_bytes=100 * rows, rows=rows, result_rows=result_rows)
    whole = replace(share, files=1, text_bytes=100 * 10**9, rows=10**9, result_rows=result_rows * (10**9 // rows))
    one, other = (predict(size, 128, work=replace(WORK, sample=sample)) for sample in (share, whole))
    assert one.splits == other.splits <= size // 10**9 * 16
    assert one.reads == pytest.approx(other.reads, rel=0.001)


@given(st.integers(1, 50_000), st.integers(1, 4000), st.booleans())
def test_more_input_takes_no_less(gigabytes: int, cores: int, on_storage: bool) -> None:
    one, more = (predict(n * 10**9, cores, on_storage=on_storage) for n in (gigabytes, 2 * gigabytes))
    for name in ("ranges", "phase2_seconds", "publish_seconds", "seconds"):
        assert getattr(one, name) <= getattr(more, name) * 1.001
    assert one.seconds == pytest.approx(one.phase1_seconds + one.phase2_seconds + one.publish_seconds)
    assert one.seconds > START_SECONDS


def test_on_a_shared_disk_nothing_is_asked_for() -> None:
    disk, stored = (predict(10**12, 100, on_storage=on_storage) for on_storage in (False, True))
    assert (disk.reads, disk.writes, disk.request_dollars) == (0, 0, 0.0)
    assert disk.seconds < stored.seconds
    rest = {"reads", "writes", "request_dollars", "seconds", "phase1_seconds", "phase2_seconds"}
    same = {name: value for name, value in vars(disk).items() if name not in rest}
    assert same == {name: getattr(stored, name) for name in same}


def test_requests_are_those_of_splits_ranges_and_buckets() -> None:
    found = predict(10**12, 100)
    assert found.splits * 1024 <= found.reads <= found.splits * (3 * 1024 + found.ranges)
    assert found.writes >= 2 * 3 * found.splits
    assert found.request_dollars == pytest.approx(found.reads * 0.4e-6 + found.writes * 5e-6)


def test_footers_are_read_once_by_each_process_as_far_as_it_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand; that a process reads them so often, test_bucket_rows.py counts of the same code."""
    assert count_footers(10_000, 1024, 128) == 10_000 * 128
    assert count_footers(10_000, 1024, 8000) == 10_000 * 1024
    monkeypatch.setattr(row_groups, "_KEPT_BYTES", 1000 * (1024 + 8 * 8))
    assert count_footers(1000, 8, 1) == 1000
    assert count_footers(2000, 8, 1) == 1000 + 1000 * 8
    assert count_footers(20_000, 8, 4) == 1000 * 4 + 19_000 * 8


def test_the_memory_of_the_driver_is_what_the_simulation_measured() -> None:
    """``python -m benchmarks.scale``: 205 MB, 1.22 GB and 9.53 GB of 10,100, 100,700 and 1,006,700 splits."""
    sizes = fit_sizes(Config(), 10**12, 10**10, spark=True, capacity=Capacity(2000, 10**9))
    assert sizes.buckets == 1024
    for splits, measured in ((10_100, 205e6), (100_700, 1.22e9), (1_006_700, 9.53e9)):
        sample = replace(WORK.sample, files=splits, text_bytes=splits * sizes.split_bytes)
        found = predict_on_cluster(sizes, replace(WORK, sample=sample), Pace(), 4, on_storage=True)
        assert found.driver_memory_bytes == pytest.approx(measured, rel=0.25)
