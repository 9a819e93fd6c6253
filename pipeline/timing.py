"""Where the time of a run goes: stages, tasks and phases; and how a run tells how far it is."""

import operator
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, ParamSpec, Protocol, Self, TypeVar

from utils.metrics import Series

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


OF_KERNELS = {
    "expand": "expand",
    "find_contested": "merge",
    "aggregate": "group",
    "settle": "merge",
    "correct": "merge",
    "find_touched": "merge",
    "mark_contents": "merge",
    "compare_contents": "merge",
    "pick_rows": "merge",
    "settle_changes": "dedupe",
    "apply_changes": "group",
    "write_files": "publish",
    "fetch_conflicts": "publish",
}
"""What each kernel does outside the stages within it; one that is not named here: ``other``."""


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


_spent: dict[str, Spent] = {}
_open: "stage | None" = None


class stage:
    """Times the ``with`` block; ``amount``, which may grow within, is in the unit of ``STAGES``."""

    __slots__ = ("_cpu", "_inner", "_name", "_outer", "_wall", "amount")

    def __init__(self, name: str, amount: int = 0) -> None:
        self._name, self.amount, self._inner = name, amount, Spent()

    def __enter__(self) -> Self:
        global _open
        self._outer, _open = _open, self
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _open
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        own = Spent(wall - self._inner.wall, cpu - self._inner.cpu, self.amount)
        _spent[self._name] = _spent.get(self._name, Spent()) + own
        _open = self._outer
        if _open:
            _open._inner += Spent(wall, cpu)


def count(amount: int) -> None:
    """Add to the amount of the stage that this runs in, if any."""
    if _open:
        _open.amount += amount


def take() -> dict[str, Spent]:
    """What this process has spent in each stage since the last call."""
    global _spent
    taken, _spent = _spent, {}
    return taken


def sum_up(parts: Iterable[Mapping[str, Spent]]) -> tuple[StageTime, ...]:
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


Parameters = ParamSpec("Parameters")


Result = TypeVar("Result")


@dataclass(frozen=True)
class Span:
    """One task: its ``stage`` (the kernel's name), its ``worker`` (machine and process), when, in epoch seconds, and
    what it ``spent``, by the names in ``stages.STAGES``."""

    stage: str
    worker: str
    begin: float
    end: float
    spent: Mapping[str, Spent] = field(default_factory=dict)


def timed(
    work: Callable[Parameters, Result], kernel: str, *arguments: Parameters.args, **named: Parameters.kwargs
) -> tuple[Result, Span]:
    """The result of ``work`` and when it ran. Wall-clock time: the workers of a cluster share no other."""
    take()  # of a task that failed
    begin = time.time()
    with stage(OF_KERNELS.get(kernel, "other")):
        result = work(*arguments, **named)
    return result, Span(kernel, f"{platform.node()}:{os.getpid()}", begin, time.time(), take())


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


class _Clock:
    """Wall-clock seconds since the run began, and of each phase."""

    def __init__(self) -> None:
        self._begin = self._lap = time.monotonic()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._laps[name] = now - self._lap
        self._lap = now

    def seconds(self) -> PhaseSeconds:
        return PhaseSeconds(total=time.monotonic() - self._begin, **self._laps)
