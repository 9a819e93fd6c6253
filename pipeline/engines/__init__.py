"""Who runs the kernels: the local process pool, or the executors of a Spark session."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from pipeline.job import Job

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
