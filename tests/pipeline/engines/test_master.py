"""A master that cannot be reached is told at once, and a session that does not start by its cause, in a sentence."""

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from config import Config
from pipeline.engines.jvm import Jvm
from pipeline.engines.master import check_master, session_fault
from pipeline.engines.spark_session import SparkDriver
from pipeline.errors import EnvironmentFault

_STOPPED = """An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.
: java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.
This stopped SparkContext was created at:

org.apache.spark.api.java.JavaSparkContext.<init>(JavaSparkContext.scala:54)
"""
_KUBERNETES = """An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.
: org.apache.spark.SparkException: External scheduler cannot be instantiated
\tat org.apache.spark.SparkContext$.org$apache$spark$SparkContext$$createTaskScheduler(SparkContext.scala:3272)
Caused by: io.fabric8.kubernetes.client.KubernetesClientException: Failure executing: Forbidden
\t... 12 more
"""
_NO_NUMPY = """An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 1 in stage 0.0 failed 4 times, most recent
org.apache.spark.SparkException: EOFException occurred while reading the port number from pipeline.engines.spark_daemon'
  Traceback (most recent call last):
    File "<frozen runpy>", line 189, in _run_module_as_main
  ModuleNotFoundError: No module named 'numpy'
\tat org.apache.spark.api.python.PythonWorkerFactory.startDaemon(PythonWorkerFactory.scala:300)

Driver stacktrace:
org.apache.spark.SparkException: EOFException occurred while reading the port number from pipeline.engines.spark_daemon'
\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:1)
"""


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)


@pytest.mark.parametrize("form", ["spark://127.0.0.1:{}", "k8s://https://127.0.0.1:{}", "k8s://127.0.0.1:{}"])
def test_a_master_where_nothing_listens_is_told_with_its_port(form: str, free_port: int) -> None:
    master = form.format(free_port)
    with pytest.raises(EnvironmentFault) as told:
        check_master(master)
    assert str(told.value) == (
        f"the master {master} cannot be reached (port {free_port} of 127.0.0.1: Connection refused). Nothing was done. "
        "Check host and port of SPARK_MASTER, and whether the master runs, and run again."
    )


@pytest.mark.parametrize("master", ["spark://no.such.host.invalid:7077", f"spark://{'a' * 70}.de:1", "spark://a:99999"])
def test_a_host_or_port_that_there_cannot_be_is_told_in_one_line(master: str) -> None:
    with pytest.raises(EnvironmentFault, match=r"^the master \S+ cannot be reached \(port .+\)\. .* run again\.$"):
        check_master(master)


def test_a_master_that_listens_is_enough_and_one_of_several(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check_master(f"spark://127.0.0.1:{port}")
        check_master(f"spark://127.0.0.1:{free_port},127.0.0.1:{port}")
        check_master(f"k8s://http://127.0.0.1:{port}")


def test_behind_a_proxy_kubernetes_is_left_to_spark(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy:3128"})
    check_master(f"k8s://https://127.0.0.1:{free_port}")


def test_yarn_needs_a_folder_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    monkeypatch.delenv("YARN_CONF_DIR", raising=False)
    with pytest.raises(EnvironmentFault, match=r"neither HADOOP_CONF_DIR nor YARN_CONF_DIR"):
        check_master("yarn")
    monkeypatch.setenv("YARN_CONF_DIR", "/etc/hadoop/conf")
    check_master("yarn")


def test_a_master_that_refuses_is_told_by_sparks_log(tmp_path: Path) -> None:
    """The JVM may have been launched before the run had a folder, where people find its log later."""
    (tmp_path / "run").mkdir()
    (tmp_path / "log").write_text("Application has been killed. Reason: All masters are unresponsive! Giving up.\n")
    jvm = Jvm(SimpleNamespace(poll=lambda: None), tmp_path / "answer", tmp_path / "log", None)  # type: ignore[arg-type]
    driver = SparkDriver(Config(SPARK_MASTER="spark://host:7077"), 1, tmp_path / "run", jvm)
    told = str(driver.start_fault(RuntimeError(_STOPPED)))
    assert told.startswith("the master spark://host:7077 can be reached and does not accept this program.")
    assert "spark.authenticate.secret" in told
    assert told.endswith(f"Spark's own log is {tmp_path / 'run' / 'spark.log'}.")
    assert "\n" not in told


def test_a_session_that_does_not_start_is_told_by_its_deepest_cause(tmp_path: Path) -> None:
    told = str(session_fault(_KUBERNETES, "", Config(SPARK_MASTER="k8s://host"), tmp_path / "spark.log"))
    cause = "io.fabric8.kubernetes.client.KubernetesClientException: Failure executing: Forbidden"
    assert told.startswith(f"Spark did not start on k8s://host ({cause}). Nothing was done.")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "An error occurred\n: org.apache.spark.SparkException: Job aborted\nTraceback (most recent call last):\n"
            '  File "worker.py"\nModuleNotFoundError: No module named \'polars\'\n\n\tat org.apache.spark.X.y(X.scala)',
            "ModuleNotFoundError: No module named 'polars'",
        ),
        (
            "An error occurred\n: org.apache.spark.SparkException: Job aborted: Lost task 0.3: java.io.IOException: "
            'Cannot run program "/opt/python": error=2, No such file or directory\n\tat x',
            'Cannot run program "/opt/python": error=2, No such file or directory',
        ),
        (_NO_NUMPY, "ModuleNotFoundError: No module named 'numpy'"),
    ],
)  # fmt: skip
def test_an_executor_that_cannot_run_the_program_is_quoted(text: str, reason: str, tmp_path: Path) -> None:
    config = Config(SPARK_MASTER="yarn", SPARK_EXECUTOR_PYTHON="/opt/python")
    told = str(session_fault(text, "", config, tmp_path / "spark.log"))
    assert told.startswith(f"the executors of yarn cannot run this program: {reason}. Nothing was done.")
    assert "/opt/python (SPARK_EXECUTOR_PYTHON)" in told


@pytest.mark.parametrize(
    ("master", "ended", "said"),
    [
        ("spark://host:7077", None, "Spark did not start on spark://host:7077 (java.lang.IllegalStateException: "),
        ("spark://host:7077", 1, "The end of "),
        ("local[2]", None, "The end of "),
    ],
)
def test_a_jvm_that_ended_is_told_by_the_end_of_its_log(
    master: str, ended: int | None, said: str, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    process = SimpleNamespace(poll=lambda: ended)
    jvm = Jvm(process, tmp_path / "answer", tmp_path / "log", None)  # type: ignore[arg-type]
    driver = SparkDriver(Config(SPARK_MASTER=master), 1, tmp_path / "run", jvm)
    assert said in str(driver.start_fault(RuntimeError(_STOPPED)))
