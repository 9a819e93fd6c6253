"""The engine for clusters: its jobs by hand, and on a real cluster whose executors see neither code nor cache."""

import os
import tarfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config import Config
from pipeline.engines import Advance, cluster, no_advance
from pipeline.engines.cluster import ClusterEngine, batches_of
from pipeline.engines.code_archive import pack_code
from pipeline.engines.spark_session import SparkDriver
from pipeline.errors import EnvironmentFault, WorkerDied
from pipeline.machine import cache_folder
from tests import cluster_kernels
from tests.cluster_kernels import die_once, look, look_at_process, take_a_second
from tests.isolated_cluster import IsolatedCluster
from tests.needs import needs_java, needs_namespaces


def test_every_task_is_in_one_batch_and_alone_unless_there_are_very_many() -> None:
    few = batches_of(dict.fromkeys(range(40)), 2)
    assert few == [[(number, None)] for number in range(40)]
    many = batches_of(dict.fromkeys(range(10_001)), 2)
    assert len(many) == 500
    assert sorted(number for batch in many for number, _ in batch) == list(range(10_001))
    assert max(map(len, many)) - min(map(len, many)) <= 1


class Refused(Exception):
    """As Spark's: its text says over which task the workers died."""


class ScriptedEngine(ClusterEngine):
    """Runs jobs without Spark. Tasks in ``deadly`` kill their worker; ``broken``: how a job fails altogether."""

    def __init__(self, deadly: set[int] = frozenset(), broken: str = "", alive: bool = True) -> None:
        self.spans: list[Any] = []
        self.workers = 2
        self.jobs: list[list[int]] = []
        self._attempts, self._exchange = Path("/nowhere"), None
        self._deadly, self._broken, self._alive = deadly, broken, alive

    def start_job(self, order, tasks):
        """The tasks before the first deadly one have their answers; the others are lost with the job."""
        self.jobs.append(list(tasks))
        future: Future[None] = Future()
        box = cluster.deque()
        for place, (number, task) in enumerate(tasks.items()):
            if task in self._deadly:
                future.set_exception(Refused(
                    f"Job aborted: Task {place} in stage 3.0 failed 4 times, most recent failure: Lost task {place}.3 "
                    "(executor 7): ExecutorLostFailure (executor 7 exited caused by one of the running tasks)"
                ))  # fmt: skip
                return box, future
            box.append(cluster.Answer(number, order.kernel(order.context, task, no_advance), None, (), 10))
        if self._broken:
            future.set_exception(Refused(self._broken))
        elif self._alive:
            future.set_result(None)
        return box, future

    def check_alive(self) -> bool:
        return self._alive

    def explain(self, fault: Exception) -> EnvironmentFault:
        return EnvironmentFault(str(fault))


def double(_: object, task: int, __: Advance) -> int:
    return 2 * task


def test_a_task_that_kills_workers_runs_alone_before_it_is_given_up_and_the_others_finish() -> None:
    engine = ScriptedEngine(deadly={3})
    advanced: list[int] = []
    found = dict(engine.map(double, None, list(range(6)), advanced.append))
    assert isinstance(found.pop(3), WorkerDied)
    assert found == {task: 2 * task for task in (0, 1, 2, 4, 5)}
    assert [3] in engine.jobs, "so that its deaths are surely its own"
    assert sum(advanced) == 50


def test_several_deadly_tasks_end_as_well() -> None:
    found = dict(ScriptedEngine(deadly={0, 2, 5}).map(double, None, list(range(6)), no_advance))
    assert {task for task, result in found.items() if isinstance(result, WorkerDied)} == {0, 2, 5}
    assert len(found) == 6


def test_a_job_that_fails_for_another_reason_ends_the_run() -> None:
    engine = ScriptedEngine(broken="Task 1 in stage 2.0 failed 4 times: No space left on device")
    with pytest.raises(EnvironmentFault, match="No space left"):
        list(engine.map(double, None, [1, 2], no_advance))


def test_a_cluster_without_executors_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ALONE_SECONDS", 0.2)
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.0)
    results = ScriptedEngine(alive=False).map(double, None, [1], no_advance)
    assert next(results) == (1, 2), "what came is handed over before"
    with pytest.raises(EnvironmentFault, match=r"all executors of the cluster are gone.* is not done again"):
        next(results)


def test_executors_that_go_while_they_are_checked_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ALONE_SECONDS", 0.2)
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "count_executors", lambda _: 0)
    collected = threading.Event()
    waiting = SimpleNamespace(collect=collected.wait)
    context = SimpleNamespace(parallelize=lambda *_: SimpleNamespace(flatMap=lambda _: waiting))
    engine = ScriptedEngine()
    engine._modules = ()
    try:
        with pytest.raises(EnvironmentFault, match="all executors of the cluster are gone"):
            engine._check(context)  # type: ignore[arg-type]
    finally:
        collected.set()


def test_no_task_no_job() -> None:
    engine = ScriptedEngine()
    assert list(engine.map(double, None, [], no_advance)) == []
    assert engine.jobs == []


def test_a_master_that_is_not_there_is_told_before_spark_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SparkDriver, "start", lambda *_: pytest.fail("no JVM is of use"))
    config = Config(SPARK_MASTER="spark://127.0.0.1:1")
    with (
        pytest.raises(EnvironmentFault, match=r"the master spark://127\.0\.0\.1:1 cannot be reached"),
        ClusterEngine(config, tmp_path, (), lambda: tmp_path) as opened,
    ):
        opened.capacity()


# On a real cluster


@pytest.fixture(scope="module")
def engine(cluster: IsolatedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterEngine]:
    """One application on the cluster for the tests of this module."""
    archive = _with_kernels(
        pack_code(cache_folder(), [], {"shipped": "yes"}), tmp_path_factory.mktemp("code") / "code.tgz"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", cluster.running.conf)
        patch.setenv("PYSPARK_PYTHON", "")
        config = Config(ENGINE="spark", **_typed(cluster.settings()))
        folder = tmp_path_factory.mktemp("run")
        with ClusterEngine(config, folder, ("pipeline.preprocess.preprocessor",), lambda: archive) as opened:
            yield opened


def _typed(settings: dict[str, str]) -> dict[str, Any]:
    from config import load_config

    loaded = load_config({}, {f"LOGMILL_{name}": value for name, value in settings.items()}, None)
    return {name: getattr(loaded, name) for name in settings}


def _with_kernels(archive: Path, target: Path) -> Path:
    """The archive of the program with the tests' kernels."""
    with tarfile.open(archive) as packed, tarfile.open(target, "w:gz", compresslevel=1) as both:
        for member in packed:
            both.addfile(member, packed.extractfile(member))
        both.add(cluster_kernels.__file__, "tests/cluster_kernels.py")
    return target


real = [needs_java, needs_namespaces, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.usefixtures("cluster")
class TestRealCluster:
    """One application for all of them."""

    pytestmark = real

    def test_executors_see_neither_code_nor_cache(self, engine: ClusterEngine) -> None:
        from pipeline.machine import PROJECT

        assert engine.capacity().cores == 2
        context = f"{PROJECT}|{cache_folder()}"
        for _, (checkout, cache, program) in engine.map(look, context, list(range(4)), no_advance):
            assert (checkout, cache) == ([], [])
            assert program.endswith("/code")
            assert PROJECT not in Path(program).parents

    def test_python_workers_have_compiled_code_and_a_socket_of_their_own(self, engine: ClusterEngine) -> None:
        """From an archive, each of them would compile pyspark; over TCP each task waits for an acknowledgement."""
        usual = os.umask(0)
        os.umask(usual)
        for _, (pyspark, sockets, umask) in engine.map(look_at_process, "", list(range(4)), no_advance):
            assert pyspark.endswith("site-packages/pyspark/__init__.py")
            ((_, rights),) = sockets
            assert rights & 0o077 == 0, "who connects may run anything"
            assert umask == usual

    def test_results_come_while_other_tasks_run(self, engine: ClusterEngine, tmp_path: Path) -> None:
        results = engine.map(take_a_second, str(tmp_path), list(range(6)), no_advance)
        next(results)
        assert len(list(tmp_path.iterdir())) < 6
        assert len(list(results)) == 5

    def test_a_killed_python_worker_costs_a_further_try(self, engine: ClusterEngine, tmp_path: Path) -> None:
        advanced: list[int] = []
        found = list(engine.map(die_once, str(tmp_path), list(range(20)), advanced.append))
        assert sorted(found) == [(task, 2 * task) for task in range(20)], "exactly once"
        assert sum(advanced) == 20

    def test_a_killed_executor_costs_a_further_try(
        self, engine: ClusterEngine, cluster: IsolatedCluster, tmp_path: Path
    ) -> None:
        def kill() -> None:
            while not list(tmp_path.iterdir()):
                time.sleep(0.02)
            cluster.processes("CoarseGrainedExecutorBackend")[0].kill()

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        found = list(engine.map(take_a_second, str(tmp_path), list(range(6)), no_advance))
        killer.join()
        assert sorted(found) == [(task, task) for task in range(6)]
