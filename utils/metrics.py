"""What the machine offers (cores, memory, also inside a container) and what a run takes of it."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

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
    return min([psutil.virtual_memory().total, *limits])


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


def memory_in_use(processes: Iterable[psutil.Process]) -> int:
    """Bytes: each process's own pages, and the greatest shared part of any one of them; ended ones count 0."""
    own = shared_most = 0
    for process in processes:
        try:
            memory = process.memory_info()
        except psutil.Error:
            continue
        shared = int(getattr(memory, "shared", 0))
        own += int(memory.rss) - shared
        shared_most = max(shared_most, shared)
    return own + shared_most


class Series:
    """Values over time in equal steps, in bounded room: where more than ``most`` steps would be needed, they double.

    ``combine`` makes one value of those that fall into one step: ``max`` of a level, ``add`` of amounts.
    """

    def __init__(self, combine: Callable[[float, float], float], step_seconds: float, most: int = 600) -> None:
        self.step_seconds = step_seconds
        self._combine = combine
        self._most = most
        self._values: dict[int, float] = {}

    def add(self, seconds: float, value: float) -> None:
        """Take a value at ``seconds`` since the series' begin."""
        while seconds >= self._most * self.step_seconds:
            self.step_seconds *= 2
            finer, self._values = self._values, {}
            for place, earlier in finer.items():
                self._put(place // 2, earlier)
        self._put(int(max(seconds, 0.0) / self.step_seconds), value)

    def _put(self, place: int, value: float) -> None:
        self._values[place] = self._combine(self._values[place], value) if place in self._values else value

    def points(self) -> list[tuple[float, float]]:
        """(begin of the step in seconds, its value) of every step that has one, in order."""
        return [(place * self.step_seconds, value) for place, value in sorted(self._values.items())]


class PeakMemory:
    """Samples the memory of this process and all its descendants while the ``with`` block runs.

    ``peak_bytes`` is the greatest sum of each process's own pages (resident less shared, where the system tells) plus
    the greatest shared part of any one of them: pages of libraries are counted once, not once per worker. This is
    close to the sum of proportional set sizes, which costs milliseconds per process to read. ``samples``: the greatest
    such sum over time, from ``begin`` (epoch seconds).
    """

    def __init__(self, interval_seconds: float = 0.1) -> None:
        self.peak_bytes = 0
        self.samples = Series(max, interval_seconds)
        self.begin = time.time()
        self._clock = time.monotonic()
        self._interval = interval_seconds
        self._me = psutil.Process()
        self._processes = [self._me]
        self._next_search = 0.0
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
        """Measures once and returns the bytes in use now."""
        self._find_processes()
        in_use = memory_in_use(self._processes)
        self.peak_bytes = max(self.peak_bytes, in_use)
        self.samples.add(time.monotonic() - self._clock, in_use)
        return in_use

    def _find_processes(self) -> None:
        """Searching the process table costs milliseconds of work, so it happens about once a second at most."""
        if time.monotonic() < self._next_search:
            return
        started = time.thread_time()  # waiting for a busy machine costs nothing, and must not put off the next search
        try:
            self._processes = [self._me, *self._me.children(recursive=True)]
        except psutil.Error:
            self._processes = [self._me]
        self._next_search = time.monotonic() + max(1.0, 200 * (time.thread_time() - started))

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self.sample()
