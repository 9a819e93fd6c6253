"""Who runs the kernels: the local process pool, or the executors of a Spark session. Neither knows any job."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from pipeline.timing import Span

Context = TypeVar("Context")
Task = TypeVar("Task")
Result = TypeVar("Result")
Advance = Callable[[int], None]
"""Gets how much more is done, in the kernel's own unit."""
Kernel = Callable[[Context, Task, Advance], Result]
"""A pure piece of work: what all tasks need to know, one task, and whom to tell how much is done."""


class Engine(Protocol):
    """Runs a kernel on many tasks."""

    @property
    def name(self) -> str:
        """``polars`` or ``spark``."""

    @property
    def spans(self) -> "Sequence[Span]":
        """When each task ran that this engine has finished."""

    def map(
        self, kernel: Kernel[Context, Task, Result], context: Context, tasks: Sequence[Task], advance: Advance
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Yield (task, result or the exception that the kernel raised) for every task, in any order.

        Context, tasks and results cross processes: they pickle. A task may have ``rows`` (int): what it is worth of the
        progress to an engine that hears of a task only when it has ended.
        """


def run_all(
    engine: Engine,
    kernel: Kernel[Context, Task, Result],
    context: Context,
    tasks: Sequence[Task],
    advance: Advance,
) -> list[Result]:
    """The results of a kernel on all tasks, in any order. Raises the first exception that a kernel raised."""
    results = []
    for _, result in engine.map(kernel, context, tasks, advance):
        if isinstance(result, Exception):
            raise result
        results.append(result)
    return results


def no_advance(_: int) -> None:
    """Tells nobody: for steps that are no phase of their own."""
