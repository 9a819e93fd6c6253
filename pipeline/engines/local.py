"""The embedded engine: kernels on a pool of processes, one Polars thread each."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool

from pipeline.engines import Kernel, Result, Task
from pipeline.engines.attempts import Attempt, Work, is_lost
from pipeline.engines.workers import Workers
from pipeline.preprocess.context import Job
from pipeline.timing import Span, timed

_POLL_SECONDS = 0.2


class LocalEngine:
    """Runs kernels on worker processes: those that are ``started`` already, where they are as many.

    Where one is killed, all are replaced, and what they were working on is tried again, one task at a time.
    ``job`` must be set before ``map`` is called; ``spans`` tells when each task ran.
    """

    name = "polars"

    def __init__(self, workers: int, job: Job | None = None, started: Workers | None = None) -> None:
        self.job = job
        self.spans: list[Span] = []
        self._ahead = 8 * workers
        if started and started.count != workers:
            started.close()
        self._workers = started if started and started.count == workers else Workers(workers)

    def __enter__(self) -> "LocalEngine":
        return self

    def __exit__(self, fault: object, *_: object) -> None:
        """End the workers at once: nothing that they do will be used."""
        self.close()

    def close(self) -> None:
        """End the workers at once."""
        self._workers.close()

    def map(
        self, kernel: Kernel[Task, Result], tasks: Sequence[Task], advance: Callable[[int], None]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run ``kernel`` on every task; yields (task, result or the exception that it raised) as they finish.

        ``advance`` gets what the kernels report, in their unit. A task over which three workers were killed yields
        WorkerDied. Raises it where workers die over no task.
        """
        assert self.job is not None, "the job is set before map is called"
        work = Work[Task, tuple[Result, Span]](tasks, self._ahead)
        told = self._workers.done
        while True:
            lost = [attempt for attempt in work.next_attempts() if not self._submit(kernel, attempt, work)]
            if not work.waiting and not lost:
                return
            finished, _ = wait(work.waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            now = self._workers.done
            if now > told:
                advance(now - told)
                told = now
            if lost or any(is_lost(future) for future in finished):
                lost += work.take_lost()
                yield from work.judge(lost, running=self._workers.running)
                self.close()
                self._workers = Workers(self._workers.count)
                told = 0
                continue
            for future in finished:
                task = work.waiting.pop(future).task
                fault = future.exception()
                if fault is not None and not isinstance(fault, Exception):
                    raise fault
                if fault is not None:
                    yield task, fault
                    continue
                result, span = future.result()
                self.spans.append(span)
                yield task, result

    def _submit(
        self, kernel: Kernel[Task, Result], attempt: Attempt[Task], work: Work[Task, tuple[Result, Span]]
    ) -> bool:
        assert self.job is not None
        try:
            future = self._workers.submit(attempt.number, timed, kernel, kernel.__name__, self.job, attempt.task)
        except BrokenProcessPool:
            return False
        work.waiting[future] = attempt
        return True
