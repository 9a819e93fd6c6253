"""The Spark engine: runs kernels, and any other action, on the executors of a Spark session."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from config import SparkSettings
from pipeline.engines import Advance, Context, Kernel, Result, Task, no_advance
from pipeline.engines.jvm import Jvm
from pipeline.engines.spark_session import SparkDriver
from pipeline.engines.task_run import run_task
from pipeline.engines.workers import WORKER_ENVIRONMENT, load_modules
from pipeline.errors import LogmillError
from pipeline.timing import Span

if TYPE_CHECKING:
    from pyspark import SparkContext

_POLL_SECONDS = 0.2
_START_SECONDS = 120.0
"""Spark is stopped when it has not started by then."""

_TASKS_PER_WORKER = 4
"""A task of Spark costs some 60 ms whatever it does, so that each one runs several of ours in turn."""


class SparkEngine:
    """Runs kernels on Spark: ``with SparkEngine(config, folder, workers, modules) as engine: engine.map(...)``.

    Spark starts in the background at once, with its files below ``folder``. Its workers load ``modules``, which have
    the kernels, while other work still runs. ``jvm``: one that was launched for it before. ``environment``: variables
    of the workers. Where Spark cannot start, the first use raises EnvironmentFault.

    Leaving the block ends the JVM and its Python workers. Where this process is killed, the JVM reads the end of its
    standard input, and ends with its Python workers.
    """

    name = "spark"

    def __init__(
        self,
        config: SparkSettings,
        folder: Path,
        workers: int,
        modules: Sequence[str],
        jvm: Jvm | None = None,
        environment: Mapping[str, str] = WORKER_ENVIRONMENT,
    ) -> None:
        self.spans: list[Span] = []
        self.workers = workers
        self._modules = tuple(modules)
        self._opens_sql = config.SPARK_PLAN == "sql"
        self._jobs = 0
        self._driver = SparkDriver(config, workers, folder, jvm, environment)
        self._starter, self._context = in_background(self._start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, fault: object, *_: object) -> None:
        """End Spark; at once after a fault, because nothing that it does will be used."""
        deadline = time.monotonic() + _START_SECONDS
        while self._starter.is_alive() and time.monotonic() < deadline:
            if fault is not None and self._driver.launched:
                break
            self._starter.join(_POLL_SECONDS)
        self._driver.stop(at_once=fault is not None)

    def _start(self) -> "SparkContext":
        context, modules = self._driver.start(), self._modules
        try:
            if self._opens_sql:
                from pyspark.sql import SparkSession

                SparkSession(context)
            context.parallelize(range(self.workers), self.workers).foreach(lambda _: load_modules(modules))
        except Exception as fault:  # of py4j, where the JVM has died meanwhile, or of a worker that cannot start
            raise self._driver.fault("Spark did not start its workers", fault) from fault
        return context

    def map(
        self, kernel: Kernel[Context, Task, Result], context: Context, tasks: Sequence[Task], advance: Advance
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run ``kernel`` on every task. Yields (task, result or the exception that it raised) when all have ended.

        ``advance`` gets the sum of the tasks' ``rows`` (1 for a task without), by the share of tasks that have ended.
        Raises EnvironmentFault where Spark fails.
        """
        if not tasks:
            return
        total = sum(getattr(task, "rows", 1) for task in tasks)
        count = min(len(tasks), self.workers * _TASKS_PER_WORKER)
        batches = [list(tasks[number::count]) for number in range(count)]
        found = self.run(
            lambda spark: (
                spark.parallelize(batches, count).map(lambda batch: _run_batch(kernel, context, batch)).collect()
            ),
            total,
            advance,
        )
        for batch, results in zip(batches, found, strict=True):
            self.spans += [span for _, span in results]
            yield from zip(batch, (result for result, _ in results), strict=True)

    def run(self, action: "Callable[[SparkContext], Result]", total: int, advance: Advance) -> Result:
        """Run an action on the session, and return its result.

        ``advance`` gets ``total`` by the share of the action's tasks that have ended. Raises EnvironmentFault where
        Spark fails; a LogmillError of the action passes as it is.
        """
        context = self._context.result()
        self._jobs += 1
        group = f"logmill-{self._jobs}"

        def act() -> Result:
            context.setJobGroup(group, group)
            return action(context)

        _, future = in_background(act)
        advanced = 0
        while True:
            try:
                result = future.result(_POLL_SECONDS)
            except NotYet:
                done = int(total * _finished_share(context, group))
                if done > advanced:
                    advance(done - advanced)
                    advanced = done
            except LogmillError:
                raise
            except Exception as fault:
                raise self._driver.fault("Spark failed in Phase 2", fault, of_records=True) from fault
            else:
                advance(total - advanced)
                return result


def _run_batch(
    kernel: Kernel[Context, Task, Result], context: Context, batch: Sequence[Task]
) -> list[tuple[Result | Exception, Span]]:
    return [run_task(kernel, context, task, no_advance) for task in batch]


def _finished_share(context: "SparkContext", group: str) -> float:
    """The share of the tasks of a group's jobs that have ended, from 0 to 1; 0 where Spark does not answer."""
    done = total = 0
    try:
        tracker = context.statusTracker()
        for job in tracker.getJobIdsForGroup(group):
            job_info = tracker.getJobInfo(job)
            for stage in job_info.stageIds if job_info else ():
                info = tracker.getStageInfo(stage)
                if info:
                    done, total = done + info.numCompletedTasks, total + info.numTasks
    except Exception:
        return 0.0  # the action itself raises what is wrong
    return done / total if total else 0.0


def in_background(action: Callable[[], Result]) -> tuple[threading.Thread, "Future[Result]"]:
    """Start ``action`` on a daemon thread, for which the program does not wait when it exits."""
    future: Future[Any] = Future()

    def act() -> None:
        try:
            future.set_result(action())
        except BaseException as fault:
            future.set_exception(fault)

    thread = threading.Thread(target=act, name="spark", daemon=True)
    thread.start()
    return thread, future
