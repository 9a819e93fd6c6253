"""Java matters only to Spark, and Spark starts and ends within a limit."""

import gc
import tarfile
import threading
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from pipeline import KERNEL_MODULES
from pipeline.engines.capacity import Capacity
from pipeline.engines.java import Java, find_java
from pipeline.engines.spark_session import SparkDriver
from pipeline.errors import EnvironmentFault
from pipeline.inspection.doctor import java_and_spark
from pipeline.inspection.doctor.java_and_spark import check_java, check_spark_start
from tests.pipeline.inspection.doctor.conftest import Settings


@pytest.mark.parametrize(
    ("engine", "master", "problem", "status"),
    [
        ("auto", "", None, "ok"),
        ("auto", "", "no Java", "warn"),
        ("auto", "local[2]", "no Java", "fail"),
        ("spark", "", None, "ok"),
        ("spark", "", "no Java", "fail"),
        ("polars", "", "no Java", "ok"),
    ],
)
def test_java_matters_only_to_spark(
    engine: str, master: str, problem: str | None, status: str, settings: Settings
) -> None:
    check = check_java(settings(ENGINE=engine, SPARK_MASTER=master), Java("/java", "Java 17", problem))
    assert check.status == status
    assert ("Install Java 17 or 21" in check.fix) == (status != "ok")
    assert check.found.startswith("no Java" if status != "ok" else "Java 17")


def test_a_spark_that_starts_after_the_limit_is_late(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the JVM is launched after its children were looked for."""
    stopped: list[bool] = []
    deadline = threading.Event()

    class Late:
        def __init__(self, *_: object) -> None: ...

        def start(self) -> "Late":
            deadline.wait()
            return self

        def parallelize(self, *_: object) -> "Late":
            return self

        map = parallelize

        def sum(self) -> int:
            return 1

        def stop(self, *, at_once: bool) -> None:
            stopped.append(at_once)

    monkeypatch.setattr(java_and_spark, "SparkDriver", Late)
    monkeypatch.setattr(java_and_spark, "_end_children", lambda **_: deadline.set())
    late = check_spark_start(settings(PREPROCESSING_WORKERS=1), limit=0.01)
    assert (late.status, stopped) == ("fail", [True])
    assert "within 0.01 s" in late.found


def test_what_spark_says_is_asked_before_it_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []

    class Refused(Exception):
        """As of py4j: its text comes from the JVM."""

        def __str__(self) -> str:
            if stopped:
                raise ConnectionRefusedError
            return "An error occurred\n: java.lang.Exception: no room"

    class Broken(SparkDriver):
        def start(self, *_: object) -> NoReturn:
            raise Refused

        def stop(self, *, at_once: bool = False) -> None:
            stopped.append(at_once)

    monkeypatch.setattr(java_and_spark, "SparkDriver", Broken)
    check = check_spark_start(settings(PREPROCESSING_WORKERS=1))
    assert check.status == "fail"
    assert "java.lang.Exception: no room" in check.found


@pytest.mark.parametrize(("between", "exchanges"), [("between", False), ("s3://scratch/logmill", True)])
def test_a_cluster_is_joined_as_a_run_does_with_the_program(
    between: str, exchanges: bool, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    class Joined:
        def __init__(self, _, folder, modules, archive, exchange) -> None:
            with tarfile.open(archive()) as program:
                names = program.getnames()
            asked.extend([folder.exists(), modules, exchange and (exchange.url, exchange.run)])
            assert "pipeline/engines/spark_daemon.py" in names

        def __enter__(self) -> "Joined":
            return self

        def __exit__(self, *_: object) -> None: ...

        def capacity(self) -> Capacity:
            return Capacity(6, 10**9)

    monkeypatch.setattr(java_and_spark, "ClusterEngine", Joined)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = {"INPUT_DIR": "s3://logs/in", "OUTPUT_DIR": "s3://results/out"} if exchanges else {}
    between = between if exchanges else str(tmp_path / between)
    check = check_spark_start(settings(SPARK_MASTER="spark://m:7077", INTERMEDIATE_DIR=between, **folders))
    assert check.status == "ok"
    assert check.found.startswith("spark://m:7077 started and ended 6 cores of executors in ")
    assert asked[:2] == [True, KERNEL_MODULES]
    if exchanges:
        url, run = asked[2]
        assert url == between
        assert run.startswith("s3://scratch/logmill/doctor-")
    else:
        assert asked[2] is None


def test_a_cluster_that_cannot_be_used_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise EnvironmentFault("the executor on node7 does not see /srv")

    monkeypatch.setattr(java_and_spark, "ClusterEngine", refuse)
    check = check_spark_start(settings(SPARK_MASTER="spark://m:7077"))
    assert (check.status, check.found) == ("fail", "the executor on node7 does not see /srv")
    assert "docs/cluster.md" in check.fix


@pytest.mark.slow
# pyspark leaves the pipe to a JVM that ended while it was launched.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_spark_starts_and_ends_within_the_limit(settings: Settings, tmp_path: Path) -> None:
    if find_java().problem:
        pytest.skip("this machine has no Java for Spark")
    config = settings(PREPROCESSING_WORKERS=1)
    before = set(psutil.Process().children(recursive=True))
    check = check_spark_start(config)
    assert (check.status, check.fix != "") == ("ok", False), check
    late = check_spark_start(config, limit=0.2)
    assert late.status == "fail"
    assert "within 0.20 s" in late.found
    gc.collect()
    assert set(psutil.Process().children(recursive=True)) <= before
    assert list(tmp_path.iterdir()) == []
