"""Java matters only to Spark, and Spark starts and ends within a limit."""

import gc
import threading
from pathlib import Path

import psutil
import pytest

from pipeline.engines.java import Java, find_java
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
