"""Engines run kernels: a pool of processes on this machine, or the executors of a Spark session.

An engine knows nothing of logs, so that any job can use it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from pipeline.timing import Span

Context = TypeVar("Context")
Task = TypeVar("Task")
Result = TypeVar("Result")
Advance = Callable[[int], None]
"""A callback for progress: it gets how much more is done, in the unit of the kernel."""

Kernel = Callable[[Context, Task, Advance], Result]
"""A function that a worker calls for each task: ``kernel(context, task, advance)``. All tasks share the context."""


class Engine(Protocol):
    """Runs a kernel on many tasks."""

    @property
    def name(self) -> str:
        """``polars`` or ``spark``."""

    @property
    def spans(self) -> "Sequence[Span]":
        """The tasks that have ended on this engine, with their times."""

    def map(
        self, kernel: Kernel[Context, Task, Result], context: Context, tasks: Sequence[Task], advance: Advance
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Yield (task, result or the exception that the kernel raised) for every task, in any order.

        Context, tasks and results cross processes: they must pickle. An engine that learns of a task only when it has
        ended counts its attribute ``rows`` (int) as its progress, or 1 where it has none.
        """


def run_tasks(
    engine: Engine,
    kernel: Kernel[Context, Task, Result],
    context: Context,
    tasks: Sequence[Task],
    advance: Advance,
) -> Iterator[tuple[Task, Result]]:
    """Yields (task, its result) for every task, in any order. Raises the first exception that a kernel raised."""
    for task, result in engine.map(kernel, context, tasks, advance):
        if isinstance(result, Exception):
            raise result
        yield task, result


def run_all(
    engine: Engine,
    kernel: Kernel[Context, Task, Result],
    context: Context,
    tasks: Sequence[Task],
    advance: Advance,
) -> list[Result]:
    """Run a kernel on all tasks. Returns the results in any order; raises the first exception that a kernel raised."""
    return [result for _, result in run_tasks(engine, kernel, context, tasks, advance)]


def no_advance(_: int) -> None:
    """Drop the progress of a step that is no phase of its own."""
