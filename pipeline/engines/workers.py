"""Worker processes: each computes on one thread, and ends when its parent ends.

On Linux a server forks them. It has one thread, and has loaded the libraries that they share; each worker loads Polars,
which has several threads, by itself. On other systems, and where the server's socket cannot be made, the workers are
spawned. This module imports nothing heavy, so that workers load their libraries while the parent loads its own.
"""

import ctypes
import gc
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from ctypes import Array, c_longlong
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import Synchronized
from typing import Any, NamedTuple

from pipeline.engines.limits import check_limits, shared_memory_explained

WORKER_ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "POLARS_ENGINE_AFFINITY": "auto",  # gpu asks for a package that nothing here needs
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Workers do the same work again and again, so that they keep the memory that they free for the next chunk; the
    # system would have to map and clear it again (glibc; Polars' jemalloc). This saves a fifth of Phase 1's time, and
    # the peak is no higher.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1",
    # Arrow uses glibc's allocator, too, instead of its own: a tenth less memory at the peak.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # Arrow's own starts a thread; the server that forks has one
}
"""Environment variables of workers. They are set before the processes start, because libraries read them on loading."""

_AMPLE_BYTES = 8 * 10**9
_GIVES_BACK = "dirty_decay_ms:25,muzzy_decay_ms:0"
_KEEPS_A_SECOND = "dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:2,oversize_threshold:0"


def job_environment(memory_limit: int) -> dict[str, str]:
    """Environment variables of a process that makes tables of a job, by the limit (bytes) of all processes.

    It does work of many kinds, so that what it keeps of one may not fit the next, and adds up: 300 MB in a second.
    Where these are little beside the limit, memory is given back after a second, and most is used again before, the
    more where all threads share two arenas, and large blocks lie in them.
    """
    return {
        "_RJEM_MALLOC_CONF": _KEEPS_A_SECOND if memory_limit >= _AMPLE_BYTES else _GIVES_BACK,
        "OPENBLAS_NUM_THREADS": "1",  # NumPy's threads for matrices, of which there are none, wait by spinning
    }


THRIFTY_ENVIRONMENT = {
    **{name: value for name, value in WORKER_ENVIRONMENT.items() if not name.startswith("MALLOC_")},
    "_RJEM_MALLOC_CONF": _GIVES_BACK,
}
"""Environment variables of workers that do such work."""

SHARED_LIBRARIES = (
    *("concurrent.futures.process", "dataclasses", "decimal", "importlib.metadata", "json", "logging", "typing"),
    *("numpy", "pyarrow.parquet"),
)
"""Libraries that start no thread: what forks workers loads them once, before."""


class _Shared(NamedTuple):
    """Memory that workers share with their parent. Each writes to its own slot, without a lock, which a worker that is
    killed would hold for ever.

    =============  =====================================================================
    ``next_slot``  the slot of the next worker that begins
    ``tasks``      by slot, the number of the task that the worker is at, or 0
    ``done``       by slot, the sum of the progress that its kernels have reported
    =============  =====================================================================
    """

    next_slot: "Synchronized[int]"
    tasks: "Array[c_longlong]"
    done: "Array[c_longlong]"


@dataclass
class _Own:
    """A worker's slot in the shared memory."""

    shared: _Shared
    slot: int


_own: _Own | None = None


class Workers:
    """``count`` worker processes, which start at once and load their libraries while the parent goes on.

    Raises EnvironmentFault where the system does not allow them.
    """

    def __init__(
        self, count: int, modules: Sequence[str] = (), environment: Mapping[str, str] = WORKER_ENVIRONMENT
    ) -> None:
        self.count = count
        self._modules = tuple(modules)
        check_limits(count)
        os.environ.update(environment)  # inherited by the workers, which read it when they import Polars
        server = _start_server()
        context = server or multiprocessing.get_context("spawn")
        with shared_memory_explained():
            tasks, done = (context.Array("q", count, lock=False) for _ in range(2))
            self._shared = _Shared(context.Value("q", 0), tasks, done)
            self._pool = ProcessPoolExecutor(
                count, context, initializer=_begin, initargs=(self._shared, server is not None)
            )
        # On a thread, because starting a process waits until the server has loaded its libraries.
        self._start = threading.Thread(target=self._start_all, daemon=True)
        self._start.start()

    def _start_all(self) -> None:
        # The first task raises it again. RuntimeError: the system allows no further thread.
        with suppress(BrokenProcessPool, EOFError, OSError, RuntimeError), _interrupts_blocked():
            for _ in range(self.count):
                self._pool.submit(load_modules, self._modules)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers at once, by a signal: if they freed their memory first, it would take a fifth of a second."""
        self._start.join()
        for worker in multiprocessing.active_children():
            worker.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, number: int, work: Callable[..., Any], *arguments: object) -> "Future[Any]":
        """Have a worker run ``work(*arguments, advance)`` as task ``number`` (from 1).

        Raises BrokenProcessPool where a worker has died.
        """
        return self._pool.submit(_run, number, work, arguments)

    @property
    def running(self) -> set[int]:
        """The numbers of the tasks that workers are at, or were at when they died."""
        return set(self._shared.tasks) - {0}

    @property
    def done(self) -> int:
        """The sum of the progress that kernels have reported until now."""
        return sum(self._shared.done)


def _start_server() -> BaseContext | None:
    """Start the process that forks workers, without waiting for it. None where it is not possible."""
    if sys.platform != "linux":
        return None
    from multiprocessing import forkserver, resource_tracker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(SHARED_LIBRARIES))
    try:
        with _interrupts_blocked():
            resource_tracker.ensure_running()  # first, because to start it unblocks SIGINT
        with _interrupts_blocked(), variables_set({"PYTHONSAFEPATH": "1"}):  # not a numpy.py of the current folder
            forkserver.ensure_running()
    except OSError:  # a temporary folder whose path is too long for a socket, or that cannot be written
        return None
    return context


@contextmanager
def variables_set(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block, in which processes may be started that inherit them."""
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
    """Block SIGINT and SIGHUP for processes that the block starts, where the system can.

    Both reach the whole process group, and the parent decides. A process that gets Ctrl-C before it has begun to ignore
    it would print a traceback; the end of a terminal would kill Python's own helpers under the workers.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGHUP])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(shared: _Shared, forked: bool) -> None:
    global _own
    with shared.next_slot.get_lock():
        _own = _Own(shared, shared.next_slot.value)
        shared.next_slot.value += 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent decides
    if forked:
        _end_with_server()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_server() -> None:
    """End this worker when its server ends: the parent then takes it for dead, and starts others on the same work.

    Not for a spawned worker, because the signal comes when the thread that started the process ends.
    """
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def load_modules(modules: Sequence[str]) -> None:
    """Import ``modules`` in this process, which keeps them for good."""
    gc.disable()  # modules are many objects and no garbage: this saves a tenth of the time
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()


def _run(number: int, work: Callable[..., Any], arguments: tuple[object, ...]) -> object:
    assert _own, "a worker has begun before it gets a task"
    _own.shared.tasks[_own.slot] = number
    try:
        return work(*arguments, _advance)
    finally:
        _own.shared.tasks[_own.slot] = 0


def _advance(amount: int) -> None:
    if _own:
        _own.shared.done[_own.slot] += amount
