"""A regression guard that a busy machine cannot fool: processor time, as a multiple of what only parsing takes.

What a program takes for 2 MB is its start; what it takes more for 200 MB is its work. Each is compared with the same of
the floor, which parses the four columns with Polars and does nothing else.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contenders import ENGINES, PEERS, Contender, clean, environment
from benchmarks.data import prepare_logs
from tests.end_to_end.program import ROOT

SMALL, LARGE = 2_000_000, 200_000_000
MOST_START, MOST_WORK, ROUNDS = 20, 7.0, 4
"""Measured: 10 and 4 to 5.6, the more the busier the machine; without the compiled parser the work is 9 to 11."""


_WITH_ALL_BELOW = """
import ctypes, os, resource, subprocess, sys
pr_set_child_subreaper = 36
ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)
code = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
try:
    while True:
        os.wait()
except ChildProcessError:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
sys.exit(code)
"""
"""Runs a command, waits also for processes that outlive those which started them, and prints what all have taken."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_logs(tmp_path_factory.mktemp("large"), LARGE, 2)


def processor_seconds(contender: Contender, logs: Path, results: Path) -> float:
    """Processor time of one run and of all processes that it starts."""
    clean(results)
    command = [sys.executable, "-c", _WITH_ALL_BELOW, *contender.command(logs, results, results)]
    ended = subprocess.run(command, cwd=ROOT, env=environment(results), stdout=subprocess.PIPE, text=True, check=True)
    return float(ended.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="tells the processor time of a process tree on Linux only")
def test_start_and_work_stay_near_the_floor(large: Path, tmp_path: Path) -> None:
    logs = {SMALL: prepare_logs(tmp_path, SMALL, 2), LARGE: large}
    seconds_of: dict[tuple[str, int], float] = {}
    for _ in range(ROUNDS):  # least times: noise only adds, and goes with more rounds; what has become slow stays slow
        for contender in (ENGINES["polars"], PEERS["floor"]):
            for size in logs:
                seconds = processor_seconds(contender, logs[size], tmp_path / "result")
                seconds_of[contender.name, size] = min(seconds, seconds_of.get((contender.name, size), seconds))
        start = seconds_of["logmill-polars", SMALL] / seconds_of["floor", SMALL]
        work = (seconds_of["logmill-polars", LARGE] - seconds_of["logmill-polars", SMALL]) / (
            seconds_of["floor", LARGE] - seconds_of["floor", SMALL]
        )
        if start < MOST_START and work < MOST_WORK:
            return
    pytest.fail(
        f"start {start:.1f} (at most {MOST_START}) and work {work:.1f} (at most {MOST_WORK}) floors: {seconds_of}"
    )


def test_a_run_loads_neither_pandas_nor_the_functions_of_pyarrow(large: Path, tmp_path: Path) -> None:
    """pyarrow loads them on the way to small conveniences: a quarter of a second, where pandas is there."""
    # The logs are large: small ones are read before the second worker has loaded anything.
    env = {**environment(tmp_path), "PYTHONPROFILEIMPORTTIME": "1"}
    command = ENGINES["polars"].command(large, tmp_path / "result", tmp_path / "result")
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    # A module that the kernel's own module imports: what a program imports by name is not in Python's list.
    assert ended.stderr.count("pipeline.preprocess.cross_check") >= 3, "of the main process and of both workers"
    assert "pandas" not in ended.stderr
    assert "pyarrow.compute" not in ended.stderr
