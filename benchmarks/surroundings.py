"""What else the machine does: runs wait until it is quiet, and are repeated where others were busy meanwhile.

The load average tells of the minute before, in which the last contender ran. So others are measured by themselves:
over half a second in which nothing of the benchmark runs, and over a run, by what is left of the processors' time
without the time of the run's own processes.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import psutil

from benchmarks.measure import Measurement

PROBE_SECONDS = 0.5
MOST_BUSY = 0.10
"""Greatest share of all processors' time that others may take before and during a run."""
REPEATS = 2
"""How often a run that others disturbed is repeated; the least disturbed counts."""


@dataclass(frozen=True)
class Reading:
    """Processor seconds of all cores since the machine started: those in use, by whomever, and all of them."""

    busy: float
    total: float


class Machine(Protocol):
    """What is asked of a machine."""

    def read(self) -> Reading:
        """The counters now."""

    def load(self) -> float:
        """The load average of the last minute."""

    def sleep(self, seconds: float) -> None:
        """Do nothing."""


class ThisMachine:
    """The machine that the benchmark runs on. A virtual one's stolen time is others' time, too."""

    def read(self) -> Reading:
        """The counters now."""
        times = psutil.cpu_times()._asdict()
        total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
        return Reading(total - times["idle"] - times.get("iowait", 0.0), total)

    def load(self) -> float:
        """The load average of the last minute."""
        return os.getloadavg()[0]

    def sleep(self, seconds: float) -> None:
        """Do nothing."""
        time.sleep(seconds)


def others_share(before: Reading, after: Reading, own_seconds: float = 0.0) -> float:
    """Share of the processors' time between two readings that others took, from 0 to 1."""
    passed = after.total - before.total
    if passed <= 0:
        return 0.0
    return min(1.0, max(0.0, (after.busy - before.busy - own_seconds) / passed))


def wait_until_quiet(machine: Machine, patience: float) -> float:
    """The share of others in the last probe: the first that is small enough, or the one that ends ``patience`` seconds
    of waiting."""
    waited = 0.0
    while True:
        before = machine.read()
        machine.sleep(PROBE_SECONDS)
        waited += PROBE_SECONDS
        share = others_share(before, machine.read())
        if share <= MOST_BUSY or waited >= patience:
            return share


def run_quietly(run: Callable[[], Measurement], machine: Machine, patience: float) -> Measurement:
    """Run on a quiet machine, again where it was busy; ``patience`` 0 neither waits nor repeats.

    Returns the least disturbed run with its surroundings, or the first that failed.
    """
    best: Measurement | None = None
    for _ in range(1 + (REPEATS if patience else 0)):
        measured = _run_once(run, machine, patience)
        if measured.failure or best is None or measured.others < best.others:
            best = measured
        if best.failure or best.others <= MOST_BUSY:
            return best
    assert best is not None, "it ran at least once"
    return best


def _run_once(run: Callable[[], Measurement], machine: Machine, patience: float) -> Measurement:
    before = wait_until_quiet(machine, patience)
    load, start = machine.load(), machine.read()
    measured = run()
    during = others_share(start, machine.read(), measured.own_seconds)
    return replace(measured, load=load, others=max(before, during))
