"""Steps side by side: in the order that they need, within their memory, and really at once."""

import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.side_by_side import side_by_side
from tests.pace import patient


@st.composite
def _graphs(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, int]]:
    names = [f"step{at}" for at in range(draw(st.integers(0, 8)))]
    steps = {
        name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else [] for at, name in enumerate(names)
    }
    return steps, {name: draw(st.integers(0, 12)) for name in names}


@given(_graphs(), st.integers(1, 3))
def test_each_step_is_done_once_after_those_before_and_in_its_memory(
    graph: tuple[dict[str, list[str]], dict[str, int]], threads: int
) -> None:
    steps, sizes = graph
    lock, running, done = threading.Lock(), set(), []

    def do(name: str) -> str:
        with lock:
            assert set(steps[name]) <= set(done)
            running.add(name)
            assert len(running) <= threads
            assert len(running) == 1 or sum(sizes[one] for one in running) <= 10
        with lock:
            running.remove(name)
            done.append(name)
        return name

    assert sorted(side_by_side(steps, do, sizes.__getitem__, 10, threads)) == sorted(steps) == sorted(done)


def test_two_steps_run_at_once() -> None:
    meeting = threading.Barrier(2, timeout=patient(10))
    steps = {"first": [], "second": [], "third": ["first", "second"]}
    found = list(side_by_side(steps, lambda name: name == "third" or meeting.wait() >= 0, lambda _: 1, 2, 2))
    assert found == [True, True, True]


def test_what_fails_is_raised_and_nothing_begins_after_it() -> None:
    begun = []

    def do(name: str) -> None:
        begun.append(name)
        if name == "first":
            raise ValueError(name)

    with pytest.raises(ValueError, match="first"):
        list(side_by_side({"first": [], "second": ["first"]}, do, lambda _: 1, 2, 2))
    assert begun == ["first"]


def test_long_steps_learn_that_another_one_failed() -> None:
    stop, told = threading.Event(), list[bool]()

    def do(name: str) -> None:
        if name == "fails":
            raise ValueError(name)
        told.append(stop.wait(patient(60)))

    with pytest.raises(ValueError, match="fails"):
        list(side_by_side({"long": [], "fails": []}, do, lambda _: 1, 2, 2, stop))
    assert told == [True]


@pytest.mark.parametrize(
    ("steps", "size", "threads"),
    [({"a": [], "b": []}, 1, 1), ({"a": [], "b": []}, 3, 2), ({"a": [], "b": ["a"]}, 1, 2)],
    ids=["one thread", "no memory beside it", "nothing else is ready"],
)
def test_a_step_that_runs_alone_is_interrupted_itself(steps: dict[str, list[str]], size: int, threads: int) -> None:
    """A run does not wait for its end, which may be minutes away."""
    ended = []

    def do(name: str) -> None:
        if name == "b":
            signal.raise_signal(signal.SIGINT)
        ended.append(name)

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(steps, do, lambda _: size, 4, threads))
    assert ended == ["a"]
