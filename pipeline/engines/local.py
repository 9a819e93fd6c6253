"""The embedded engine: runs kernels on a pool of processes with one Polars thread each."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from pipeline.engines import Advance, Context, Kernel, Result, Task
from pipeline.engines.attempts import Attempt, Work, is_lost
from pipeline.engines.task_run import run_task
from pipeline.engines.workers import WORKER_ENVIRONMENT, Workers
from pipeline.timing import Span, Spent

_POLL_SECONDS = 0.2
_TASKS_AHEAD = 8
"""Tasks that are submitted at once for each worker, so that none waits for the main process."""

_WHOLE_SPANS = 4_000
"""So many tasks are kept with their stages. Of further ones only the sums of stages are."""
_FOLDED: dict[str, Spent] = {}


class LocalEngine:
    """Runs kernels on ``workers`` processes.

    ``started``: processes that run already; they are used if they are as many, and ended otherwise.
    ``environment``: variables of the processes. Where a process is killed, all of them are replaced, and the tasks that
    they were at are tried again one by one.
    """

    name = "polars"

    def __init__(
        self,
        workers: int,
        modules: Sequence[str] = (),
        started: Workers | None = None,
        environment: Mapping[str, str] = WORKER_ENVIRONMENT,
    ) -> None:
        self.spans: list[Span] = []
        self._modules, self._environment = tuple(modules), environment
        self._workers_seen: dict[str, str] = {}
        self._ahead = _TASKS_AHEAD * workers
        if started and started.count != workers:
            started.close()
        self._workers = started if started and started.count == workers else Workers(workers, modules, environment)

    def __enter__(self) -> "LocalEngine":
        return self

    def __exit__(self, fault: object, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers at once; what they are at is lost."""
        self._workers.close()

    def map(
        self, kernel: Kernel[Context, Task, Result], context: Context, tasks: Sequence[Task], advance: Advance
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run ``kernel`` on every task. Yields (task, result or the exception that it raised) as tasks end.

        A task over which three workers were killed yields WorkerDied. Raises WorkerDied where workers die again and
        again without being at any task.
        """
        work = Work[Task, tuple[Result | Exception, Span]](tasks, self._ahead)
        advanced = self._workers.done
        while True:
            lost = [attempt for attempt in work.next_attempts() if not self._submit(kernel, context, attempt, work)]
            if not work.waiting and not lost:
                return
            finished, _ = wait(work.waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            done = self._workers.done
            if done > advanced:
                advance(done - advanced)
                advanced = done
            if lost or any(is_lost(future) for future in finished):
                lost += work.take_lost()
                yield from work.judge(lost, running=self._workers.running)
                self.close()
                self._workers = Workers(self._workers.count, self._modules, self._environment)
                advanced = 0
                continue
            for future in finished:
                task = work.waiting.pop(future).task
                fault = future.exception()
                if isinstance(fault, Exception):  # outside the kernel: its result does not pickle, or memory is short
                    yield task, fault
                    continue
                result, span = future.result()
                self.spans.append(span)
                if len(self.spans) > _WHOLE_SPANS:
                    self._fold(span)
                yield task, result

    def _fold(self, span: Span) -> None:
        """Add the stages of the last task to those of the first one, because there may be very many tasks."""
        first = self.spans[0]
        spent = dict(first.spent)
        for name, more in span.spent.items():
            spent[name] = spent[name] + more if name in spent else more
        self.spans[0] = replace(first, spent=spent)
        self.spans[-1] = replace(span, spent=_FOLDED, worker=self._workers_seen.setdefault(span.worker, span.worker))

    def _submit(
        self,
        kernel: Kernel[Context, Task, Result],
        context: Context,
        attempt: Attempt[Task],
        work: Work[Task, tuple[Result | Exception, Span]],
    ) -> bool:
        """Submit an attempt. Returns False where the pool is broken."""
        try:
            future = self._workers.submit(attempt.number, run_task, kernel, context, attempt.task)
        except BrokenProcessPool:
            return False
        work.waiting[future] = attempt
        return True
