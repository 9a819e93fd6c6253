"""Where worker processes come from, and that none is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.engines import no_advance, workers
from pipeline.engines.local import LocalEngine
from tests.end_to_end.program import ROOT
from tests.pace import patient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


def family(_context: None, _task: int, _advance: Callable[[int], None]) -> tuple[int, int]:
    """(the worker, its parent)"""
    time.sleep(0.05)  # so that each worker gets some
    return os.getpid(), os.getppid()


def ask(engine: LocalEngine) -> tuple[set[int], set[int]]:
    """(workers, their parents)"""
    found = [answer for _, answer in engine.map(family, None, list(range(8)), no_advance) if isinstance(answer, tuple)]
    return {worker for worker, _ in found}, {parent for _, parent in found}


def test_workers_are_forked_by_a_process_with_one_thread() -> None:
    with LocalEngine(2) as engine:
        workers, (server,) = ask(engine)
        assert len(workers) == 2
        assert server != os.getpid()
        assert len(os.listdir(f"/proc/{server}/task")) == 1
        assert "polars" not in Path(f"/proc/{server}/maps").read_text()


def test_an_interrupt_reaches_neither_the_server_nor_a_worker_that_begins() -> None:
    """Ctrl-C goes to the whole process group; where one of them is still loading, it would print a traceback."""
    starts = """
from multiprocessing import forkserver
from pipeline.engines.workers import Workers
workers = Workers(1, ("pipeline.aggregate.aggregator",))
print(open(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read())
workers.close()
"""
    command = [sys.executable, "-c", starts]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (blocked,) = (int(line.split()[1], 16) for line in ended.stdout.splitlines() if line.startswith("SigBlk:"))
    assert blocked >> (signal.SIGINT - 1) & 1


@pytest.mark.slow
def test_workers_end_with_their_server_and_others_take_over() -> None:
    with LocalEngine(2) as engine:
        workers, (server,) = ask(engine)
        os.kill(server, signal.SIGKILL)
        left = [psutil.Process(worker) for worker in workers if psutil.pid_exists(worker)]
        _, alive = psutil.wait_procs(left, timeout=patient(10))
        assert not alive
        others, (another,) = ask(engine)
        assert another != server
        assert len(others) == 2
        assert not others & workers


def test_spawned_workers_outlive_the_thread_that_started_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server has no place for its socket; the kernel's parent-death signal is that of a thread."""
    start_all = workers.Workers._start_all

    def slowly(self: workers.Workers) -> None:
        start_all(self)
        time.sleep(1)

    monkeypatch.setattr(workers, "_start_server", lambda: None)
    monkeypatch.setattr(workers.Workers, "_start_all", slowly)
    with LocalEngine(2) as engine:
        found, (parent,) = ask(engine)
        assert parent == os.getpid()
        time.sleep(1)
        assert ask(engine)[0] == found


@pytest.mark.parametrize(("limit", "milliseconds"), [(2 * 10**9, 25), (16 * 10**9, 1000)])
def test_a_process_of_a_job_keeps_freed_memory_longer_where_the_limit_is_ample(limit: int, milliseconds: int) -> None:
    """The allocator of Polars says on its standard error what it does not know of its settings."""
    environment = workers.job_environment(limit)
    asked = environment | {"_RJEM_MALLOC_CONF": f"{environment['_RJEM_MALLOC_CONF']},stats_print:true"}
    command = [sys.executable, "-c", "import polars"]
    told = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=True).stderr
    assert f"opt.dirty_decay_ms: {milliseconds} " in told
    assert "Invalid" not in told
