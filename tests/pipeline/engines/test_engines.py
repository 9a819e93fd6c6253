"""What every engine must do, whatever the kernels: one suite for all of them. A new engine joins ``ENGINES``."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from config import Config
from pipeline.engines import Advance, Engine, no_advance, run_all
from pipeline.engines.direct import DirectEngine
from pipeline.engines.local import LocalEngine
from pipeline.engines.spark import SparkEngine
from pipeline.errors import FileRefused, WorkerDied
from tests.needs import needs_java

WORKERS = 2
ENGINES: dict[str, Callable[[Path], AbstractContextManager[Engine]]] = {
    "direct": lambda _: nullcontext(DirectEngine()),
    "threads": lambda _: nullcontext(DirectEngine(WORKERS)),
    "pool": lambda _: LocalEngine(WORKERS),
    "spark": lambda folder: SparkEngine(Config(), folder, WORKERS, (__name__,)),
}


@pytest.fixture(
    scope="module", params=["direct", "threads", "pool", pytest.param("spark", marks=[needs_java, pytest.mark.slow])]
)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for all tests that leave it whole."""
    with ENGINES[request.param](tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


@dataclass(frozen=True)
class Scale:
    """A context."""

    factor: int


@dataclass(frozen=True)
class Count:
    """A task with its weight."""

    number: int
    rows: int


def scaled(context: Scale, task: Count, advance: Advance) -> tuple[int, int]:
    """(a value, the process that made it)"""
    advance(task.rows)
    return context.factor * task.number, os.getpid()


def refuse_odd(_: Scale, task: Count, __: Advance) -> int:
    if task.number == 1:
        raise FileRefused("one is wrong")
    if task.number == 3:
        raise ZeroDivisionError("three")
    return task.number


class Unpicklable(Exception):
    """Cannot be made anew from its arguments."""

    def __init__(self, *, number: int) -> None:
        super().__init__(f"number {number}")


def raise_unpicklable(_: Scale, task: Count, __: Advance) -> None:
    raise Unpicklable(number=task.number)


def tasks(count: int) -> list[Count]:
    return [Count(number, rows=number + 1) for number in range(count)]


def test_every_task_has_its_result_whatever_their_order(engine: Engine) -> None:
    for ordered in (tasks(40), tasks(40)[::-1]):
        found = list(engine.map(scaled, Scale(3), ordered, no_advance))
        assert {task: result[0] for task, result in found} == {task: 3 * task.number for task in ordered}
        assert len(found) == len(ordered)


def test_work_is_done_by_other_processes_as_many_as_asked(engine: Engine) -> None:
    if isinstance(engine, DirectEngine):
        assert {result[1] for _, result in engine.map(scaled, Scale(1), tasks(3), no_advance)} == {os.getpid()}
        return
    processes = {result[1] for _, result in engine.map(scaled, Scale(1), tasks(64), no_advance)}
    assert os.getpid() not in processes
    assert 1 <= len(processes) <= WORKERS


def test_each_map_has_its_own_context(engine: Engine) -> None:
    for factor in (2, 5):
        assert sorted(value for value, _ in run_all(engine, scaled, Scale(factor), tasks(3), no_advance)) == [
            0, factor, 2 * factor,
        ]  # fmt: skip


def test_no_task_no_work(engine: Engine) -> None:
    before = len(engine.spans)
    assert list(engine.map(scaled, Scale(1), [], no_advance)) == []
    assert len(engine.spans) == before


def test_what_a_kernel_raises_comes_back_as_a_value_and_harms_no_other_task(engine: Engine) -> None:
    found = dict(engine.map(refuse_odd, Scale(1), tasks(5), no_advance))
    results = [found[task] for task in tasks(5)]
    assert [results[number] for number in (0, 2, 4)] == [0, 2, 4]
    assert isinstance(results[1], FileRefused)
    assert str(results[1]) == "one is wrong"
    assert isinstance(results[3], ZeroDivisionError)
    assert "Traceback" in results[3].__notes__[0]


def test_the_first_exception_ends_run_all(engine: Engine) -> None:
    with pytest.raises((FileRefused, ZeroDivisionError)):
        run_all(engine, refuse_odd, Scale(1), tasks(5), no_advance)
    assert len(run_all(engine, scaled, Scale(1), tasks(5), no_advance)) == 5, "and leaves the engine whole"


def test_an_exception_that_does_not_pickle_is_told_nevertheless(engine: Engine) -> None:
    ((_, fault),) = engine.map(raise_unpicklable, Scale(1), tasks(1), no_advance)
    assert "number 0" in str(fault)


def test_progress_comes_to_the_rows_of_all_tasks(engine: Engine) -> None:
    advanced: list[int] = []
    given = tasks(20)
    list(engine.map(scaled, Scale(1), given, advanced.append))
    assert sum(advanced) == sum(task.rows for task in given)
    assert min(advanced) >= 0


def test_every_task_that_ended_has_its_span(engine: Engine) -> None:
    before = len(engine.spans)
    list(engine.map(scaled, Scale(1), tasks(10), no_advance))
    spans = engine.spans[before:]
    assert [span.stage for span in spans] == ["scaled"] * 10
    assert all(span.begin <= span.end and set(span.spent) == {"other"} for span in spans)
    assert 1 <= len({span.worker for span in spans}) <= WORKERS


def deadly(folder: str, task: int, advance: Advance) -> int:
    """Dies over 7 always, over 5 once."""
    advance(1)
    once = Path(folder) / "once"
    if task == 7 or (task == 5 and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * task


def test_pool_others_finish_and_the_third_death_is_the_end(tmp_path: Path) -> None:
    with LocalEngine(WORKERS) as pool:
        found = dict(pool.map(deadly, str(tmp_path), list(range(40)), no_advance))
        again = dict(pool.map(deadly, str(tmp_path), [1, 2], no_advance))
    assert isinstance(found.pop(7), WorkerDied)
    assert found == {task: 2 * task for task in range(40) if task != 7}
    assert again == {1: 2, 2: 4}


def give_function(_: object, task: int, __: Advance) -> object:
    return (lambda: task) if task == 1 else task


def test_pool_a_result_that_does_not_pickle_is_the_fault_of_its_task() -> None:
    with LocalEngine(WORKERS) as pool:
        found = dict(pool.map(give_function, None, [0, 1, 2], no_advance))
    assert isinstance(found.pop(1), Exception)
    assert found == {0: 0, 2: 2}
