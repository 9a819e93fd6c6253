"""What runs on the executors of a cluster: a check of the executor, and tasks, each as an attempt of its own."""

import os
import platform
import shutil
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.engines import Context, Kernel, Result, Task
from pipeline.engines.task_run import run_task
from pipeline.engines.workers import load_modules
from pipeline.errors import LogmillError
from pipeline.machine import PROJECT, SHIPPED, cache_folder
from pipeline.native.library import UsesLibrary
from pipeline.staging import Exchange, Moves, attempting, give_up
from pipeline.timing import Span

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator
    from pyspark.core.broadcast import Broadcast


@dataclass(frozen=True, slots=True)
class Answer:
    """What an attempt at a task found.

    ============  ===========================================================================
    ``number``    of the task
    ``result``    of the kernel, or the exception that it raised
    ``span``      when and where it ran
    ``moves``     what the driver does with its files where it accepts the result
    ``advanced``  how much the kernel said that it had done
    ============  ===========================================================================
    """

    number: int
    result: Any
    span: Span
    moves: Moves
    advanced: int


@dataclass(frozen=True)
class Order:
    """What all tasks of one ``map`` share: kernel, context, and the folder of the attempts' files.

    ``exchange``: where these files go, if executors share no disk; each then has a folder of its own.
    """

    kernel: Kernel[Any, Any, Any]
    context: Any
    attempts: str
    exchange: Exchange | None = None


class Mailbox:
    """How answers reach the driver as tasks end: the parameter of an accumulator, which Spark applies exactly once to
    every task that succeeds, however often it was tried."""

    def zero(self, _: "deque[Answer]") -> "deque[Answer]":
        """What an executor begins with."""
        return deque()

    def addInPlace(self, box: "deque[Answer]", more: "Iterable[Answer]") -> "deque[Answer]":
        """Add answers. The driver takes them out of the same box on another thread."""
        box.extend(more)
        return box


def run_batch(
    order: "Broadcast[Order]", mailbox: "Accumulator[deque[Answer]]", batches: Iterable[Sequence[tuple[int, Any]]]
) -> None:
    """Run the tasks of a partition one after the other, and put their answers into the mailbox."""
    from pyspark import TaskContext

    begin_process()
    spark_task = TaskContext.get()
    assert spark_task, "this runs in a task of Spark"
    shared = order.value
    for batch in batches:
        for number, task in batch:
            folder = attempts_folder(shared) / f"{spark_task.taskAttemptId()}-{number}"
            answer = run_attempt(shared.kernel, shared.context, number, task, folder, shared.exchange)
            mailbox.add(deque([answer]))


def attempts_folder(order: Order) -> Path:
    """The folder of the attempts' files on this machine."""
    if order.exchange is None:
        return Path(order.attempts)
    folder = cache_folder() / "attempts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run_attempt(
    kernel: Kernel[Context, Task, Result],
    context: Context,
    number: int,
    task: Task,
    folder: Path,
    exchange: Exchange | None = None,
) -> Answer:
    """Run a kernel so that nothing that it writes has its name until the driver accepts the result. Its files wait in
    the new ``folder``, or if there is an ``exchange``, there."""
    advanced: list[int] = []
    result: Result | Exception
    try:
        with attempting(folder, exchange) as moves:
            result, span = run_task(kernel, context, task, advanced.append)
            if isinstance(result, Exception):
                give_up()
    except LogmillError as fault:  # they could not be handed over
        result = fault
    finally:
        if exchange:
            shutil.rmtree(folder, ignore_errors=True)
    slow = isinstance(context, UsesLibrary) and bool(context.library_path) and context.library is None
    accepted = () if isinstance(result, Exception) else moves[0]
    return Answer(number, result, replace(span, slow=slow), accepted, sum(advanced))


def begin_process() -> None:
    """Give a Python worker a cache beside its copy of the program; it may have no home."""
    if (PROJECT / SHIPPED).is_dir():
        os.environ["XDG_CACHE_HOME"] = str(PROJECT.parent / "cache")


def check_executor(modules: Sequence[str], folders: Sequence[str], exchange: Exchange | None = None) -> list[str]:
    """Load the kernels, as a warm-up. Returns what is wrong with the executor, as sentences for the user.

    ``folders``: which it must see; ``exchange``: or where its files go instead.
    """
    begin_process()
    load_modules(modules)
    if exchange:
        try:
            exchange.check()
        except LogmillError as fault:
            return [f"the executor on {platform.node()} exchanges no files: {str(fault).rstrip('.')}"]
        return []
    return [
        f"the executor on {platform.node()} does not see {folder}, or may not write there"
        for folder in folders
        if not os.access(folder, os.W_OK | os.X_OK)
    ]
