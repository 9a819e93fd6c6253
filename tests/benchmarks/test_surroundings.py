"""Runs wait for a quiet machine and are repeated on a busy one; the machine's readings are made up."""

import time
from collections.abc import Iterator

import psutil
import pytest

from benchmarks.measure import Measurement
from benchmarks.surroundings import Reading, ThisMachine, others_share, run_quietly, wait_until_quiet


class MadeUp:
    """A machine of 2 processors, on which others take a share of each half second that passes, one after another."""

    def __init__(self, *shares: float) -> None:
        self._shares: Iterator[float] = iter(shares)
        self._busy, self._total = 100.0, 400.0
        self.slept = 0.0

    def read(self) -> Reading:
        return Reading(self._busy, self._total)

    def load(self) -> float:
        return 1.5

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.work(seconds, 0.0)

    def work(self, seconds: float, own: float) -> None:
        """Let time pass in which a run takes ``own`` processor seconds."""
        self._busy += 2 * seconds * next(self._shares) + own
        self._total += 2 * seconds


def test_the_share_of_others_is_what_a_run_did_not_take() -> None:
    before, after = Reading(10.0, 100.0), Reading(18.0, 120.0)
    assert others_share(before, after) == pytest.approx(0.4)
    assert others_share(before, after, own_seconds=7.0) == pytest.approx(0.05)
    assert others_share(before, after, own_seconds=9.0) == 0.0
    assert others_share(before, before) == 0.0


def test_it_is_waited_until_others_have_ended_or_patience_has() -> None:
    machine = MadeUp(0.9, 0.5, 0.05, 0.0)
    assert wait_until_quiet(machine, 60) == pytest.approx(0.05)
    assert machine.slept == 1.5
    stubborn = MadeUp(*[0.8] * 9)
    assert wait_until_quiet(stubborn, 2.0) == pytest.approx(0.8)
    assert stubborn.slept == 2.0


def measured(machine: MadeUp, times: list[float], failure: str | None = None, patience: float = 9.0) -> Measurement:
    """A run of 3 s and 5 processor seconds, as often as it is repeated."""

    def run() -> Measurement:
        times.append(len(times) + 3.0)
        machine.work(3.0, 5.0)
        return Measurement(times[-1], 1, failure, own_seconds=5.0)

    return run_quietly(run, machine, patience)


@pytest.mark.parametrize(
    ("shares", "seconds", "others"),
    [
        ([0.0, 0.02], [3.0], 0.02),
        ([0.7, 0.0, 0.02], [3.0], 0.02),  # waited for
        ([0.0, 0.5, 0.0, 0.05], [3.0, 4.0], 0.05),  # disturbed while it ran, and repeated
        ([0.0, 0.5, 0.0, 0.3, 0.0, 0.4], [3.0, 4.0, 5.0], 0.3),  # never quiet: the least disturbed counts
    ],
)
def test_a_disturbed_run_is_repeated(shares: list[float], seconds: list[float], others: float) -> None:
    times: list[float] = []
    found = measured(MadeUp(*shares), times)
    assert times == seconds
    assert found.others == pytest.approx(others)
    assert found.load == 1.5
    assert found.seconds == {0.3: 4.0}.get(others, seconds[-1])


def test_without_patience_a_run_is_neither_delayed_nor_repeated() -> None:
    times: list[float] = []
    machine = MadeUp(0.9, 0.2)
    assert measured(machine, times, patience=0.0).others == pytest.approx(0.9)  # of the half second before
    assert times == [3.0]
    assert machine.slept == 0.5


def test_a_run_that_fails_is_not_repeated() -> None:
    times: list[float] = []
    assert measured(MadeUp(0.0, 0.9), times, failure="exit 1").failure == "exit 1"
    assert times == [3.0]


def test_this_machine_counts_all_its_processors() -> None:
    """The counters have steps of some hundredths of a second; on a busy machine time passes beside the readings."""
    machine, processors = ThisMachine(), psutil.cpu_count() or 1
    begin = time.monotonic()
    before = machine.read()
    least = time.monotonic()
    machine.sleep(0.3)
    least, after = time.monotonic() - least, machine.read()
    most = time.monotonic() - begin
    assert 0.7 * least * processors - 0.1 <= after.total - before.total <= 1.3 * most * processors + 0.1
    assert before.busy <= after.busy <= after.total
    assert machine.load() >= 0
