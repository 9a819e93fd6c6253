"""The timers of the stages: times add up, amounts too, and they cost next to nothing."""

import importlib
import threading
import time

import pytest

from pipeline.engines import Advance, no_advance
from pipeline.engines.task_run import run_task
from pipeline.engines.workers import KERNEL_MODULES
from pipeline.publish.result import RunResult
from pipeline.timing import STAGES, Spent, count, in_stage, recording, stage, sum_stages


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
