"""The timers of the stages: times add up, amounts too, and they cost next to nothing."""

import importlib
import threading
import time
from collections.abc import Callable

import pytest

from pipeline import KERNEL_MODULES
from pipeline.engines import Advance, no_advance
from pipeline.engines.task_run import run_task
from pipeline.publish.result import RunResult
from pipeline.timing import (
    STAGES,
    PhaseSeconds,
    Span,
    Spent,
    Unit,
    Watch,
    WatchedProgress,
    count,
    in_stage,
    recording,
    stage,
    sum_stages,
)


def test_a_stage_within_another_takes_its_time_from_it() -> None:
    begin = time.perf_counter()
    with recording() as spent, stage("group", 5):
        time.sleep(0.05)
        for _ in range(2):
            with stage("load", 10):
                time.sleep(0.1)
            count(7)
    took = time.perf_counter() - begin
    assert spent["load"].wall >= 0.2
    assert 0.05 <= spent["group"].wall <= took - 0.2
    assert spent["load"].wall + spent["group"].wall == pytest.approx(took, abs=0.01)
    assert (spent["load"].amount, spent["group"].amount) == (20, 5 + 14)
    assert spent["load"].cpu < 0.1  # asleep


@in_stage("publish")
def write(_: object, amount: int, __: Advance) -> None:
    """A kernel, as far as it is timed."""
    count(amount)


def test_a_stage_ends_with_its_fault_and_a_failed_task_leaves_nothing_to_the_next() -> None:
    def fail(*_: object) -> None:
        with stage("read", 3):
            raise ZeroDivisionError

    with recording() as spent:
        fault, _ = run_task(fail, None, None, no_advance)
        _, span = run_task(write, None, 8, no_advance)
        count(1)  # no stage is open
    assert isinstance(fault, ZeroDivisionError)
    assert (span.stage, list(span.spent)) == ("write", ["publish"])
    assert span.spent["publish"].amount == 8
    assert spent == {}, "tasks have recordings of their own"


def test_other_threads_and_code_outside_of_any_recording_are_not_recorded() -> None:
    def work() -> None:
        with stage("geo", 1):
            count(1)

    work()
    with recording() as spent:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert spent == {}


def test_stages_of_all_tasks_add_up_in_the_order_of_the_data_path() -> None:
    parts = [{"write": Spent(1.0, 0.5, 10), "read": Spent(2.0, 1.0, 100)}, {"write": Spent(1.0, 1.5, 20)}]
    found = sum_stages(parts)
    assert [(part.stage, part.wall_seconds, part.cpu_seconds, part.share, part.amount) for part in found] == [
        ("read", 2.0, 1.0, 0.5, 100),
        ("write", 2.0, 2.0, 0.5, 30),
    ]
    assert [part.unit for part in found] == ["bytes", "rows"]
    assert sum_stages([]) == RunResult(run_id="", status="ok", engine=None, output="").profile == ()


def test_kernels_have_stages_that_are_known() -> None:
    functions = [f for name in KERNEL_MODULES for f in vars(importlib.import_module(name)).values() if callable(f)]
    declared = {function.stage for function in functions if hasattr(function, "stage")}
    assert {"group", "merge", "publish"} <= declared <= STAGES.keys()


def test_a_stage_costs_microseconds() -> None:
    """A chunk of 2 MiB takes 4.6 ms and has three stages: 15 µs for each would be 1 %."""

    def measure() -> float:
        begin = time.process_time()
        with recording():
            for _ in range(1000):
                with stage("read", 1):
                    pass
        return (time.process_time() - begin) / 1000

    assert min(measure() for _ in range(10)) < 15e-6


class Heard:
    """A progress that remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def phase(self, name: str, total: int | None, unit: Unit = "bytes") -> None:
        self.calls.append((name, total, unit))

    def advance(self, n: int) -> None:
        self.calls.append((n,))

    def note(self, message: str) -> None:
        self.calls.append((message,))

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        self.calls.append((name, level, facts))


def test_progress_is_passed_on_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    heard = Heard()
    progress = WatchedProgress(heard)
    seconds[0] = 102.0
    progress.phase("Phase 1", 100)
    progress.advance(30)
    seconds[0] = 105.0
    progress.advance(70)
    progress.phase("Phase 2", 9, "rows")
    progress.note("a note")
    progress.event("file_read", "warning", file="a")
    assert heard.calls == [
        ("Phase 1", 100, "bytes"),
        (30,),
        (70,),
        ("Phase 2", 9, "rows"),
        ("a note",),
        ("file_read", "warning", {"file": "a"}),
    ]
    assert [(phase.name, phase.begin) for phase in progress.phases] == [("Phase 1", 2.0), ("Phase 2", 5.0)]
    assert progress.phases[0].done.points() == [(2.0, 30), (5.0, 70)]


class Finished:
    """An engine that has run one task."""

    def __init__(self, kernel: str, spent: dict[str, Spent]) -> None:
        self.spans = [Span(kernel, "machine:1", 0.0, 1.0, spent)]


def test_what_is_made_once_is_part_of_no_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    heard = Heard()
    with Watch("id", heard) as watch:
        seconds[0] = 101.0
        with watch.preparing() as begin:
            seconds[0] = 102.0  # what comes before is no preparation
            begin()
            begin()
            seconds[0] = 109.0
        with watch.preparing():
            seconds[0] = 110.0  # nothing had to be made
        with watch.starting():
            seconds[0] = 130.0  # as a cluster does
        watch.lap("phase1")
        seconds[0] = 135.0
        watch.lap("phase2")
        assert watch.seconds() == PhaseSeconds(35.0, phase1=3.0, phase2=5.0, publish=0.0, prepare=7.0, start=20.0)
        assert watch.seconds().work == 28.0
    (told,) = heard.calls
    assert told[0].startswith("preparing, once on this machine")


def test_what_is_made_once_counts_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])

    def fail(begin: Callable[[], None]) -> None:
        begin()
        seconds[0] = 104.0
        raise KeyError

    with Watch("id", Heard()) as watch:
        with pytest.raises(KeyError), watch.preparing() as begin:
            fail(begin)
        assert watch.seconds().prepare == 4.0


def test_a_watch_adds_up_phases_and_the_stages_of_all_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    watch = Watch("id", Heard())
    with watch:
        watch.follow(Finished("read_parts", {"read": Spent(3.0, 2.0, 50)}))
        watch.follow(Finished("write", {"write": Spent(1.0, 1.0, 7)}))
        seconds[0] = 104.0
        watch.lap("phase1")
        seconds[0] = 109.0
        watch.lap("phase2")
        with stage("report", 4):
            seconds[0] = 110.0
        assert watch.seconds() == PhaseSeconds(total=10.0, phase1=4.0, phase2=5.0, publish=0.0)
        assert [(part.stage, part.amount) for part in watch.profile()] == [("read", 50), ("write", 7), ("report", 4)]
    assert [span.stage for span in watch.spans] == ["read_parts", "write"]
    with stage("geo"):
        pass
    assert [part.stage for part in watch.profile()] == ["read", "write", "report"], "the run has ended"
