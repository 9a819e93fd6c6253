"""The pool's loop with workers made by hand: what is advanced, and that a broken pool is replaced. Real processes are
in ``test_engines`` and ``test_workers``."""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.engines import Advance, local
from pipeline.engines.local import LocalEngine
from pipeline.errors import WorkerDied


@dataclass
class FakeWorkers:
    """Runs every task at once, in this process. The first pools break: at a submission, or with a task.

    ``dies_at``: numbers of tasks, of which the first that is submitted breaks the pool of its worker.
    """

    count: int
    dies_at: set[int] = field(default_factory=set)
    refuses: bool = False
    closed: bool = False
    done: int = 0
    running: set[int] = field(default_factory=set)

    def submit(self, number: int, work: Callable[..., Any], *arguments: object) -> "Future[Any]":
        if self.refuses or self.running:
            raise BrokenProcessPool
        future: Future[Any] = Future()
        if number in self.dies_at:
            self.running = {number}
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(work(*arguments, self.advance))
        return future

    def advance(self, amount: int) -> None:
        self.done += amount

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[FakeWorkers]:
    """The pools that the engine gets, one after the other; whole ones when these are used up."""
    planned: list[FakeWorkers] = []
    used: list[FakeWorkers] = []

    def give(count: int, *_: object) -> FakeWorkers:
        used.append(planned.pop(0) if planned else FakeWorkers(count))
        return used[-1]

    monkeypatch.setattr(local, "Workers", give)
    return planned


def double(context: int, task: int, advance: Advance) -> int:
    advance(10)
    if task == 13:
        raise ZeroDivisionError
    return context * task


def test_results_and_progress_of_a_pool_that_holds(pools: list[FakeWorkers]) -> None:
    pools.append(FakeWorkers(2))
    advanced: list[int] = []
    with LocalEngine(2) as engine:
        pool = engine._workers
        found = dict(engine.map(double, 2, range(40), advanced.append))
    assert isinstance(found.pop(13), ZeroDivisionError)
    assert found == {task: 2 * task for task in range(40) if task != 13}
    assert sum(advanced) == 400
    assert len(engine.spans) == 40
    assert isinstance(pool, FakeWorkers)
    assert pool.closed


def test_progress_is_that_of_this_map_alone(pools: list[FakeWorkers]) -> None:
    pools.append(FakeWorkers(2, done=1000))
    advanced: list[int] = []
    list(LocalEngine(2).map(double, 2, range(4), advanced.append))
    assert sum(advanced) == 40


def test_a_broken_pool_is_replaced_and_its_task_given_up_with_the_third(pools: list[FakeWorkers]) -> None:
    broken = [FakeWorkers(2, dies_at={3}) for _ in range(3)]
    pools += broken
    engine = LocalEngine(2)
    advanced: list[int] = []
    found = dict(engine.map(double, 2, range(6), advanced.append))
    assert sum(advanced) == 50, "of all pools"
    fault = found.pop(2)
    assert isinstance(fault, WorkerDied)
    assert found == {task: 2 * task for task in (0, 1, 3, 4, 5)}
    assert [pool.closed for pool in broken] == [True] * 3
    assert engine._workers not in broken


def test_workers_that_never_begin_are_no_endless_loop(pools: list[FakeWorkers]) -> None:
    pools += [FakeWorkers(2, refuses=True) for _ in range(5)]
    with pytest.raises(WorkerDied, match="before they had begun"):
        list(LocalEngine(2).map(double, 2, range(6), lambda _: None))
    assert len(pools) == 2, "three pools were tried"


@pytest.mark.parametrize(("count", "used"), [(2, True), (3, False)])
def test_started_workers_are_used_where_they_are_as_many(count: int, used: bool, pools: list[FakeWorkers]) -> None:
    assert pools == []
    started = FakeWorkers(count)
    engine = LocalEngine(2, (), started)  # type: ignore[arg-type]
    assert (engine._workers is started) == used
    assert started.closed == (not used)
    assert engine._workers.count == 2
