"""Cores and memory that this process may use, also inside a container, and the memory that a run uses."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import psutil

ROOT = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Cores that this process may use: the least of affinity and the CPU quotas of its control groups (rounded up).

    ``root`` stands for ``/`` in tests.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *_cpu_quotas(root)]))


def total_memory(root: Path = ROOT) -> int:
    """Bytes of memory that this process may use: the least of the machine's and its control groups' limits."""
    limits = [
        int(text)
        for folder in _group_folders(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _read(folder / name)).isdigit()
    ]
    return min([_machine_memory(), *limits])


def _machine_memory() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import psutil  # late, because it takes longer to load than a command without work takes

    return int(psutil.virtual_memory().total)


def _cpu_quotas(root: Path) -> Iterator[int]:
    for folder in _group_folders(root, "cpu"):
        words = _read(folder / "cpu.max").split() or [
            _read(folder / "cpu.cfs_quota_us"),
            _read(folder / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):
            yield math.ceil(int(words[0]) / int(words[1]))


def _group_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups, innermost first, up to the mount (version 2, then version 1).

    A limit may be set at any level. Inside a container the path may be the host's: levels that do
    not exist read as empty.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        inner = mount / path.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(mount))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def memory_in_use(processes: "Iterable[psutil.Process]") -> int:
    """Bytes that processes use: their own pages, and the largest shared part of one. Ended processes count 0."""
    import psutil

    own = shared_most = 0
    for process in processes:
        try:
            memory = process.memory_info()
        except (OSError, psutil.Error):  # it has ended, or no further file may be open
            continue
        shared = int(getattr(memory, "shared", 0))
        own += int(memory.rss) - shared
        shared_most = max(shared_most, shared)
    return own + shared_most


class Series:
    """Values over time in equal steps, in bounded room: the steps double where there would be more than ``max_steps``.

    ``combine`` makes one value of the values of one step: ``max`` for a level, ``add`` for amounts.
    """

    def __init__(self, combine: Callable[[float, float], float], step_seconds: float, max_steps: int = 600) -> None:
        self.step_seconds = step_seconds
        self._combine = combine
        self._max_steps = max_steps
        self._values: dict[int, float] = {}

    def add(self, seconds: float, value: float) -> None:
        """Add a value at ``seconds`` since the begin of the series."""
        while seconds >= self._max_steps * self.step_seconds:
            self.step_seconds *= 2
            finer, self._values = self._values, {}
            for step, earlier in finer.items():
                self._put(step // 2, earlier)
        self._put(int(max(seconds, 0.0) / self.step_seconds), value)

    def _put(self, step: int, value: float) -> None:
        self._values[step] = self._combine(self._values[step], value) if step in self._values else value

    def points(self) -> list[tuple[float, float]]:
        """(begin in seconds, value) of every step that has a value, in order."""
        return [(step * self.step_seconds, value) for step, value in sorted(self._values.items())]


_FIRST_SEARCHES_SECONDS = 0.04
"""Of a processor: a run of a second is over before its workers are found, if each search has to be earned."""


class PeakMemory:
    """Samples the memory of this process and all its descendants while the ``with`` block runs.

    A sample is ``memory_in_use``: the pages of each process alone (resident less shared, where the system tells) and
    the largest shared part of one process, so that pages of libraries count once, not once per worker. The sum is close
    to that of the proportional set sizes, which take milliseconds per process to read.

    Attributes:
        peak_bytes: the largest sample.
        samples: the largest sample of each step of time.
        begin: when the samples begin (epoch seconds).
    """

    def __init__(self, interval_seconds: float = 0.1) -> None:
        self.peak_bytes = 0
        self.samples = Series(max, interval_seconds)
        self.begin = time.time()
        self._clock = time.monotonic()
        self._interval = interval_seconds
        self._processes: list[psutil.Process] = []
        self._next_search = self._search_seconds = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.sample()

    def sample(self) -> int:
        """Measure once, and return the bytes in use."""
        self._find_processes()
        in_use = memory_in_use(self._processes)
        self.peak_bytes = max(self.peak_bytes, in_use)
        self.samples.add(time.monotonic() - self._clock, in_use)
        return in_use

    def _find_processes(self) -> None:
        """Look for new processes: at each sample while the workers start, and then in a 200th of the time, because a
        search of the process table takes milliseconds."""
        now = time.monotonic()
        if now < self._next_search:
            return
        import psutil  # late: the workers, which load this module, need it not at all

        started = time.thread_time()  # waiting for a busy machine costs nothing, and must not put off the next search
        with suppress(OSError, psutil.Error):
            me = psutil.Process()
            self._processes = [me]
            self._processes += me.children(recursive=True)
        self._search_seconds += time.thread_time() - started
        due = self._clock + 200 * (self._search_seconds - _FIRST_SEARCHES_SECONDS)
        self._next_search = max(now + self._interval, due)

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self.sample()
