"""The driver's settings, its error messages and its end, without a Spark. A real one is in ``test_spark``."""

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from config import Config, SparkSettings
from pipeline.engines import no_advance, spark_settings
from pipeline.engines.jvm import Jvm
from pipeline.engines.spark import SparkEngine
from pipeline.engines.spark_session import SparkDriver, ignore_pandas, launches_directly
from pipeline.engines.spark_settings import java_options, settings
from pipeline.engines.workers import WORKER_ENVIRONMENT
from pipeline.errors import EnvironmentFault
from pipeline.machine import PROJECT
from tests.end_to_end.program import wait_for

MIB = 2**20


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SparkDriver:
    """A driver that has not started; the environment that it sets is set back after the test."""
    for name in ("PYSPARK_PYTHON", "SPARK_LAUNCHER_OPTS", "SPARK_HOME", "SPARK_CONF_DIR", "SPARK_LOCAL_IP"):
        monkeypatch.setenv(name, "of another Spark")
    return SparkDriver(Config(), 2, tmp_path)


@pytest.mark.parametrize(
    ("master", "local"),
    [("", True), ("local[3]", True), ("spark://host:7077", False), ("yarn", False), ("k8s://host", False)],
)
def test_spark_is_local_without_a_master_of_a_cluster(master: str, local: bool) -> None:
    config = Config(SPARK_MASTER=master)
    assert config.spark_is_local == local
    chosen = settings(config, 4, Path("/run"))
    assert chosen["spark.master"] == (master or "local[4]")
    assert ("spark.driver.bindAddress" in chosen) == local, "nobody on the network reaches a local driver"
    assert chosen["spark.python.daemon.module"] == "pipeline.engines.spark_daemon"
    assert chosen["spark.python.unix.domain.socket.enabled"] == "true", "over TCP every task waits"


def test_settings_of_a_local_spark(tmp_path: Path) -> None:
    chosen = settings(Config(SPARK_DRIVER_MEMORY=700 * MIB, SPARK_EXECUTOR_MEMORY=900 * MIB), 4, tmp_path)
    assert chosen["spark.driver.memory"] == "700m"
    assert chosen["spark.executor.memory"] == "900m"
    assert chosen["spark.local.dir"] == str(tmp_path)
    assert chosen["spark.task.maxFailures"] == "1"
    assert chosen["spark.sql.session.timeZone"] == "UTC"
    assert chosen["spark.ui.enabled"] == "false"
    assert chosen["spark.executorEnv.PYTHONPATH"] == str(PROJECT)
    assert (PROJECT / "pipeline" / "engines").is_dir()
    environment = {name: value for name, value in chosen.items() if name.startswith("spark.executorEnv.")}
    assert {name.removeprefix("spark.executorEnv."): value for name, value in environment.items()} == {
        **WORKER_ENVIRONMENT,
        "PYTHONPATH": str(PROJECT),
    }


@pytest.mark.parametrize(
    ("plan", "memory", "workers"),
    [
        ("sql", 512 * MIB, 1),
        ("sql", 600 * MIB, 2),
        ("sql", 4096 * MIB, 8),
        ("kernel", 512 * MIB, 8),
    ],
)
def test_tasks_of_the_sql_plan_need_heap(plan: str, memory: int, workers: int, tmp_path: Path) -> None:
    """300 MiB for Spark and 150 MiB for each task; kernels use the memory of their Python workers."""
    config = Config(SPARK_PLAN=plan, SPARK_DRIVER_MEMORY=memory)  # type: ignore[arg-type]
    assert settings(config, 8, tmp_path)["spark.master"] == f"local[{workers}]"


def test_the_jvm_starts_soon_for_kernels_and_compiles_well_for_sql() -> None:
    kernels, sql = java_options(Config()), java_options(Config(SPARK_PLAN="sql", SPARK_DRIVER_MEMORY=600 * MIB))
    assert sql[0] == "-Xmx600m"
    assert "-XX:TieredStopAtLevel=1" in kernels
    assert "-XX:TieredStopAtLevel=1" not in sql
    assert {"-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=256m"} <= set(kernels) & set(sql)


@pytest.mark.parametrize(("length", "used"), [(57, True), (58, False), (200, False)])
def test_sockets_have_paths_that_the_system_allows(length: int, used: bool) -> None:
    """With /.<36 characters>.sock it is 100 bytes. Over TCP Spark works as well, only slower."""
    folder = Path("/" + "x" * (length - 1))
    chosen = settings(Config(), 2, folder)
    assert ("spark.python.unix.domain.socket.dir" in chosen) == used


def test_the_settings_of_another_spark_change_nothing(driver: SparkDriver, tmp_path: Path) -> None:
    assert os.environ["PYSPARK_PYTHON"] == sys.executable
    assert os.environ["SPARK_CONF_DIR"] == str(tmp_path / "spark")
    assert (Path(os.environ["SPARK_HOME"]) / "jars").is_dir()
    assert os.environ["SPARK_LOCAL_IP"] == "127.0.0.1"
    assert (tmp_path / "spark").stat().st_mode & 0o777 == 0o700
    assert not driver.launched


def test_a_cluster_keeps_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYSPARK_PYTHON", "SPARK_LAUNCHER_OPTS", "SPARK_CONF_DIR"):
        monkeypatch.setenv(name, "of the cluster")
    SparkDriver(Config(SPARK_MASTER="yarn"), 2, tmp_path)
    assert os.environ["SPARK_CONF_DIR"] == "of the cluster"
    assert list((tmp_path / "spark").iterdir()) == []


def test_a_fault_has_its_reason_the_end_of_the_log_and_what_to_do(driver: SparkDriver) -> None:
    driver.log.write_bytes(b"\n".join(b"line %d" % number for number in range(20)) + b"\n\xff" + b"x" * 400)
    cause = RuntimeError("An error occurred\njava.lang.OutOfMemoryError: Java heap space\n\tat a.b(C.java)")
    message = str(driver.fault("Spark failed", cause))
    first, *tail = message.splitlines()
    assert first.startswith("Spark failed (RuntimeError: java.lang.OutOfMemoryError: Java heap space). Nothing was")
    assert "SPARK_DRIVER_MEMORY" in first
    assert "--engine polars" in first
    assert first.endswith(f"The end of {driver.log}:")
    assert tail[:-1] == [f"line {number}" for number in range(9, 20)]
    assert tail[-1] == "�" + "x" * 299


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("", ""),
        ("one line", "one line"),
        ("\n first\nsecond", "first"),
        ("a: one\nb: two\nrest", "b: two"),
        ("x" * 400, "x" * 300),
    ],
    ids=["empty", "one line", "first line", "last with a colon", "long"],
)
def test_the_reason_is_one_line_of_the_cause(cause: str, reason: str, driver: SparkDriver) -> None:
    message = str(driver.fault("Spark failed", ValueError(cause)))
    assert message.startswith(f"Spark failed (ValueError: {reason}). Nothing was published")
    assert message.endswith("(no log)")


def test_pandas_is_nothing_to_warn_of() -> None:
    ignore_pandas()
    warnings.warn("PySpark does not yet fully support pandas 9.", FutureWarning, stacklevel=1)
    with pytest.raises(FutureWarning):
        warnings.warn("another", FutureWarning, stacklevel=1)


def test_what_was_not_started_is_not_stopped(driver: SparkDriver, tmp_path: Path) -> None:
    driver.stop()
    assert (tmp_path / "spark").is_dir()


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.usefixtures("driver")
def test_stopping_ends_the_jvm_and_what_it_has_started(at_once: bool, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    jvm = subprocess.Popen(["sh", "-c", "sleep 60 & echo ready; wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert jvm.stdout
    assert jvm.stdout.readline() == b"ready\n"
    jvm.stdout.close()
    (worker,) = psutil.Process(jvm.pid).children()
    early = tmp_path / "early.log"
    early.write_text("what Spark said\n")
    driver = SparkDriver(Config(), 2, tmp_path / "run", Jvm(jvm, tmp_path / "answer", early, None))
    assert driver.launched
    assert "what Spark said" in str(driver.fault("Spark failed", ValueError("x")))
    driver.stop(at_once=at_once)
    assert jvm.returncode == -9
    assert driver.log.read_text() == "what Spark said\n", "messages name this file"
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert not (tmp_path / "run" / "spark").exists()
    assert not driver.launched
    driver.stop()


@pytest.mark.usefixtures("conf")
def test_the_end_of_a_session_on_a_cluster_waits_for_no_server_of_accumulators(tmp_path: Path) -> None:
    """Its loop looks for the end twice a second, so that a run would take up to a second longer."""
    calls: list[str] = []
    never = threading.Event()
    (tmp_path / "run").mkdir()
    jvm = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    driver = SparkDriver(
        Config(SPARK_MASTER="spark://host:7077"),
        1,
        tmp_path / "run",
        Jvm(jvm, tmp_path / "answer", tmp_path / "log", None),
    )
    driver.context = cast(Any, SimpleNamespace(
        cancelAllJobs=lambda: calls.append("jobs"),
        _jsc=SimpleNamespace(stop=lambda: calls.append("application")),
        _accumulatorServer=SimpleNamespace(shutdown=never.wait),
    ))  # fmt: skip
    driver._gateway = SimpleNamespace(shutdown=lambda: calls.append("gateway"))
    driver.stop()
    assert calls == ["jobs", "application", "gateway"], "the master has the executors back before the JVM ends"
    assert jvm.returncode == 0, "it ended by itself"


def test_a_missing_pyspark_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spark_settings.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentFault, match=r"pyspark is not installed\. Run: .*pip install"):
        SparkDriver(Config(), 2, tmp_path)


def test_settings_need_no_more_than_the_part_for_spark(tmp_path: Path) -> None:
    assert settings(SparkSettings(), 2, tmp_path) == settings(Config(), 2, tmp_path)


class Unanswered(Exception):
    """As py4j's errors: their text is asked of the JVM."""

    def __str__(self) -> str:
        raise ConnectionRefusedError(111, "Connection refused")


def test_a_jvm_that_has_died_is_asked_for_no_text(driver: SparkDriver) -> None:
    for of_records in False, True:
        message = str(driver.fault("Spark failed", Unanswered(), of_records=of_records))
        assert message.startswith("Spark failed (Unanswered")
        assert "--engine polars" in message


def test_what_spark_says_of_records_is_named_and_not_quoted(driver: SparkDriver) -> None:
    driver.log.write_text("ERROR Executor: cannot cast 'a value'\n")
    text = (
        "An error occurred while calling o1.parquet.\n: org.apache.spark.SparkException: Job aborted: a value\n"
        "Caused by: org.apache.spark.SparkNumberFormatException: [CAST_INVALID_INPUT] 'a value'\n"
        "Caused by: java.lang.OutOfMemoryError: Java heap space\n\tat java.base/java.lang.Thread.run(Thread.java)"
    )
    message = str(driver.fault("Spark failed in Phase 2", RuntimeError(text), of_records=True))
    named = "RuntimeError, SparkException, SparkNumberFormatException, OutOfMemoryError"
    assert message.startswith(f"Spark failed in Phase 2 ({named}). Nothing was published.")
    assert message.endswith(f"Spark's own log is {driver.log}.")
    assert "a value" not in message


class Broken:
    """A context whose JVM dies as soon as it is asked for anything."""

    def parallelize(self, *_: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")


def test_a_jvm_that_dies_before_it_is_warm_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SparkDriver, "start", lambda _: Broken())
    with (
        pytest.raises(
            EnvironmentFault, match=r"^Spark did not start its workers \(ConnectionRefusedError: .*engine polars"
        ),
        SparkEngine(Config(SPARK_PLAN="kernel"), tmp_path, 2, ()) as engine,
    ):
        list(engine.map(len, None, [1], no_advance))


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cluster's settings files, which has none."""
    folder = tmp_path / "conf"
    folder.mkdir()
    monkeypatch.setenv("SPARK_CONF_DIR", str(folder))
    for name in ("HADOOP_CONF_DIR", "SPARK_DIST_CLASSPATH", "SPARK_SUBMIT_OPTS"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.mark.usefixtures("conf")
def test_settings_of_a_cluster(tmp_path: Path) -> None:
    config = Config(
        SPARK_MASTER="spark://host:7077", SPARK_EXECUTORS=3, SPARK_EXECUTOR_CORES=4, SPARK_PYTHON_MEMORY=2**31,
        SPARK_EXECUTOR_MEMORY=2**30,
    )  # fmt: skip
    chosen = settings(config, 1, tmp_path)
    assert chosen["spark.task.maxFailures"] == "4"
    assert (chosen["spark.executor.cores"], chosen["spark.cores.max"]) == ("4", "12")
    assert chosen["spark.executor.instances"] == "3"
    assert chosen["spark.executor.memoryOverhead"] == f"{2048 + 384}m", (
        "Python, and what the JVM takes besides its heap"
    )
    assert chosen["spark.executorEnv.PYTHONPATH"] == "code", "in the folder of each executor"
    assert not any(name.startswith("spark.driver.host") for name in chosen), "the machine's own settings say it"
    assert "spark.cores.max" not in settings(Config(SPARK_MASTER="spark://host:7077"), 1, tmp_path)


@pytest.mark.parametrize(("asked", "python"), [("", sys.executable), ("/opt/python", "/opt/python")])
@pytest.mark.usefixtures("driver")
def test_executors_have_a_python_of_their_own(asked: str, python: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    SparkDriver(Config(SPARK_MASTER="yarn", SPARK_EXECUTOR_PYTHON=asked), 1, tmp_path / "run")
    assert os.environ["PYSPARK_PYTHON"] == python


def test_executors_start_soon_for_kernels_unless_the_cluster_says_how(tmp_path: Path, conf: Path) -> None:
    name, master = "spark.executor.defaultJavaOptions", "spark://host:7077"
    kernels = settings(Config(SPARK_MASTER=master, SPARK_PLAN="kernel"), 1, tmp_path)
    assert "-XX:TieredStopAtLevel=1" in kernels[name]
    assert "GC" not in kernels[name], "a JVM refuses two collectors, and the cluster may name one"
    assert name not in settings(Config(SPARK_MASTER=master, SPARK_PLAN="sql"), 1, tmp_path)
    assert name not in settings(Config(), 1, tmp_path)
    (conf / "spark-defaults.conf").write_text(f"{name} -Djavax.net.ssl.trustStore=/etc/store\n")
    assert name not in settings(Config(SPARK_MASTER=master, SPARK_PLAN="kernel"), 1, tmp_path)


@pytest.mark.parametrize(
    ("master", "directly"),
    [("", True), ("local[2]", True), ("spark://host:7077", True), ("yarn", False), ("k8s://https://host", False)],
)
def test_spark_launches_its_own_driver_where_it_has_more_to_obey(master: str, directly: bool, conf: Path) -> None:
    config = Config(SPARK_MASTER=master)
    assert launches_directly(config) == directly
    (conf / "spark-env.sh").write_text("export SPARK_LOCAL_DIRS=/scratch\n")
    assert launches_directly(config) == config.spark_is_local, "the settings of another Spark change nothing here"
