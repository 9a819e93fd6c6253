"""Worker processes: spawned, never forked (Polars has threads), computing on one thread each, ended with their parent.

This module imports nothing heavy, so that the workers can load their libraries while the parent loads its own.
"""

import gc
import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from ctypes import Array, c_longlong
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from typing import Any, NamedTuple

WORKER_ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Workers do the same work again and again: memory that they free is kept for the next chunk, instead of being given
    # back, mapped again and cleared by the kernel (glibc; Polars' jemalloc). A fifth of Phase 1's time, no higher peak.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1",
    # glibc's, as above, instead of an allocator of Arrow's own, which gives memory back: a tenth less at the peak.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Set before the processes start, because libraries read it when they load."""
_LIBRARIES = ("pipeline.phase1", "pipeline.aggregator", "pipeline.output")


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


_own: _Own | None = None


class Workers:
    """``count`` processes, which start at once and load their libraries while the parent goes on."""

    def __init__(self, count: int) -> None:
        self.count = count
        _allow_many_files()
        os.environ.update(WORKER_ENVIRONMENT)  # inherited by the workers, which read it when they import Polars
        context = multiprocessing.get_context("spawn")
        places = [context.Array("q", count, lock=False) for _ in range(2)]
        self._shared = _Shared(context.Value("q", 0), *places)
        self._pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(self._shared,))
        # A worker that Ctrl-C meets before it can ignore it would print a traceback.
        with suppress(BrokenProcessPool), _interrupts_blocked():
            for _ in range(count):
                self._pool.submit(_load_libraries)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers at once, also idle ones: giving their memory back takes them a fifth of a second."""
        for worker in multiprocessing.active_children():
            worker.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, number: int, work: Callable[..., Any], *arguments: object) -> "Future[Any]":
        """Have a worker run ``work(*arguments, report)`` as task ``number``. Raises BrokenProcessPool."""
        return self._pool.submit(_run, number, work, arguments)

    @property
    def running(self) -> set[int]:
        """The numbers of the tasks that workers are at, or were when they died."""
        return set(self._shared.tasks) - {0}

    @property
    def done(self) -> int:
        """The sum of what kernels have reported so far."""
        return sum(self._shared.done)


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


def _begin(shared: _Shared) -> None:
    global _own
    with shared.next_place.get_lock():
        _own = _Own(shared, shared.next_place.value)
        shared.next_place.value += 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _allow_many_files() -> None:
    """As many open files as the system allows, also for what this process starts later: a worker maps the indexes of
    all splits, often more than the usual thousand."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # where the system lies about what it allows
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _load_libraries() -> None:
    gc.disable()  # modules are no garbage, and many objects: a tenth of the time
    for name in _LIBRARIES:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()


def _run(number: int, work: Callable[..., Any], arguments: tuple[object, ...]) -> object:
    assert _own, "a worker has begun before it gets a task"
    _own.shared.tasks[_own.place] = number
    try:
        return work(*arguments, _report)
    finally:
        _own.shared.tasks[_own.place] = 0


def _report(amount: int) -> None:
    if _own:
        _own.shared.done[_own.place] += amount
