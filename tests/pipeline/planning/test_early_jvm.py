"""The JVM that starts before the run: where there is one, in what place, and that nothing of it stays."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from config import Config
from pipeline.engines import choose
from pipeline.planning.early_jvm import launched_early

JAVA = r"""#!/bin/sh
if [ "$1" = -version ]; then echo 'openjdk version "17.0.1"' >&2; exit; fi
echo "$SPARK_LOCAL_IP $SPARK_CONF_DIR"
printf '\000\000\060\071\000\000\000\006secret' > "$_PYSPARK_DRIVER_CONN_INFO_PATH.new"
mv "$_PYSPARK_DRIVER_CONN_INFO_PATH.new" "$_PYSPARK_DRIVER_CONN_INFO_PATH"
read -r line
"""


@dataclass
class Machine:
    """``config``: of an input of 300 bytes; ``temporary``: the folder for temporary files."""

    config: Config
    temporary: Path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine with a Java that waits, and a small size from which Spark pays."""
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(JAVA, encoding="utf-8")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "no settings of Spark"))
    monkeypatch.setattr(choose, "SPARK_PAYS_BYTES", 300)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (tmp_path / "logs").mkdir()
    for name in "ab":
        (tmp_path / "logs" / f"{name}.csv").write_bytes(b"x" * 150)
    (tmp_path / "logs" / "other.txt").write_bytes(b"x" * 150)
    yield Machine(Config(INPUT_DIR=str(tmp_path / "logs"), ENGINE="auto"), temporary)
    assert list(temporary.iterdir()) == [], "nothing stays"


def test_the_jvm_runs_while_the_block_does(machine: Machine) -> None:
    with launched_early(machine.config) as early:
        jvm = early.jvm
        assert jvm
        assert jvm.wait_for_address() == (12345, "secret")
        (folder,) = machine.temporary.iterdir()
        assert jvm.log.read_text() == f"127.0.0.1 {folder}\n", "the settings of another Spark change nothing"
        assert "rootLogger.level = warn" in (folder / "log4j2.properties").read_text()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert jvm.process.poll() is None
    assert jvm.process.poll() == -9


def test_a_jvm_that_has_ended_is_no_fault(machine: Machine) -> None:
    with launched_early(machine.config) as early:
        jvm = early.jvm
        assert jvm
        jvm.end()


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({"ENGINE": "spark"}, 1),
        ({"ENGINE": "spark", "INPUT_DIR": "none"}, 1),
        ({}, 300),
        ({"SPARK_MASTER": "local[1]"}, 299),
        ({"SPARK_MASTER": "local[*]"}, 300),
        ({"SPARK_MASTER": "spark://host:7077"}, 299),
        ({"SPARK_MASTER": "spark://host:7077"}, None),
    ],
)
def test_a_jvm_starts_where_spark_will_run(settings: dict[str, Any], made: int, machine: Machine) -> None:
    with launched_early(replace(machine.config, **settings), made) as early:
        jvm = early.jvm
        assert jvm


def test_the_jvm_of_a_cluster_has_the_master_of_the_settings(machine: Machine) -> None:
    """Spark's own settings file may name another one, for which its launcher would do other things."""
    with launched_early(replace(machine.config, SPARK_MASTER="spark://host:7077")) as early:
        jvm = early.jvm
        assert jvm
        assert isinstance(jvm.process.args, list)
        assert jvm.process.args[-5:] == ["--master", "spark://host:7077", "--deploy-mode", "client", "pyspark-shell"]


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({}, 299),
        ({"ENGINE": "polars"}, 300),
        ({"SPARK_MASTER": "k8s://https://host:6443"}, 300),
        ({"INPUT_DIR": "none"}, None),
        ({"ENGINE": "spark", "SPARK_MASTER": "yarn"}, None),
    ],
)
def test_no_jvm_starts_where_none_is_needed(settings: dict[str, Any], made: int | None, machine: Machine) -> None:
    with launched_early(replace(machine.config, **settings), made) as early:
        jvm = early.jvm
        assert jvm is None


def test_without_java_there_is_none(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/none")
    with launched_early(replace(machine.config, ENGINE="spark")) as early:
        jvm = early.jvm
        assert jvm is None


def test_a_java_that_no_longer_runs_is_explained_by_the_run(machine: Machine, tmp_path: Path) -> None:
    """Its version is known from earlier, and the file is no program."""
    with launched_early(machine.config):
        pass
    java = tmp_path / "java" / "bin" / "java"
    known = json.loads((tmp_path / "cache" / "logmill" / "java.json").read_text())
    java.chmod(0o644)
    status = java.stat()
    known[str(java)][1:5] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    (tmp_path / "cache" / "logmill" / "java.json").write_text(json.dumps(known))
    with launched_early(machine.config) as early:
        jvm = early.jvm
        assert jvm is None


def test_an_input_that_was_listed_is_handed_on(machine: Machine) -> None:
    """Listing many files takes as long as starting a JVM, so that the run need not do it again."""
    with launched_early(replace(machine.config, ENGINE="auto")) as early:
        assert early.found
        assert [Path(path).name for path in early.found.paths] == ["a.csv", "b.csv"]
    for settings in {"ENGINE": "polars"}, {"SPARK_MASTER": "spark://host:7077"}:
        with launched_early(replace(machine.config, **settings)) as early:
            assert early.found is None, "its size decides nothing"
