"""Where the time of a run goes: stages, tasks and phases; and how a run tells how far it is.

    with stage("read") as read:
        read.amount += len(data)

A stage that begins within another takes its time from that one, so that all stages add up to the work that was done.
It costs two readings of two clocks, 3 µs: stages enclose chunks, files and buckets, never rows, and are always timed
(measured: 0.1 % of the processor time of a run). Stages are added up in the ``recording`` around them; outside of any,
and in other threads than the one that opened it, they are not.
"""

import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from utils.metrics import PeakMemory, Series

Unit = Literal["bytes", "rows"]


class Progress(Protocol):
    """Where a run tells how far it is. Calls come from one thread."""

    def phase(self, name: str, total: int, unit: Unit = "bytes") -> None:
        """A phase begins (and the one before has ended); it will ``advance`` by ``total`` bytes or rows in all."""

    def advance(self, n: int) -> None:
        """``n`` more of the phase's total are done."""

    def note(self, message: str) -> None:
        """One line for the user: a fallback taken, a file skipped."""

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        """For a log that programs read: ids, files, counts and times, never values of records. ``run_id`` comes once,
        with the first event."""


@dataclass(frozen=True)
class PhaseSeconds:
    """Wall-clock seconds of the run and of its phases."""

    total: float = 0.0
    phase1: float = 0.0
    phase2: float = 0.0
    publish: float = 0.0


STAGES = {
    "expand": "bytes",
    "set up": "",
    "read": "bytes",
    "checksum": "bytes",
    "verify": "bytes",
    "parse": "bytes",
    "hash": "rows",
    "geo": "rows",
    "parse, hash, geo": "bytes",
    "dedupe": "rows",
    "index": "rows",
    "scatter": "rows",
    "write": "rows",
    "merge": "rows",
    "load": "rows",
    "group": "rows",
    "spark sql": "rows",
    "publish": "rows",
    "report": "",
    "other": "",
}
"""Every stage in the order of the data path, and the unit of its amount.

``set up``: geo table and compiled parser, once a process. ``parse, hash, geo``: the compiled parser goes over a row
once for all three. ``load``: rows of Phase 1, read by Phase 2.
"""


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock and of the processor (all threads of the process), and how much was done in them."""

    wall: float = 0.0
    cpu: float = 0.0
    amount: int = 0

    def __add__(self, more: "Spent") -> "Spent":
        return Spent(self.wall + more.wall, self.cpu + more.cpu, self.amount + more.amount)


@dataclass(frozen=True)
class StageTime:
    """One stage of a run over all its processes; ``share`` of the wall-clock time of all stages, from 0 to 1."""

    stage: str
    wall_seconds: float
    cpu_seconds: float
    share: float
    amount: int
    unit: str


class _Recording:
    """What was spent in each stage, and the stage that is open."""

    __slots__ = ("innermost", "spent")

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = {}
        self.innermost: stage | None = None


_current: ContextVar[_Recording | None] = ContextVar("recording", default=None)


@contextmanager
def recording() -> Iterator[dict[str, Spent]]:
    """Adds up the stages of the ``with`` block, in this thread, by name."""
    mine = _Recording()
    token = _current.set(mine)
    try:
        yield mine.spent
    finally:
        _current.reset(token)


class stage:
    """Times the ``with`` block; ``amount``, which may grow within, is in the unit of ``STAGES``."""

    __slots__ = ("_cpu", "_inner", "_name", "_outer", "_recording", "_wall", "amount")

    def __init__(self, name: str, amount: int = 0) -> None:
        self._name, self.amount, self._inner = name, amount, Spent()
        self._recording, self._outer = _current.get(), None  # type: _Recording | None, stage | None
        self._wall = self._cpu = 0.0

    def __enter__(self) -> Self:
        if self._recording:
            self._outer, self._recording.innermost = self._recording.innermost, self
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._recording:
            return
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        own = Spent(wall - self._inner.wall, cpu - self._inner.cpu, self.amount)
        spent = self._recording.spent
        spent[self._name] = spent.get(self._name, Spent()) + own
        self._recording.innermost = self._outer
        if self._outer:
            self._outer._inner += Spent(wall, cpu)


def count(amount: int) -> None:
    """Add to the amount of the innermost stage, if there is one."""
    recording = _current.get()
    if recording and recording.innermost:
        recording.innermost.amount += amount


def sum_stages(parts: Iterable[Mapping[str, Spent]]) -> tuple[StageTime, ...]:
    """The stages of all parts (tasks, and the main process) in the order of the data path."""
    sums: dict[str, Spent] = {}
    for part in parts:
        for name, spent in part.items():
            sums[name] = sums.get(name, Spent()) + spent
    total = sum(spent.wall for spent in sums.values())
    return tuple(
        StageTime(
            name,
            round(sums[name].wall, 6),
            round(sums[name].cpu, 6),
            round(sums[name].wall / total, 6) if total else 0.0,
            sums[name].amount,
            unit,
        )
        for name, unit in STAGES.items()
        if name in sums
    )


Function = TypeVar("Function", bound=Callable[..., Any])


def in_stage(name: str) -> Callable[[Function], Function]:
    """Declares the stage of a kernel: what it does outside the stages within it. Without one that is ``other``."""

    def declare(kernel: Function) -> Function:
        kernel.stage = name  # type: ignore[attr-defined]
        return kernel

    return declare


@dataclass(frozen=True)
class Span:
    """One task: its ``stage`` (the kernel's name), its ``worker`` (machine and process), when, in epoch seconds, and
    what it ``spent``, by the names in ``STAGES``."""

    stage: str
    worker: str
    begin: float
    end: float
    spent: Mapping[str, Spent] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """A phase from ``begin`` (seconds since the run began); ``done``: how much in each step, in the phase's unit."""

    name: str
    begin: float
    done: Series


class WatchedProgress:
    """Passes everything on to another progress and keeps when phases began and how fast they went."""

    def __init__(self, inner: Progress) -> None:
        self.begin = time.time()
        self.phases: list[Phase] = []
        self._inner = inner
        self._clock = time.monotonic()

    def phase(self, name: str, total: int, unit: Unit = "bytes") -> None:
        """A phase begins."""
        self.phases.append(Phase(name, time.monotonic() - self._clock, Series(operator.add, 0.25)))
        self._inner.phase(name, total, unit)

    def advance(self, n: int) -> None:
        """``n`` more are done."""
        self.phases[-1].done.add(time.monotonic() - self._clock, n)
        self._inner.advance(n)

    def note(self, message: str) -> None:
        """One line for the user."""
        self._inner.note(message)

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        """An event for the log."""
        self._inner.event(name, level, **facts)


class Timed(Protocol):
    """Has tasks that ran."""

    @property
    def spans(self) -> Sequence[Span]:
        """When each of them ran."""


class Watch:
    """Observes one run and decides nothing: its progress, the time of its phases, tasks and stages, its memory.

    The ``with`` block is the run. ``lap`` ends a phase.
    """

    def __init__(self, run_id: str, progress: Progress) -> None:
        self.run_id = run_id
        self.progress = WatchedProgress(progress)
        self.memory = PeakMemory()
        self._begin = self._lap = time.monotonic()
        self._laps: dict[str, float] = {}
        self._engines: list[Timed] = []
        self._recording = recording()
        self._spent: Mapping[str, Spent] = {}

    def __enter__(self) -> Self:
        self._spent = self._recording.__enter__()
        self.memory.__enter__()
        return self

    def __exit__(self, *fault: Any) -> None:
        self.memory.__exit__(*fault)
        self._recording.__exit__(*fault)

    def follow(self, engine: Timed) -> None:
        """The tasks of this engine are the run's, too."""
        self._engines.append(engine)

    def lap(self, phase: str) -> None:
        """``phase`` (a field of ``PhaseSeconds``) ends now; it began where the one before ended."""
        now = time.monotonic()
        self._laps[phase] = now - self._lap
        self._lap = now

    def seconds(self) -> PhaseSeconds:
        """How long the run has taken until now, and each phase that has ended."""
        return PhaseSeconds(total=time.monotonic() - self._begin, **self._laps)

    def peak_memory(self) -> int:
        """Most bytes that all processes of the run took together until now."""
        self.memory.sample()
        return self.memory.peak_bytes

    @property
    def spans(self) -> list[Span]:
        """The tasks of all engines."""
        return [span for engine in self._engines for span in engine.spans]

    def profile(self) -> tuple[StageTime, ...]:
        """The time of every stage until now, over all tasks and this process."""
        return sum_stages([*(span.spent for span in self.spans), self._spent])
