"""Who runs the kernels: the local process pool, or the executors of a Spark session."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from pipeline.preprocess.context import Job

Task = TypeVar("Task")


Result = TypeVar("Result")


Kernel = Callable[[Job, Task, Callable[[int], None]], Result]
"""A pure piece of work on one task; its third argument is told how much is done, in the kernel's own unit."""


class Engine(Protocol):
    """Runs a kernel on many tasks."""

    @property
    def name(self) -> str:
        """``polars`` or ``spark``."""

    def map(
        self, kernel: Kernel[Task, Result], tasks: Sequence[Task], advance: Callable[[int], None]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Yield (task, result or the exception that the kernel raised) for every task, in any order."""


def run_all(
    engine: Engine, kernel: Kernel[Task, Result], tasks: list[Task], advance: Callable[[int], None]
) -> list[Result]:
    """Results of a kernel on all tasks; the first exception goes up."""
    results = []
    for _, result in engine.map(kernel, tasks, advance):
        if isinstance(result, Exception):
            raise result
        results.append(result)
    return results
