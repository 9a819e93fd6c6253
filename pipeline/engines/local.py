"""The embedded engine: kernels on a pool of processes, one Polars thread each."""

import importlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from pipeline.engines import Kernel, Result, Task
from pipeline.errors import EnvironmentFault
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

_done: "Synchronized[int] | None" = None


class LocalEngine:
    """Runs kernels on worker processes (spawned, never forked: Polars has threads).

    Workers start at once and load their libraries while the parent goes on; they end with the parent, however it ends.
    ``job`` must be set before ``map`` is called; ``spans`` tells when each task ran.
    """

    name = "polars"

    def __init__(self, workers: int, job: Job | None = None) -> None:
        self.job = job
        self.spans: list[Span] = []
        self._ahead = 8 * workers
        context = multiprocessing.get_context("spawn")
        self._done: Synchronized[int] = context.Value("q", 0)
        os.environ.update(WORKER_ENVIRONMENT)  # inherited by the workers, which read it when they import Polars
        self._pool = ProcessPoolExecutor(workers, context, initializer=_begin_worker, initargs=(self._done,))
        with _interrupts_blocked():  # a worker that Ctrl-C meets before it can ignore it would print a traceback
            for _ in range(workers):
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

        ``advance`` gets what the kernels report, in their unit. Raises EnvironmentFault where a worker is killed.
        """
        assert self.job is not None, "the job is set before map is called"
        # A few at a time: a wait for one of 10,000 would cost more than the work.
        rest, waiting = iter(tasks), dict[Future[tuple[Result, Span]], Task]()
        told = self._done.value
        while True:
            for task in itertools.islice(rest, self._ahead - len(waiting)):
                waiting[self._pool.submit(_run, kernel, self.job, task)] = task
            if not waiting:
                return
            finished, _ = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            now = self._done.value
            if now > told:
                advance(now - told)
                told = now
            for future in finished:
                task = waiting.pop(future)
                fault = future.exception()
                if isinstance(fault, BrokenProcessPool):
                    raise EnvironmentFault(
                        f"a worker process was killed while it worked on {task}; most often the system ran out of "
                        "memory. Lower --memory-limit or --workers and run again."
                    ) from fault
                if fault is not None and not isinstance(fault, Exception):
                    raise fault
                if fault is not None:
                    yield task, fault
                    continue
                result, span = future.result()
                self.spans.append(span)
                yield task, result


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


def _begin_worker(done: "Synchronized[int]") -> None:
    global _done
    _done = done
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


def _run(kernel: Callable[[Job, Any, Callable[[int], None]], Any], job: Job, task: Any) -> tuple[Any, Span]:
    return timed(kernel, kernel.__name__, job, task, _report)


def _report(amount: int) -> None:
    if _done is not None:
        with _done.get_lock():
            _done.value += amount
