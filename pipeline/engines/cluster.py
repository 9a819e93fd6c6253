"""The engine for a Spark cluster: runs the kernels of both phases on executors that may be lost at any moment.

A ``map`` is a job of Spark. An executor that has run a task puts the answer into an accumulator, so that the driver has
it at once and exactly once, and the journal can note it. Spark tries a task again whose worker or executor has died.
The files of an attempt have names of their own until the driver accepts its answer (``pipeline.staging``).
"""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from config import SparkSettings
from pipeline.engines import Advance, Context, Kernel, Result, Task
from pipeline.engines.capacity import Capacity
from pipeline.engines.executor import Answer, Mailbox, Order, check_executor, run_batch
from pipeline.engines.jvm import Jvm
from pipeline.engines.master import check_master
from pipeline.engines.spark import SparkEngine, in_background
from pipeline.engines.spark_session import text_of
from pipeline.engines.workers import WORKER_ENVIRONMENT
from pipeline.errors import WORKERS_DIED, EnvironmentFault, WorkerDied
from pipeline.staging import ATTEMPTS, Exchange, Moves, accept

if TYPE_CHECKING:
    from pyspark import SparkContext

_POLL_SECONDS = 0.05
_LOOK_SECONDS = 2.0
"""How often the driver looks whether there are executors."""

_ALONE_SECONDS = 90.0
"""A job whose executors are all gone is given up when no other one has come by then."""

_EXECUTOR_SECONDS = 120.0
"""A cluster that has started no executor by then is given up."""

_SETTLED_SECONDS = 3.0
"""When no further executor has come for so long, those that are there are all."""

_TASKS_PER_CORE = 250
"""More tasks for each core than these are run in batches, because each task of Spark costs the driver some time."""

_LOST_TASK = re.compile(r"Task (\d+) in stage \S+ failed \d+ times")
_DEATH = re.compile(r"ExecutorLostFailure|Python worker exited unexpectedly")


class ClusterEngine(SparkEngine):
    """Runs kernels on the executors of a cluster (SPARK_MASTER is spark://, k8s:// or yarn).

    ``folder``: the run's own, which all executors see unless there is an ``exchange`` for their files. ``archive``: the
    program (``code_archive``), which is made when Spark starts. Other arguments: as for ``SparkEngine``.
    """

    def __init__(
        self,
        config: SparkSettings,
        folder: Path,
        modules: Sequence[str],
        archive: Callable[[], Path],
        environment: Mapping[str, str] = WORKER_ENVIRONMENT,
        exchange: Exchange | None = None,
        jvm: Jvm | None = None,
    ) -> None:
        self._config = config
        self._exchange = exchange
        self._attempts = folder / ATTEMPTS
        self._attempts.mkdir(mode=0o700, exist_ok=True)
        self._archive = archive
        self._maps = 0
        super().__init__(config, folder, 1, modules, jvm, environment)

    def capacity(self) -> Capacity:
        """What the executors have that came at the start. Waits for them; raises EnvironmentFault where none came."""
        self._context.result()
        return Capacity(self.workers, self._config.SPARK_PYTHON_MEMORY // self._config.SPARK_EXECUTOR_CORES)

    def _start(self) -> "SparkContext":
        check_master(self._config.SPARK_MASTER)
        context = self._driver.start(self._archive())
        try:
            executors = _wait_for_executors(context, self._config)
            self.workers = executors * self._config.SPARK_EXECUTOR_CORES
            self._check(context)
        except EnvironmentFault:
            raise
        except Exception as fault:
            raise self._driver.start_fault(fault) from fault
        if self._opens_sql:
            from pyspark.sql import SparkSession

            SparkSession(context)
        return context

    def _check(self, context: "SparkContext") -> None:
        modules, exchange = self._modules, self._exchange
        folders = () if exchange else (str(self._attempts),)
        found = context.parallelize(range(self.workers), self.workers).flatMap(
            lambda _: check_executor(modules, folders, exchange)
        )
        watchdog = Watchdog(partial(has_executors, context))
        _, future = in_background(found.collect)
        while not future.done():
            with suppress(NotYet):
                future.exception(_POLL_SECONDS)
            watchdog.look()
        wrong = sorted(set(future.result()))
        if wrong and exchange:
            raise EnvironmentFault(
                f"{wrong[0]}. Nothing was done. Executors find their credentials where they run, or in "
                "spark.executorEnv of spark-defaults.conf."
            )
        if wrong:
            raise EnvironmentFault(
                f"{wrong[0]}. Nothing was done. Choose folders with --input, --intermediate and --output that this "
                "machine and all executors have under the same path, such as NFS, and run again."
            )

    def map(
        self, kernel: Kernel[Context, Task, Result], context: Context, tasks: Sequence[Task], advance: Advance
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run ``kernel`` on every task. Yields (task, result or the exception that it raised) as tasks end.

        A task that Spark gave up because its workers died runs once more alone; if they die again, it yields
        WorkerDied. Raises EnvironmentFault where Spark fails otherwise.
        """
        pending = dict(enumerate(tasks))
        jobs = deque([list(pending)] if pending else [])
        while jobs:
            numbers = jobs.popleft()
            job = _Job(
                self,
                Order(kernel, context, str(self._attempts), self._exchange),
                {number: pending[number] for number in numbers},
            )
            for answers in job.answers():
                self._accept([answer.moves for answer in answers])
                for answer in answers:
                    self.spans.append(answer.span)
                    advance(answer.advanced)
                    yield pending.pop(answer.number), answer.result
            suspects = [number for number in job.lost if number in pending]
            rest = [number for number in numbers if number in pending and number not in suspects]
            if suspects and len(suspects) == len(numbers):
                for number in suspects:
                    yield pending.pop(number), WorkerDied(_died())
            elif suspects:
                jobs.append(suspects)
            if rest and not suspects:
                raise EnvironmentFault(
                    f"Spark ended a job without the results of {len(rest)} tasks. Nothing was published. Run again: "
                    "what is done is not done again."
                )
            if rest:
                jobs.append(rest)

    def _accept(self, moves: Sequence[Moves]) -> None:
        if self._exchange:
            self._exchange.accept(moves)
        else:
            for of_attempt in moves:
                accept(of_attempt)

    def start_job(self, order: Order, tasks: dict[int, Any]) -> "tuple[deque[Answer], Future[None]]":
        """Start a job of Spark over ``tasks``. Returns the box where answers arrive, and the end of the job."""
        context = self._context.result()
        box: deque[Answer] = deque()
        mailbox = context.accumulator(box, cast(Any, Mailbox()))
        shared = context.broadcast(order)
        batches = batches_of(tasks, self.workers)
        self._maps += 1
        name = f"{order.kernel.__name__} {self._maps}"

        def act() -> None:
            context.setJobGroup(name, name)
            context.parallelize(batches, len(batches)).foreachPartition(partial(run_batch, shared, mailbox))
            shared.destroy()

        _, future = in_background(act)
        return box, future

    def check_alive(self) -> bool:
        """Whether the cluster has an executor now; see ``has_executors``."""
        return has_executors(self._context.result())

    def explain(self, fault: Exception) -> EnvironmentFault:
        """The error for a job that failed and not for its tasks."""
        return self._driver.fault("Spark failed on the cluster", fault, of_records=True)


def batches_of(tasks: dict[int, Any], cores: int) -> list[list[tuple[int, Any]]]:
    """The tasks with their numbers in batches, each a task of Spark: of one, unless there are very many."""
    numbered = list(tasks.items())
    count = min(len(numbered), cores * _TASKS_PER_CORE)
    return [numbered[number::count] for number in range(count)]


class Watchdog:
    """Ends a job of Spark whose executors are all gone: Spark itself waits for others for ever.

    ``is_alive``: whether there are executors.
    """

    def __init__(self, is_alive: Callable[[], bool]) -> None:
        self._is_alive = is_alive
        self._last_alive = self._last_look = time.monotonic()

    def look(self) -> None:
        """Raise EnvironmentFault where there has been no executor for too long. To be called again and again."""
        now = time.monotonic()
        if now - self._last_look > _LOOK_SECONDS:
            self._last_look = now
            self._last_alive = now if self._is_alive() else self._last_alive
        if now - self._last_alive > _ALONE_SECONDS:
            raise EnvironmentFault(
                "all executors of the cluster are gone, and no other one has come. Nothing was published. Look at "
                "the page of the cluster's master, and run again: what is done is not done again."
            )


class _Job:
    """One job. ``lost``: the numbers of the tasks over which workers died too often, known when its answers end."""

    def __init__(self, engine: ClusterEngine, order: Order, tasks: dict[int, Any]) -> None:
        self.lost: list[int] = []
        self._engine, self._tasks = engine, tasks
        self._box, self._future = engine.start_job(order, tasks)

    def answers(self) -> Iterator[list[Answer]]:
        """Yield answers as they arrive, until the job has ended. Raises EnvironmentFault where Spark fails."""
        watchdog = Watchdog(self._engine.check_alive)
        while not self._has_ended():
            yield self._arrived()
            watchdog.look()
        yield self._arrived()  # Spark hands answers over before it says that the job has ended

    def _arrived(self) -> list[Answer]:
        return [self._box.popleft() for _ in range(len(self._box))]

    def _has_ended(self) -> bool:
        try:
            self._future.result(_POLL_SECONDS)
        except NotYet:
            return False
        except Exception as fault:
            self.lost = self._lost_in(text_of(fault))
            if not self.lost:
                raise self._engine.explain(fault) from fault
        return True

    def _lost_in(self, text: str) -> list[int]:
        """The tasks that the message of a failed job names, if workers died over them."""
        named = _LOST_TASK.search(text)
        if not named or not _DEATH.search(text):
            return []
        return [number for number, _ in batches_of(self._tasks, self._engine.workers)[int(named[1])]]


def has_executors(context: "SparkContext") -> bool:
    """Whether there are executors; also where the JVM does not answer, because the job says so then."""
    with suppress(Exception):
        return count_executors(context) > 0
    return True


def count_executors(context: "SparkContext") -> int:
    """The executors that have registered; Spark's list has the driver, too."""
    tracker: Any = context._jsc.sc().statusTracker()
    return len(tracker.getExecutorInfos()) - 1


def _wait_for_executors(context: "SparkContext", config: SparkSettings) -> int:
    """Wait until all executors have registered that were asked for, or until no more come; returns how many there are.

    Raises EnvironmentFault where none comes.
    """
    begin = changed = time.monotonic()
    count = 0
    while True:
        now, found = time.monotonic(), count_executors(context)
        if found != count:
            count, changed = found, now
        if count and (count == config.SPARK_EXECUTORS or now - changed > _patience(config)):
            return count
        if not count and now - begin > _EXECUTOR_SECONDS:
            raise EnvironmentFault(
                f"the cluster {config.SPARK_MASTER} has started no executor in {_EXECUTOR_SECONDS:.0f} s. Nothing was "
                f"done. An executor needs {config.SPARK_EXECUTOR_CORES} cores (SPARK_EXECUTOR_CORES) and "
                f"{config.SPARK_EXECUTOR_MEMORY // 10**6} MB (SPARK_EXECUTOR_MEMORY) of one machine, and must reach "
                "this one (spark.driver.host in spark-defaults.conf). The page of the master says what is free."
            )
        time.sleep(_POLL_SECONDS)


def _patience(config: SparkSettings) -> float:
    """How long to wait for further executors: longer where a number was asked for."""
    return 10 * _SETTLED_SECONDS if config.SPARK_EXECUTORS else _SETTLED_SECONDS


def _died() -> str:
    return (
        f"{WORKERS_DIED} again and again while they worked on the same part; most often a machine of the cluster ran "
        "out of memory. Raise SPARK_PYTHON_MEMORY, or lower SPARK_EXECUTOR_CORES, and run again: what is done is not "
        "done again."
    )
