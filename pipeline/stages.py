"""Where the time of a run goes: stages of the work, timed where they are done, and added up over all processes.

    with stage("read") as read:
        read.amount += len(data)

A stage that begins within another takes its time from that one, so that all stages add up to the work that was done.
It costs two readings of two clocks, 3 µs: stages enclose chunks, files and buckets, never rows, and are always timed
(measured: 0.1 % of the processor time of a run). Each process has its own times, of one thread at a time.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

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
