"""One cold process, from its start to its end: wall-clock time and peak memory of its whole process tree."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from utils.metrics import memory_in_use
from utils.units import format_seconds, format_size

_INTERVAL_SECONDS = 0.05
_SEARCH_SECONDS = 0.5
_TAIL_CHARACTERS = 2000


@dataclass(frozen=True)
class Limits:
    """Most memory (bytes, of the whole process tree) and time (seconds) of a run; a run that takes more is ended."""

    memory: float = float("inf")
    seconds: float = float("inf")


@dataclass(frozen=True)
class Measurement:
    """Time and memory of one process. ``failure``: the limit that the process passed or, where it did not exit with 0,
    the end of its output; None after a success.

    ``own_seconds``: processor time of the tree, and of measuring it; ``load``: the load average before; ``others``: the
    share of the machine's processor time that others took before or meanwhile, whichever was more.
    """

    seconds: float
    peak_bytes: int
    failure: str | None
    own_seconds: float = 0.0
    load: float = 0.0
    others: float = 0.0


def measure(
    command: Sequence[str], environment: Mapping[str, str], limits: Limits | None = None, servers: Sequence[int] = ()
) -> Measurement:
    """Run a command to its end. Memory is sampled: each process's own pages, and the shared ones once.

    ``servers``: numbers of processes that do its work and run on: their memory, with that of what they start, is the
    run's, and so is their processor time from now on.
    """
    limits = limits or Limits()
    helpers = [psutil.Process(pid) for pid in servers]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        own = _OwnTime(_families(helpers))
        start = time.perf_counter()
        child = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
        )
        tree = psutil.Process(child.pid)
        peak, found, family, passed = 0, 0.0, [tree, *_families(helpers)], None
        while passed is None:
            try:
                child.wait(_INTERVAL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if time.perf_counter() - found > _SEARCH_SECONDS:
                    family, found = _families([tree, *helpers]), time.perf_counter()
                peak = max(peak, memory_in_use(family))
                own.sample(family)
                passed = _passed(limits, time.perf_counter() - start, peak)
        seconds = time.perf_counter() - start
        if passed:
            _end(_family(tree))
            child.wait()
        printed.seek(0)
        if child.returncode and not passed:
            passed = f"exit {child.returncode}: {printed.read()[-_TAIL_CHARACTERS:]}"
    return Measurement(seconds, peak, passed, own.seconds())


class _OwnTime:
    """Processor time of a process tree and of this process, which measures it.

    Each way of counting misses something: the system's count what nobody waited for, such as a JVM; the last sample of
    each process what ended soon after it began; the greatest sample of all, with their ended children, what began
    later. None counts anything twice, so the greatest is nearest to the truth.
    """

    def __init__(self, servers: Sequence[psutil.Process] = ()) -> None:
        """``servers``: processes that ran before; what they took until now does not count."""
        self._before = os.times()
        self._sampled: dict[psutil.Process, float] = {}
        self._greatest = 0.0
        self._earlier: dict[psutil.Process, tuple[float, float]] = {
            process: (sum(times[:2]), sum(times[:4])) for process in servers if (times := _times(process))
        }

    def sample(self, family: Sequence[psutil.Process]) -> None:
        """Remember how much each process has taken so far."""
        total = 0.0
        for process in family:
            if times := _times(process):  # user, system, and the same of the ended children
                own, whole = self._earlier.get(process, (0.0, 0.0))
                self._sampled[process] = sum(times[:2]) - own
                total += sum(times[:4]) - whole
        self._greatest = max(self._greatest, total)

    def seconds(self) -> float:
        """The time since this object was made, when the tree has ended."""
        now, before = os.times(), self._before
        here = now.user + now.system - before.user - before.system
        waited = now.children_user + now.children_system - before.children_user - before.children_system
        return here + max(waited, sum(self._sampled.values()), self._greatest)


def _passed(limits: Limits, seconds: float, peak: int) -> str | None:
    if peak > limits.memory:
        return f"ended when it took more than {format_size(limits.memory)} of memory"
    if seconds > limits.seconds:
        return f"ended when it took more than {format_seconds(limits.seconds)}"
    return None


def _times(process: psutil.Process) -> tuple[float, ...]:
    """Its times; none where it has ended."""
    try:
        return tuple(process.cpu_times())
    except psutil.Error:
        return ()


def _families(roots: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [process for root in roots for process in _family(root)]


def _family(tree: psutil.Process) -> list[psutil.Process]:
    """The process and its descendants. The search takes milliseconds, so callers keep the result for a while."""
    try:
        return [tree, *tree.children(recursive=True)]
    except psutil.Error:
        return [tree]


def _end(family: Sequence[psutil.Process]) -> None:
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family[1:], timeout=10)
