"""Worker processes, computing on one thread each, ended with their parent.

On Linux they are forked by a server that has loaded what they share and has one thread; Polars, which has several, is
loaded in each worker. Elsewhere, and where there is no place for the server's socket, they are spawned. This module
imports nothing heavy, so that they can load their libraries while the parent loads its own.
"""

import ctypes
import gc
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from ctypes import Array, c_longlong
from dataclasses import dataclass
from multiprocessing.context import BaseContext
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
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # of the latter; who forks should have one thread
}
"""Set before the processes start, because libraries read it when they load."""


_SHARED_LIBRARIES = (
    *("concurrent.futures.process", "dataclasses", "decimal", "importlib.metadata", "json", "logging", "typing"),
    *("numpy", "pyarrow.parquet"),
)
"""Loaded before workers are forked, and so once: what starts no thread."""


KERNEL_MODULES = ("pipeline.preprocess.preprocessor", "pipeline.aggregate.aggregator", "pipeline.publish.region_files")
"""The modules with the kernels of a run, with all that they import."""


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
        os.environ.update(WORKER_ENVIRONMENT)  # inherited by the workers, which read it when they import Polars
        server = _start_server()
        context = server or multiprocessing.get_context("spawn")
        places = [context.Array("q", count, lock=False) for _ in range(2)]
        self._shared = _Shared(context.Value("q", 0), *places)
        self._pool = ProcessPoolExecutor(
            count, context, initializer=_begin, initargs=(self._shared, server is not None)
        )
        # Beside, because a process is there only when the server has loaded its libraries.
        self._start = threading.Thread(target=self._start_all, daemon=True)
        self._start.start()

    def _start_all(self) -> None:
        with suppress(BrokenProcessPool, EOFError, OSError), _interrupts_blocked():  # the first task meets it again
            for _ in range(self.count):
                self._pool.submit(_load_libraries)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers at once, also idle ones: giving their memory back takes them a fifth of a second."""
        self._start.join()
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


def _start_server() -> BaseContext | None:
    """Start the process that forks workers, without waiting for it; None where there can be none."""
    if sys.platform != "linux":
        return None
    from multiprocessing import forkserver, resource_tracker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_SHARED_LIBRARIES))
    try:
        resource_tracker.ensure_running()  # first, because to start it unblocks SIGINT
        with _interrupts_blocked(), variables_set({"PYTHONSAFEPATH": "1"}):  # no numpy.py of the folder we are in
            forkserver.ensure_running()
    except OSError:  # a temporary folder whose path is too long for a socket, or that cannot be written
        return None
    return context


@contextmanager
def variables_set(values: Mapping[str, str]) -> Iterator[None]:
    """This process, and those that it starts meanwhile, have these environment variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that are started meanwhile begin with SIGINT blocked (where signals can be): one that Ctrl-C meets
    before it can ignore it would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(shared: _Shared, forked: bool) -> None:
    global _own
    with shared.next_place.get_lock():
        _own = _Own(shared, shared.next_place.value)
        shared.next_place.value += 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    if forked:
        _end_with_server()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_server() -> None:
    """Without its server a worker seems dead to the parent, which starts others on the same work. (A worker that is
    spawned would end with the thread that started it.)"""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _load_libraries() -> None:
    gc.disable()  # modules are no garbage, and many objects: a tenth of the time
    for name in KERNEL_MODULES:
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
