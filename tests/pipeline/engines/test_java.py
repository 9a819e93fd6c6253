"""Which Java is good enough for Spark, and how a missing one is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.engines.java import find_java, java_version


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', (17, 0, 15)),
        ('java version "1.8.0_392"', (8, 0)),
        ('openjdk version "25" 2025-09-16', (25,)),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21.0.2+13"', (21, 0, 2)),
        ("garbage", ()),
        ("", ()),
    ],
)
def test_version_is_read(output: str, version: tuple[int, ...]) -> None:
    assert java_version(output) == version


@pytest.mark.parametrize(
    ("version", "usable"),
    [
        ("17.0.1", True),
        ("21", True),
        ("25.0.3", True),
        ("25.1", True),
        ("25.0.2", False),
        ("25", False),
        ("1.8.0_1", False),
        ("11.0.2", False),
        ("24.0.1", False),
        ("x", False),
    ],
)
def test_only_versions_that_spark_supports_are_usable(
    version: str, usable: bool, fake_java: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(f'openjdk version "{version}"')))
    java = find_java()
    assert (java.problem is None) == usable
    if not usable:
        assert java.problem is not None
        assert "needs Java 17, 21 or 25.0.3" in java.problem


def test_a_missing_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no Java was found" in str(find_java().problem)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    problem = str(find_java().problem)
    assert "JAVA_HOME points to" in problem
    assert "does not run (FileNotFoundError)" in problem


def test_java_home_goes_before_the_path(monkeypatch: pytest.MonkeyPatch, fake_java: Callable[[str], Path]) -> None:
    good, bad = fake_java('openjdk version "17.0.1"'), fake_java('openjdk version "11.0.1"')
    monkeypatch.setenv("PATH", f"{good / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("JAVA_HOME", str(bad))
    assert "Java 11.0.1" in str(find_java().problem)
    monkeypatch.delenv("JAVA_HOME")
    assert find_java().problem is None
