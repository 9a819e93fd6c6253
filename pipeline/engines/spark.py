"""The Spark engine: the same kernels, run by the executors of a Spark session, or Spark's own plan."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from config import Config
from pipeline.engines import Kernel
from pipeline.engines.guard import run_guarded
from pipeline.engines.spark_session import SparkDriver
from pipeline.preprocess.context import Job
from pipeline.timing import Span, stage, timed

if TYPE_CHECKING:
    from pyspark import SparkContext

    from pipeline.aggregate.driver import Totals
    from pipeline.preprocess.ledger import PlacedSplit


Task = TypeVar("Task")


Result = TypeVar("Result")


_POLL_SECONDS = 0.2
_START_SECONDS = 120.0
_TASKS_PER_WORKER = 4


class SparkEngine:
    """Runs kernels on Spark. ``with SparkEngine(config, job, workers) as engine: engine.map(...)``.

    Spark starts in the background at once; where it cannot, the first use raises EnvironmentFault. Leaving the block
    ends the JVM and its workers. Should this process be killed, the JVM sees its standard input close and ends, and
    its Python workers with it.
    """

    name = "spark"

    def __init__(self, config: Config, job: Job, workers: int) -> None:
        self.job = job
        self.spans: list[Span] = []
        self._config = config
        self._workers = workers
        self._jobs = 0
        self._driver = SparkDriver(config, workers, Path(job.workspace.root))
        self._starter, self._context = _in_background(self._start)

    def __enter__(self) -> "SparkEngine":
        return self

    def __exit__(self, fault: object, *_: object) -> None:
        """End Spark: at once after a fault, for nothing that it does will be used."""
        deadline = time.monotonic() + _START_SECONDS
        while self._starter.is_alive() and time.monotonic() < deadline:
            if fault is not None and self._driver.launched:
                break
            self._starter.join(_POLL_SECONDS)
        self._driver.stop(at_once=fault is not None)

    def _start(self) -> "SparkContext":
        context = self._driver.start()
        if self._config.SPARK_PLAN == "sql":
            from pipeline.aggregate.spark_plan import open_session

            open_session(context)
        context.parallelize(range(self._workers), self._workers).foreach(_warm_up)
        return context

    def map(
        self, kernel: Kernel[Task, Result], tasks: Sequence[Task], advance: Callable[[int], None]
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run ``kernel`` on every task; yields (task, result or the exception that it raised) when all are done.

        ``advance`` gets the tasks' ``rows`` (1 for a task without) by the share of tasks that have finished; ``spans``
        tells when each ran.
        Raises EnvironmentFault where Spark fails.
        """
        if not tasks:
            return
        context, job = self._context.result(), self.job
        total = sum(getattr(task, "rows", 1) for task in tasks)
        # A task costs Spark some 60 ms whatever it does, so each runs several kernels in turn.
        count = min(len(tasks), self._workers * _TASKS_PER_WORKER)
        hands = [list(tasks[number::count]) for number in range(count)]
        found = self._run(
            lambda: context.parallelize(hands, count).map(lambda hand: _run_hand(kernel, job, hand)).collect(),
            total,
            advance,
        )
        for hand, results in zip(hands, found, strict=True):
            self.spans += [span for _, span in results]
            yield from zip(hand, (result for result, _ in results), strict=True)

    def aggregate_by_sql(self, splits: "list[PlacedSplit]", advance: Callable[[int], None]) -> "Totals":
        """Phase 2 as Spark's own plan; see ``spark_sql.aggregate``. ``advance`` gets rows.

        Raises BalanceError where a count does not add up or a sum passes int64, EnvironmentFault where Spark fails.
        """

        context, job = self._context.result(), self.job
        rows = sum(split.result.handed_over for split in splits)
        partitions = spark_sql.choose_partitions(self._config, job, rows, self._workers)
        with stage("spark sql", rows):
            return self._run(lambda: spark_sql.aggregate(context, job, splits, partitions), rows, advance)

    def _run(self, action: Callable[[], Result], total: int, advance: Callable[[int], None]) -> Result:
        """Run a Spark action in a thread of its own, and tell ``advance`` of ``total`` as its tasks finish."""
        context = self._context.result()
        self._jobs += 1
        group = f"logmill-{self._jobs}"

        def act() -> Result:
            context.setJobGroup(group, group)
            return action()

        _, outcome = _in_background(act)
        told = 0
        while True:
            try:
                result = outcome.result(_POLL_SECONDS)
            except NotYet:
                now = int(total * _finished_share(context, group))
                if now > told:
                    advance(now - told)
                    told = now
            except Exception as fault:
                from pipeline.errors import LogmillError

                if isinstance(fault, LogmillError):
                    raise
                raise self._driver.fault("Spark failed in Phase 2", fault) from fault
            else:
                advance(total - told)
                return result


def _run_hand(kernel: Kernel[Task, Result], job: Job, hand: Sequence[Task]) -> list[tuple[Result | Exception, Span]]:
    return [timed(run_guarded, kernel.__name__, kernel, job, task) for task in hand]


def _warm_up(_: int) -> None:
    """Loads the kernels in a worker, and Spark's classes in the JVM, while Phase 1 still runs."""
    import pipeline.aggregate.aggregator  # noqa: F401 - imported for its effect


def _finished_share(context: "SparkContext", group: str) -> float:
    """Finished tasks of a group's jobs, from 0 to 1; 0 where Spark does not answer."""
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
        return 0.0  # the action itself will say what is wrong
    return done / total if total else 0.0


def _in_background(action: Callable[[], Result]) -> tuple[threading.Thread, "Future[Result]"]:
    """Start ``action`` on a daemon thread, which no exit of the program waits for."""
    outcome: Future[Any] = Future()

    def act() -> None:
        try:
            outcome.set_result(action())
        except BaseException as fault:
            outcome.set_exception(fault)

    thread = threading.Thread(target=act, name="spark", daemon=True)
    thread.start()
    return thread, outcome
