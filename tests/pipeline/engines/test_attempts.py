"""Tasks of a pool that breaks: by hand, without a process. What a pool really does is in ``test_engines``."""

from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engines.attempts import Attempt, Work, is_lost
from pipeline.errors import WorkerDied


def submit(work: Work[str, int]) -> list[Attempt[str]]:
    """Submit what is to be submitted now; nothing has an answer yet."""
    attempts = list(work.next_attempts())
    work.waiting.update({Future(): attempt for attempt in attempts})
    return attempts


def break_pool(work: Work[str, int]) -> list[Attempt[str]]:
    """All that waits for an answer breaks with the pool."""
    for future in work.waiting:
        future.set_exception(BrokenProcessPool())
    return work.take_lost()


def answer(work: Work[str, int], task: str) -> None:
    """A task ends well."""
    (future,) = (future for future, attempt in work.waiting.items() if attempt.task == task)
    del work.waiting[future]


def names(attempts: Sequence[Attempt[str]]) -> list[str]:
    return [attempt.task for attempt in attempts]


def test_only_a_few_tasks_are_ahead_and_they_are_numbered_from_1() -> None:
    work = Work[str, int]("abcde", ahead=2)
    assert [(attempt.number, attempt.task) for attempt in submit(work)] == [(1, "a"), (2, "b")]
    assert submit(work) == []
    answer(work, "a")
    assert [(attempt.number, attempt.task) for attempt in submit(work)] == [(3, "c")]
    answer(work, "b")
    answer(work, "c")
    assert names(submit(work)) == ["d", "e"]


def test_results_that_came_before_the_pool_broke_stay() -> None:
    work = Work[str, int]("abc", ahead=3)
    submit(work)
    done, failed, _ = work.waiting
    done.set_result(7)
    failed.set_exception(ValueError())
    list(work.waiting)[2].set_exception(BrokenProcessPool())
    assert names(work.take_lost()) == ["c"]
    assert names(list(work.waiting.values())) == ["a", "b"]
    assert [is_lost(future) for future in work.waiting] == [False, False]


def test_a_suspect_is_tried_again_alone_and_its_neighbours_before_what_is_new() -> None:
    work = Work[str, int]("abcde", ahead=3)
    submit(work)
    assert list(work.judge(break_pool(work), running={1, 3})) == []
    assert names(submit(work)) == ["a"]
    assert submit(work) == [], "the other suspect waits until the first has ended"
    answer(work, "a")
    assert names(submit(work)) == ["c"]
    answer(work, "c")
    assert names(submit(work)) == ["b", "d", "e"]


def test_a_task_is_given_up_with_its_third_death() -> None:
    work = Work[str, int]("ab", ahead=2)
    submit(work)
    assert list(work.judge(break_pool(work), running={1, 2})) == []
    submit(work)
    assert list(work.judge(break_pool(work), running={1})) == []
    assert names(submit(work)) == ["b"], "it has died once less"
    answer(work, "b")
    assert names(submit(work)) == ["a"]
    ((task, fault),) = work.judge(break_pool(work), running={1})
    assert task == "a"
    assert isinstance(fault, WorkerDied)
    assert "killed 3 times" in str(fault)
    assert "--memory-limit" in str(fault)
    assert submit(work) == []


def test_workers_that_die_before_they_begin_end_the_run_with_the_third_time_in_a_row() -> None:
    work = Work[str, int]("ab", ahead=2)
    for running in (set(), set(), {1}, set(), set()):
        submit(work)
        assert list(work.judge(break_pool(work), running)) == []
    submit(work)
    with pytest.raises(WorkerDied, match="before they had begun to work"):
        list(work.judge(break_pool(work), set()))


@given(st.integers(0, 12), st.integers(1, 4), st.data())
def test_every_task_is_answered_or_given_up_once(count: int, ahead: int, data: st.DataObject) -> None:
    """Whatever breaks and answers in whatever order; a task dies at most three times."""
    work = Work[int, int](range(count), ahead)
    ended: list[int] = []
    deaths = dict.fromkeys(range(count), 0)
    while True:
        work.waiting.update({Future(): attempt for attempt in work.next_attempts()})
        assert len(work.waiting) <= ahead
        if not work.waiting:
            break
        waiting = [attempt.number for attempt in work.waiting.values()]
        running = data.draw(st.sets(st.sampled_from(waiting), min_size=1, max_size=2))
        if data.draw(st.booleans()):
            for number in running:
                deaths[number - 1] += 1
            for future in work.waiting:
                future.set_exception(BrokenProcessPool())
            ended += [task for task, _ in work.judge(work.take_lost(), running)]
        else:
            for future in [f for f, attempt in work.waiting.items() if attempt.number in running]:
                ended.append(work.waiting.pop(future).task)
    assert sorted(ended) == list(range(count))
    assert max(deaths.values(), default=0) <= 3
