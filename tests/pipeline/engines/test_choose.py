"""ENGINE, and what auto makes of the machine."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config import Config, SparkPlan
from pipeline.engines import choose
from pipeline.engines.choose import SPARK_PAYS_BYTES, EngineChoice, choose_engine
from pipeline.errors import EnvironmentFault


@pytest.fixture
def java(monkeypatch: pytest.MonkeyPatch, fake_java: Callable[[str], Path]) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java('openjdk version "17.0.1"')))


@pytest.fixture(params=["no java", "wrong JAVA_HOME", "old java"])
def no_java(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    fake_java: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if request.param == "wrong JAVA_HOME":
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    if request.param == "old java":
        monkeypatch.setenv("JAVA_HOME", str(fake_java('openjdk version "11.0.1"')))


@pytest.mark.usefixtures("java")
def test_with_java() -> None:
    auto = choose_engine(Config(ENGINE="auto"), SPARK_PAYS_BYTES)
    assert auto.spark
    assert auto.name == "spark"
    assert "Java 17.0.1" in str(auto.note)
    assert choose_engine(Config(ENGINE="spark"), 0).spark
    assert not choose_engine(Config(ENGINE="polars"), SPARK_PAYS_BYTES).spark


def test_below_five_gigabytes_auto_looks_for_no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "find_java", lambda _: pytest.fail("a small input needs no Java"))
    for master in ("", "local[*]"):
        auto = choose_engine(Config(ENGINE="auto", SPARK_MASTER=master), 5_000_000_000 - 1)
        assert not auto.spark
        assert auto.note == "Spark pays from 5 GB on; --engine spark insists"


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize(
    "settings",
    [
        {"SPARK_MASTER": "local[2]"},
        {"SPARK_MASTER": "spark://host:7077"},
        {"SPARK_MASTER": "yarn"},
        {"SPARK_PLAN": "sql"},
        {"ENGINE": "spark"},
    ],
)
def test_who_asks_for_spark_has_it_for_any_input(settings: dict[str, Any]) -> None:
    assert choose_engine(Config(**settings), 0).spark


@pytest.mark.usefixtures("no_java")
def test_without_java() -> None:
    auto = choose_engine(Config(ENGINE="auto"), SPARK_PAYS_BYTES)
    assert not auto.spark
    assert auto.name == "polars"
    assert "using the embedded engine" in str(auto.note)
    assert not choose_engine(Config(ENGINE="auto", SPARK_PLAN="sql"), 0).spark
    assert not choose_engine(Config(ENGINE="polars"), SPARK_PAYS_BYTES).spark
    with pytest.raises(EnvironmentFault, match=r"Install Java 17 or 21 .*--engine polars"):
        choose_engine(Config(ENGINE="spark"), 0)


def test_a_run_without_spark_never_loads_it() -> None:
    code = "import sys, main, pipeline.orchestrator; sys.exit('pyspark' in sys.modules or 'py4j' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("no_java")
def test_a_master_asks_for_spark() -> None:
    with pytest.raises(EnvironmentFault, match="SPARK_MASTER is set, but"):
        choose_engine(Config(ENGINE="auto", SPARK_MASTER="spark://host:7077"), 0)
    assert not choose_engine(Config(ENGINE="polars", SPARK_MASTER="spark://host:7077"), SPARK_PAYS_BYTES).spark


@pytest.mark.parametrize(
    ("spark", "plan", "adder"),
    [
        (False, "auto", "polars"),
        (False, "sql", "polars"),
        (True, "auto", "spark"),
        (True, "kernel", "spark"),
        (True, "sql", "sql"),
    ],
)
def test_only_spark_adds_up_by_its_own_plan(spark: bool, plan: SparkPlan, adder: str) -> None:
    assert EngineChoice(spark).adder(Config(SPARK_PLAN=plan)) == adder


@pytest.mark.parametrize(
    ("engine", "master", "cluster"),
    [("auto", "spark://host:7077", True), ("spark", "k8s://host", True), ("spark", "local[2]", False),
     ("spark", "", False), ("polars", "yarn", False)],
)  # fmt: skip
def test_a_cluster_is_a_master_elsewhere(engine: str, master: str, cluster: bool, fake_java, monkeypatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java('openjdk version "17.0.1"')))
    assert choose_engine(Config(ENGINE=engine, SPARK_MASTER=master), 0).cluster == cluster  # type: ignore[arg-type]
