"""One task as every engine runs it: a result or a fault that crosses a process, and when it ran."""

import os
import pickle
import platform
import time

import pytest

from pipeline.engines import Advance, no_advance
from pipeline.engines.task_run import run_task
from pipeline.errors import FileRefused
from pipeline.timing import count, in_stage, stage


@in_stage("group")
def add(context: int, task: int, advance: Advance) -> int:
    advance(task)
    count(5)
    with stage("load", 3):
        pass
    return context + task


def refuse(_: int, task: int, __: Advance) -> int:
    raise FileRefused(f"file {task} is torn")


class Unpicklable(Exception):
    def __init__(self, *, number: int) -> None:
        super().__init__(f"number {number}")


def raise_unpicklable(_: int, task: int, __: Advance) -> int:
    raise Unpicklable(number=task)


def interrupt(_: int, __: int, ___: Advance) -> int:
    raise KeyboardInterrupt


def test_a_result_comes_with_when_and_where_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1000.5, 1002.0])
    monkeypatch.setattr(time, "time", lambda: next(times))
    advanced: list[int] = []
    result, span = run_task(add, 40, 2, advanced.append)
    assert result == 42
    assert advanced == [2]
    assert (span.stage, span.worker) == ("add", f"{platform.node()}:{os.getpid()}")
    assert (span.begin, span.end) == (1000.5, 1002.0)
    assert {name: spent.amount for name, spent in span.spent.items()} == {"group": 5, "load": 3}


def test_a_fault_is_a_value_with_its_traceback_that_crosses_a_process() -> None:
    fault, span = run_task(refuse, 0, 7, no_advance)
    assert isinstance(fault, FileRefused)
    copy = pickle.loads(pickle.dumps(fault))
    assert str(copy) == "file 7 is torn"
    assert "in refuse" in copy.__notes__[0]
    assert list(span.spent) == ["other"], "a kernel without a stage of its own"


def test_a_fault_that_does_not_pickle_is_told_by_its_type_and_message() -> None:
    fault, _ = run_task(raise_unpicklable, 0, 7, no_advance)
    assert type(fault) is RuntimeError
    assert str(fault) == "Unpicklable: number 7"


def test_an_interrupt_is_no_result() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_task(interrupt, 0, 7, no_advance)
