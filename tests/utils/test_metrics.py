"""Cores and memory under control groups; the memory of a process tree and what it costs to watch."""

import operator
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from utils.metrics import PeakMemory, Series, total_memory, usable_cores


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def test_without_control_groups_the_machine_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8
    assert total_memory(tmp_path) == psutil.virtual_memory().total


def test_version_2_takes_the_tightest_level(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/outer/inner",
            "sys/fs/cgroup/outer/inner/cpu.max": "max 100000",
            "sys/fs/cgroup/outer/cpu.max": "250000 100000",
            "sys/fs/cgroup/outer/inner/memory.max": "max",
            "sys/fs/cgroup/outer/memory.max": "1000000",
        },
    )
    assert usable_cores(root) == 3
    assert total_memory(root) == 1_000_000


def test_version_1_with_a_path_of_the_host(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/x",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000",
        },
    )
    assert usable_cores(root) == 2
    assert total_memory(root) == 2_000_000


def test_version_1_without_a_quota(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "5:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}
    assert usable_cores(write(tmp_path, files | {"sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"})) == 8


def test_a_quota_below_one_core_is_one_core(tmp_path: Path) -> None:
    assert usable_cores(write(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "10000 100000"})) == 1


def test_the_memory_of_a_child_is_counted_and_remembered() -> None:
    program = "block = b'x' * 100_000_000; print('ready', flush=True); input()"
    with PeakMemory(interval_seconds=0.02) as memory:
        time.sleep(0.1)
        before = memory.peak_bytes
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(1.3)
            child.communicate("\n")
    assert memory.peak_bytes - before > 95_000_000
    assert memory.sample() <= memory.peak_bytes


def test_watching_costs_under_one_percent_of_a_core() -> None:
    memory = PeakMemory()
    samples = 50
    started = time.thread_time()
    for _ in range(samples):
        memory.sample()
    assert (time.thread_time() - started) / samples < 0.01 * 0.1


def test_a_series_keeps_sums_and_levels_in_bounded_room() -> None:
    amounts, levels = Series(operator.add, 0.5, max_steps=4), Series(max, 0.5, max_steps=4)
    for second in range(10):
        amounts.add(second, 1)
        levels.add(second, second)
    assert amounts.step_seconds == levels.step_seconds == 4
    assert amounts.points() == [(0, 4), (4, 4), (8, 2)]
    assert levels.points() == [(0, 3), (4, 7), (8, 9)]
    assert Series(max, 1).points() == []


def test_a_child_of_a_few_moments_is_found() -> None:
    """The workers of a short run."""
    program = "block = b'x' * 100_000_000; print('ready', flush=True); input()"
    memory = PeakMemory(interval_seconds=0.001)
    before = memory.sample()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = memory.sample()
        child.communicate("\n")
    assert found - before > 95_000_000
