"""The settings files of Spark: what they say, and whether they ask for Spark's own launcher."""

from pathlib import Path

import pytest

from pipeline.engines.spark_defaults import conf_folder, needs_launcher, spark_defaults


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR", "SPARK_DIST_CLASSPATH", "SPARK_SUBMIT_OPTS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_lines_are_those_of_a_properties_file(conf: Path) -> None:
    """The ways to write a line that java.util.Properties has."""
    (conf / "spark-defaults.conf").write_text(
        "# spark.a 1 \\\n! spark.a 2\n\nspark.b   two words \nspark.c=3\nspark.d : 4\n  spark.e = five=5\nspark.f\n"
        "spark.g\\\n    on the next line\n"
    )
    assert spark_defaults(conf) == {
        "spark.b": "two words",
        "spark.c": "3",
        "spark.d": "4",
        "spark.e": "five=5",
        "spark.f": "",
        "spark.gon": "the next line",
    }


def test_no_file_no_setting(conf: Path) -> None:
    assert spark_defaults(conf / "none") == {}
    assert not needs_launcher(conf / "none")


@pytest.mark.parametrize(
    ("name", "text", "needed"),
    [
        ("spark-defaults.conf", "spark.executor.memory 1g\nspark.driver.host 127.0.0.1\n", False),
        ("spark-defaults.conf", "spark.driver.extraClassPath /opt/hadoop-aws.jar\n", True),
        ("spark-defaults.conf", "spark.driver.defaultJavaOptions=-Dx=y\n", True),
        ("spark-env.sh", "export SPARK_DIST_CLASSPATH=/opt/hadoop\n", True),
        ("log4j2.properties", "rootLogger.level = debug\n", True),
        ("core-site.xml", "<configuration/>", True),
        ("log4j2.properties.template", "", False),
    ],
)
def test_who_launches_the_driver(name: str, text: str, needed: bool, conf: Path) -> None:
    (conf / name).write_text(text)
    assert needs_launcher(conf) == needed


def test_a_folder_that_is_none_is_left_to_the_launcher(conf: Path) -> None:
    (conf / "file").touch()
    assert needs_launcher(conf / "file")


def test_variables_of_the_launcher_ask_for_it(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HADOOP_CONF_DIR", "/etc/hadoop/conf")
    assert needs_launcher(conf)


def test_the_folder_is_that_of_the_variable_or_of_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_CONF_DIR", "/etc/spark")
    assert conf_folder("/opt/spark") == Path("/etc/spark")
    monkeypatch.setenv("SPARK_CONF_DIR", "")
    assert conf_folder("/opt/spark") == Path("/opt/spark/conf")
