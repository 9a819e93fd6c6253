"""The engine of small work: runs kernels one after another in this process, which has all threads of Polars."""

from collections.abc import Iterator, Sequence

from pipeline.engines import Advance, Context, Kernel, Result, Task
from pipeline.engines.task_run import run_task
from pipeline.timing import Span


class DirectEngine:
    """Runs kernels in this process, without starting another one."""

    name = "polars"

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def map(
        self, kernel: Kernel[Context, Task, Result], context: Context, tasks: Sequence[Task], advance: Advance
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Yield (task, result or the exception that the kernel raised), in the order of the tasks."""
        for task in tasks:
            result, span = run_task(kernel, context, task, advance)
            self.spans.append(span)
            yield task, result
