"""Times the stages, tasks and phases of a run, and declares how a run reports its progress.

    with stage("read") as read:
        read.amount += len(data)

The time of a stage within another one counts for the inner stage alone, so that all stages add up to the work that was
done. A ``recording`` adds up the stages in its ``with`` block and its thread; other stages are not recorded.

A stage costs two readings of two clocks, 3 µs. Stages enclose chunks, files and buckets, never single rows, and are
always timed (measured: 0.1 % of the processor time of a run).
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
    """Receives the progress of a run. Calls may come from several threads, one at a time."""

    def phase(self, name: str, total: int | None, unit: Unit = "bytes") -> None:
        """A phase begins, and the one before has ended. All its ``advance`` calls come to ``total`` bytes or rows."""

    def advance(self, n: int) -> None:
        """Further ``n`` bytes or rows of the phase are done."""

    def note(self, message: str) -> None:
        """Show the user one line, such as a fallback that was taken or a file that was skipped."""

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        """Write to a log for programs: ids, files, counts and times, never values of records.

        Only the first event of a run has the fact ``run_id``.
        """


@dataclass(frozen=True)
class PhaseSeconds:
    """Wall-clock seconds of the run and of its phases; 0 for a phase that has not ended.

    ``prepare``: what the run made once for all later ones on this machine. ``start``: how long it waited for a cluster
    to start its executors. Both are part of ``total`` and of no phase.
    """

    total: float = 0.0
    phase1: float = 0.0
    phase2: float = 0.0
    publish: float = 0.0
    prepare: float = 0.0
    start: float = 0.0

    @property
    def work(self) -> float:
        """The seconds of the run without ``prepare``: what its size and pace decide."""
        return self.total - self.prepare


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
"""All stages in the order of the data path, with the unit of their amounts ("": the stage has none).

====================  ================================================================
``set up``            loading the geo table and the library, once in each process
``parse, hash, geo``  the compiled parser, which does all three in one pass over a row
``load``              Phase 2 reads the rows that Phase 1 wrote
====================  ================================================================
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a stage took: ``wall`` seconds by the clock, ``cpu`` seconds of all threads of the process; ``amount``: how
    much was done, in the unit of ``STAGES``."""

    wall: float = 0.0
    cpu: float = 0.0
    amount: int = 0

    def __add__(self, more: "Spent") -> "Spent":
        return Spent(self.wall + more.wall, self.cpu + more.cpu, self.amount + more.amount)


@dataclass(frozen=True)
class StageTime:
    """One stage over all processes of a run; ``share``: of the wall-clock time of all stages, from 0 to 1."""

    stage: str
    wall_seconds: float
    cpu_seconds: float
    share: float
    amount: int
    unit: str


class _Recording:
    """What each stage took, and the innermost open stage."""

    __slots__ = ("innermost", "spent")

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = {}
        self.innermost: stage | None = None


_current: ContextVar[_Recording | None] = ContextVar("recording", default=None)


@contextmanager
def recording() -> Iterator[dict[str, Spent]]:
    """Add up the stages of the ``with`` block in this thread. Yields what they took until now, by name."""
    opened = _Recording()
    token = _current.set(opened)
    try:
        yield opened.spent
    finally:
        _current.reset(token)


class stage:
    """Times the ``with`` block as the stage ``name``. The block may raise ``amount`` (in the unit of ``STAGES``)."""

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
    """Add to the amount of the innermost open stage, if there is one."""
    recording = _current.get()
    if recording and recording.innermost:
        recording.innermost.amount += amount


def sum_stages(recordings: Iterable[Mapping[str, Spent]]) -> tuple[StageTime, ...]:
    """Add up the ``recordings`` of tasks and of the main process: their stages, in the order of ``STAGES``.

    Seconds and shares are rounded to six places.
    """
    sums: dict[str, Spent] = {}
    for stages in recordings:
        for name, spent in stages.items():
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
    """Decorate a kernel with the stage of the time that it spends outside of inner stages; by default ``other``."""

    def declare(kernel: Function) -> Function:
        kernel.stage = name  # type: ignore[attr-defined]
        return kernel

    return declare


@dataclass(frozen=True, slots=True)
class Span:
    """One task that ran.

    ==========  ==================================================
    ``stage``   the name of its kernel
    ``worker``  the machine and the process, ``name:pid``
    ``begin``   when it began (epoch seconds)
    ``end``     when it ended (epoch seconds)
    ``spent``   what its stages took, by the names in ``STAGES``
    ``slow``    whether the compiled library was missing there
    ==========  ==================================================
    """

    stage: str
    worker: str
    begin: float
    end: float
    spent: Mapping[str, Spent] = field(default_factory=dict)
    slow: bool = False


@dataclass(frozen=True)
class Phase:
    """A phase: its ``begin`` (seconds since the run began), and how much was ``done`` in each step of time (in the unit
    of the phase)."""

    name: str
    begin: float
    done: Series


class WatchedProgress:
    """Passes everything on to ``inner``, and keeps when each phase began and how fast it went.

    ``begin``: when the run began (epoch seconds).
    """

    def __init__(self, inner: Progress) -> None:
        self.begin = time.time()
        self.phases: list[Phase] = []
        self._inner = inner
        self._clock = time.monotonic()

    def phase(self, name: str, total: int | None, unit: Unit = "bytes") -> None:
        """A phase begins."""
        self.phases.append(Phase(name, time.monotonic() - self._clock, Series(operator.add, 0.25)))
        self._inner.phase(name, total, unit)

    def advance(self, n: int) -> None:
        """Further ``n`` bytes or rows are done."""
        self.phases[-1].done.add(time.monotonic() - self._clock, n)
        self._inner.advance(n)

    def note(self, message: str) -> None:
        """Show the user one line."""
        self._inner.note(message)

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        """Write an event to the log."""
        self._inner.event(name, level, **facts)


class Timed(Protocol):
    """Something that runs tasks, such as an engine."""

    @property
    def spans(self) -> Sequence[Span]:
        """The tasks that have ended."""


PREPARING = "preparing, once on this machine: the parser is compiled, the geo table is made ready"


class Watch:
    """Observes one run: its progress, the time of its phases, tasks and stages, and its memory. It decides nothing.

    The ``with`` block is the run; its phases follow each other, and ``lap`` ends one.
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
        """Count the tasks of ``engine`` as tasks of this run."""
        self._engines.append(engine)

    def lap(self, phase: str) -> None:
        """End a phase, which began when the one before ended. ``phase``: a field of ``PhaseSeconds``."""
        now = time.monotonic()
        self._laps[phase] = now - self._lap
        self._lap = now

    @contextmanager
    def preparing(self) -> Iterator[Callable[[], None]]:
        """For a block that may make what all later runs on this machine find.

        The block calls what it gets as it begins with that, which the user is told: it takes some seconds.
        """
        begun: list[float] = []

        def begin() -> None:
            if not begun:
                begun.append(time.monotonic())
                self.progress.note(PREPARING)

        try:
            yield begin
        finally:
            self._take_out("prepare", time.monotonic() - begun[0] if begun else 0.0)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """For a block that waits for a cluster to start executors."""
        begin = time.monotonic()
        yield
        self._take_out("start", time.monotonic() - begin)

    def _take_out(self, name: str, spent: float) -> None:
        """Count seconds as no part of the phase that they interrupt."""
        self._laps[name] = self._laps.get(name, 0.0) + spent
        self._lap += spent

    def seconds(self) -> PhaseSeconds:
        """The seconds that the run has taken until now, and those of each phase that has ended."""
        return PhaseSeconds(total=time.monotonic() - self._begin, **self._laps)

    def peak_memory(self) -> int:
        """The most bytes that all processes of the run have taken together until now."""
        self.memory.sample()
        return self.memory.peak_bytes

    @property
    def spans(self) -> list[Span]:
        """The tasks that have ended, of all engines."""
        return [span for engine in self._engines for span in engine.spans]

    def profile(self) -> tuple[StageTime, ...]:
        """The time of every stage until now, over all tasks and the main process."""
        return sum_stages([*(span.spent for span in self.spans), self._spent])
