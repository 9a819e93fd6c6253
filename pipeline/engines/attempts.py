"""The tasks of one ``map`` on a pool whose workers may be killed: which are submitted, tried again, and given up."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic

from pipeline.engines import Result, Task
from pipeline.errors import WORKERS_DIED, WorkerDied

_MOST_DEATHS = 3
"""A task is given up when so many workers have died over it. The first death may be that of a neighbour's worker."""


@dataclass(slots=True)
class Attempt(Generic[Task]):
    """A task and its number (from 1); ``deaths``: how many workers have died while they worked on it."""

    number: int
    task: Task
    deaths: int = 0


class Work(Generic[Task, Result]):
    """The tasks of one ``map``, and what has become of each.

    A task waits for its first attempt, is ``waiting`` for a worker's answer, or broke with the pool. Of the broken
    tasks, those that a worker was running are suspects and are tried again one by one; the others are just tried again.
    ``ahead``: how many tasks are submitted at once.
    """

    def __init__(self, tasks: Sequence[Task], ahead: int) -> None:
        self.waiting: dict[Future[Result], Attempt[Task]] = {}
        self._new = (Attempt(number, task) for number, task in enumerate(tasks, 1))
        self._ahead = ahead
        self._again: deque[Attempt[Task]] = deque()
        self._suspects: deque[Attempt[Task]] = deque()
        self._idle_deaths = 0

    def next_attempts(self) -> Iterator[Attempt[Task]]:
        """Take the attempts to submit now: few, because waiting for one of 10,000 would cost more than the work.

        A suspect is submitted alone, so that the next death is surely its own.
        """
        if self._suspects:
            if not self.waiting:
                yield self._suspects.popleft()
            return
        for _ in range(self._ahead - len(self.waiting)):
            attempt = self._again.popleft() if self._again else next(self._new, None)
            if attempt is None:
                return
            yield attempt

    def take_lost(self) -> list[Attempt[Task]]:
        """Take the attempts that broke with the pool out of ``waiting``. Results that came before stay in it."""
        return [self.waiting.pop(future) for future in list(self.waiting) if is_lost(future)]

    def judge(self, lost: Sequence[Attempt[Task]], running: set[int]) -> Iterator[tuple[Task, Exception]]:
        """Queue the lost attempts again, and yield the tasks that are given up, with WorkerDied.

        ``running``: the numbers of the tasks that workers were at when the pool broke. Raises WorkerDied where workers
        have died too often in a row without being at any task.
        """
        self._idle_deaths = 0 if running else self._idle_deaths + 1
        if self._idle_deaths >= _MOST_DEATHS:
            raise WorkerDied(_died("again and again before they had begun to work"))
        for attempt in lost:
            if attempt.number not in running:
                self._again.append(attempt)
                continue
            attempt.deaths += 1
            if attempt.deaths < _MOST_DEATHS:
                self._suspects.append(attempt)
            else:
                yield attempt.task, WorkerDied(_died(f"{_MOST_DEATHS} times while they worked on the same part"))


def is_lost(future: Future[Result]) -> bool:
    """Whether the pool broke before the task had ended. Waits until the future is done."""
    return isinstance(future.exception(), BrokenProcessPool)


def _died(when: str) -> str:
    return (
        f"{WORKERS_DIED} {when}; most often the system ran out of memory. Lower --memory-limit or "
        "--workers and run again: what is done is not done again."
    )
