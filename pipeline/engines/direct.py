"""The engine of small work: runs kernels in this process, which has all threads of Polars."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.engines import Advance, Context, Kernel, Result, Task, no_advance
from pipeline.engines.task_run import run_task
from pipeline.timing import Span


class DirectEngine:
    """Runs kernels in this process, without starting another one: one after another, or on several threads."""

    name = "polars"

    def __init__(self, threads: int = 1) -> None:
        self.spans: list[Span] = []
        self._threads = threads

    def map(
        self, kernel: Kernel[Context, Task, Result], context: Context, tasks: Sequence[Task], advance: Advance
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Yield (task, result or the exception that the kernel raised), in the order of the tasks."""
        if self._threads == 1:
            for task in tasks:
                result, span = run_task(kernel, context, task, advance)
                self.spans.append(span)
                yield task, result
            return
        with ThreadPoolExecutor(self._threads) as pool:
            found = pool.map(lambda task: run_task(kernel, context, task, no_advance), tasks)
            for task, (result, span) in zip(tasks, found, strict=True):
                self.spans.append(span)
                advance(getattr(task, "rows", 1))
                yield task, result
