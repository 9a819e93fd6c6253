"""The embedded engine: kernels on a pool of processes, one Polars thread each."""

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from ctypes import Array, c_longlong
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from typing import Any, NamedTuple

from pipeline.engines import Kernel, Result, Task
from pipeline.engines.attempts import Attempt, Work, is_lost
from pipeline.job import Job
from pipeline.timeline import Span, timed

WORKER_ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Workers do the same work again and again: memory that they free is kept for the next chunk, instead of being given
    # back, mapped again and cleared by the kernel (glibc; Polars' jemalloc). A fifth of Phase 1's time, no higher peak.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1",
}
"""Each worker computes on one thread; set before the process starts, because libraries read it when they load."""
_POLL_SECONDS = 0.2

_own: "_Own | None" = None


class _Shared(NamedTuple):
    """What the workers tell without a lock, which one that is killed would hold for ever: each writes its own place.

    ``tasks``: the number of the task that it works on, or 0; ``done``: what its kernels have reported.
    """

    next_place: "Synchronized[int]"
    tasks: "Array[c_longlong]"
    done: "Array[c_longlong]"


@dataclass
class _Own:
    """A worker's place in ``shared``."""

    shared: _Shared
    place: int


class LocalEngine:
    """Runs kernels on worker processes (spawned, never forked: Polars has threads).

    Workers start at once and load their libraries while the parent goes on; they end with the parent, however it ends.
    Where one is killed, all are replaced, and what they were working on is tried again, one task at a time.
    ``job`` must be set before ``map`` is called; ``spans`` tells when each task ran.
    """

    name = "polars"

    def __init__(self, workers: int, job: Job | None = None) -> None:
        self.job = job
        self.spans: list[Span] = []
        self._workers = workers
        self._ahead = 8 * workers
        os.environ.update(WORKER_ENVIRONMENT)  # inherited by the workers, which read it when they import Polars
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        places = [context.Array("q", self._workers, lock=False) for _ in range(2)]
        self._shared = _Shared(context.Value("q", 0), *places)
        self._pool = ProcessPoolExecutor(self._workers, context, initializer=_begin_worker, initargs=(self._shared,))
        # A worker that Ctrl-C meets before it can ignore it would print a traceback.
        with suppress(BrokenProcessPool), _interrupts_blocked():
            for _ in range(self._workers):
                self._pool.submit(_load_libraries)

    def __enter__(self) -> "LocalEngine":
        return self

    def __exit__(self, fault: object, *_: object) -> None:
        """End the workers at once: nothing that they do will be used."""
        self.close()

    def close(self) -> None:
        """End the workers at once, also idle ones: giving their memory back takes them a fifth of a second."""
        for worker in multiprocessing.active_children():
            worker.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def map(
        self, kernel: Kernel[Task, Result], tasks: Sequence[Task], advance: Callable[[int], None]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run ``kernel`` on every task; yields (task, result or the exception that it raised) as they finish.

        ``advance`` gets what the kernels report, in their unit. A task over which three workers were killed yields
        WorkerDied. Raises it where workers die over no task.
        """
        assert self.job is not None, "the job is set before map is called"
        work = Work[Task, tuple[Result, Span]](tasks, self._ahead)
        told = sum(self._shared.done)
        while True:
            lost = [attempt for attempt in work.next_attempts() if not self._submit(kernel, attempt, work)]
            if not work.waiting and not lost:
                return
            finished, _ = wait(work.waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            now = sum(self._shared.done)
            if now > told:
                advance(now - told)
                told = now
            if lost or any(is_lost(future) for future in finished):
                lost += work.take_lost()
                yield from work.judge(lost, running=set(self._shared.tasks) - {0})
                self.close()
                self._start()
                told = 0
                continue
            for future in finished:
                task = work.waiting.pop(future).task
                fault = future.exception()
                if fault is not None and not isinstance(fault, Exception):
                    raise fault
                if fault is not None:
                    yield task, fault
                    continue
                result, span = future.result()
                self.spans.append(span)
                yield task, result

    def _submit(
        self, kernel: Kernel[Task, Result], attempt: Attempt[Task], work: Work[Task, tuple[Result, Span]]
    ) -> bool:
        assert self.job is not None
        try:
            future = self._pool.submit(_run, kernel, self.job, attempt.number, attempt.task)
        except BrokenProcessPool:
            return False
        work.waiting[future] = attempt
        return True


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that are started meanwhile begin with SIGINT blocked (where signals can be)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(shared: _Shared) -> None:
    global _own
    with shared.next_place.get_lock():
        _own = _Own(shared, shared.next_place.value)
        shared.next_place.value += 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _load_libraries() -> None:
    for name in ("polars", "pyarrow.parquet", "polars_hash"):
        importlib.import_module(name)


def _run(
    kernel: Callable[[Job, Any, Callable[[int], None]], Any], job: Job, number: int, task: Any
) -> tuple[Any, Span]:
    assert _own, "a worker has begun before it gets a task"
    _own.shared.tasks[_own.place] = number
    try:
        return timed(kernel, kernel.__name__, job, task, _report)
    finally:
        _own.shared.tasks[_own.place] = 0


def _report(amount: int) -> None:
    if _own:
        _own.shared.done[_own.place] += amount
