"""What ran when: the tasks of the workers, the phases, and how fast the work went on."""

import operator
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from pipeline.results import Progress, Unit
from pipeline.stages import OF_KERNELS, Spent, stage, take
from utils.metrics import Series

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
