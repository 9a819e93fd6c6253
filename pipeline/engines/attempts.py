"""Tasks on a pool whose workers may be killed: what is tried again, and what is given up."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic

from pipeline.engines import Result, Task
from pipeline.errors import WorkerDied

_MOST_DEATHS = 3
"""Workers that may die over one task before it is given up; the first perhaps over that of a neighbour."""


@dataclass
class Attempt(Generic[Task]):
    """A task under its number, and how many workers have died while they worked on it."""

    number: int
    task: Task
    deaths: int = 0


class Work(Generic[Task, Result]):
    """The tasks of one ``map``: what waits for a worker's answer, what is tried again, and how often workers died."""

    def __init__(self, tasks: Sequence[Task], ahead: int) -> None:
        self.waiting: dict[Future[Result], Attempt[Task]] = {}
        self._rest = iter([Attempt(number, task) for number, task in enumerate(tasks, 1)])
        self._ahead = ahead
        self._again: deque[Attempt[Task]] = deque()
        self._suspects: deque[Attempt[Task]] = deque()
        self._idle_deaths = 0

    def next_attempts(self) -> Iterator[Attempt[Task]]:
        """What to submit now: a few, because a wait for one of 10,000 would cost more than the work.

        A suspect goes alone, so that the next death is surely its own.
        """
        if self._suspects:
            if not self.waiting:
                yield self._suspects.popleft()
            return
        for _ in range(self._ahead - len(self.waiting)):
            attempt = self._again.popleft() if self._again else next(self._rest, None)
            if attempt is None:
                return
            yield attempt

    def take_lost(self) -> list[Attempt[Task]]:
        """The attempts that broke with the pool; results that came before stay."""
        return [self.waiting.pop(future) for future in list(self.waiting) if is_lost(future)]

    def judge(self, lost: Sequence[Attempt[Task]], running: set[int]) -> Iterator[tuple[Task, Exception]]:
        """Sort the lost attempts; those that were ``running`` are suspects, or given up with their third death."""
        self._idle_deaths = 0 if running else self._idle_deaths + 1
        if self._idle_deaths >= _MOST_DEATHS:
            raise WorkerDied(died("again and again before they had begun to work"))
        for attempt in lost:
            if attempt.number not in running:
                self._again.append(attempt)
                continue
            attempt.deaths += 1
            if attempt.deaths < _MOST_DEATHS:
                self._suspects.append(attempt)
            else:
                yield attempt.task, WorkerDied(died(f"{_MOST_DEATHS} times while they worked on the same part"))


def is_lost(future: Future[Result]) -> bool:
    """Whether the pool broke before the task had ended; waits until that is known."""
    return isinstance(future.exception(), BrokenProcessPool)


def died(when: str) -> str:
    return (
        f"worker processes were killed {when}; most often the system ran out of memory. Lower --memory-limit or "
        "--workers and run again: what is done is not done again."
    )
