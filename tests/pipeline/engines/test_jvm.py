"""The driver JVM, with a program in its place that answers, writes an archive, or does neither."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engines import jvm
from pipeline.engines.jvm import Jvm, launch
from pipeline.errors import EnvironmentFault
from tests.end_to_end.program import wait_for

ANSWER = r"""
echo "begins"
printf '%s\n' "$@" > "$(dirname "$0")/arguments"
printf '\000\000\060\071\000\000\000\006secret' > "$_PYSPARK_DRIVER_CONN_INFO_PATH.new"
mv "$_PYSPARK_DRIVER_CONN_INFO_PATH.new" "$_PYSPARK_DRIVER_CONN_INFO_PATH"
"""
UNTIL_INPUT_ENDS = "read -r line\n"
WRITE_ARCHIVE = r"""
for argument in "$@"; do
    case "$argument" in -XX:ArchiveClassesAtExit=*) echo classes > "${argument#*=}" ;; esac
done
"""


class Machine:
    """Folders of a run, and a program in the place of Java. ``start`` launches it; all are ended with the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.java = root / "java"
        self.cache = root / "cache"
        self.log = root / "spark.log"
        self.started: list[Jvm] = []

    def install(self, script: str) -> None:
        self.java.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
        self.java.chmod(0o755)

    def start(self, *options: str, spark_home: str = "/spark", main: str = "org.Gateway") -> Jvm:
        scratch = self.root / f"run {len(self.started)}"
        scratch.mkdir()
        program = (main, "shell")
        self.started.append(launch(str(self.java), spark_home, list(options), program, scratch, self.log, self.cache))
        return self.started[-1]

    @property
    def arguments(self) -> list[str]:
        return (self.root / "arguments").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    machine.install(ANSWER + UNTIL_INPUT_ENDS + WRITE_ARCHIVE)
    yield machine
    for started in machine.started:
        started.process.kill()
        started.process.wait()
        if started.process.stdin:
            started.process.stdin.close()


def test_the_jvm_says_where_it_listens(machine: Machine) -> None:
    started = machine.start("-Xmx1g", "-Dx=y")
    assert started.log == machine.log
    assert started.wait_for_address() == (12345, "secret")
    assert started.process.poll() is None
    assert machine.arguments[:2] == ["-Xmx1g", "-Dx=y"]
    assert machine.arguments[-4:] == ["-cp", "/spark/jars/*", "org.Gateway", "shell"]
    assert "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED" in machine.arguments
    assert machine.log.read_text() == "begins\n"


def sharing(machine: Machine) -> str:
    machine.started[-1].wait_for_address()
    (option,) = (line for line in machine.arguments if "Archive" in line)
    return option


def test_the_first_jvm_writes_an_archive_that_the_next_one_uses(machine: Machine) -> None:
    first = machine.start()
    assert first.archive is not None
    assert first.archive.parent == machine.cache
    assert sharing(machine).startswith("-XX:ArchiveClassesAtExit=")
    first.finish_archive()
    assert [path.read_text() for path in machine.cache.iterdir()] == ["classes\n"], "and no partial one"
    assert first.process.poll() == 0
    second = machine.start()
    assert second.archive is None
    assert sharing(machine) == f"-XX:SharedArchiveFile={first.archive}"
    second.finish_archive()
    assert second.process.poll() is None, "it has nothing to write"


def test_an_archive_is_that_of_one_java_one_spark_and_its_options(machine: Machine) -> None:
    names = {machine.start(option).archive for option in ("-Xmx1g", "-Xmx2g")}
    names.add(machine.start("-Xmx1g", spark_home="/other").archive)
    names.add(machine.start("-Xmx1g", main="org.Submit").archive)
    before = machine.start("-Xmx1g", "-Dlog=/run/1").archive
    assert before in names, "no archive depends on properties, which name the run's folder"
    assert len(names) == 4
    machine.install("# a newer one\n" + ANSWER + UNTIL_INPUT_ENDS)
    assert machine.start("-Xmx1g").archive not in names


def test_without_a_place_for_an_archive_there_is_none(machine: Machine) -> None:
    machine.cache.touch()  # a file stands in the place of the folder
    started = machine.start()
    assert started.archive is None
    assert sharing(machine).startswith("-XX:SharedArchiveFile=")


@pytest.mark.parametrize(
    "rest",
    [UNTIL_INPUT_ENDS, "exec sleep 60", WRITE_ARCHIVE + "exec sleep 60"],
    ids=["writes none", "does not end", "writes half of one"],
)
def test_a_jvm_that_writes_no_archive_leaves_none(rest: str, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jvm, "_ARCHIVE_SECONDS", 0.2)
    machine.install(ANSWER + rest)
    started = machine.start()
    started.wait_for_address()
    started.finish_archive()
    assert list(machine.cache.iterdir()) == []


def test_a_jvm_that_is_killed_leaves_no_beginning_of_an_archive(machine: Machine) -> None:
    machine.install(WRITE_ARCHIVE + "exec sleep 60")
    left = machine.cache / f"spark-0.{2**22 + 1}.partial"  # of a program that was killed
    machine.cache.mkdir()
    left.touch()
    started = machine.start()
    wait_for(lambda: len(list(machine.cache.iterdir())) == 1, 30)
    assert not left.exists()
    started.end()
    assert list(machine.cache.iterdir()) == []


def test_a_jvm_that_ends_is_a_fault_of_the_machine(machine: Machine) -> None:
    machine.install("echo 'no memory' >&2; exit 1")
    with pytest.raises(EnvironmentFault, match="ended before it answered"):
        machine.start().wait_for_address()
    assert machine.log.read_text() == "no memory\n"


def test_a_jvm_that_does_not_answer_is_killed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jvm, "_START_SECONDS", 0.1)
    machine.install("exec sleep 60")
    started = machine.start()
    with pytest.raises(EnvironmentFault, match="ended before it answered"):
        started.wait_for_address()
    process = started.process
    assert process.returncode == -9
    assert process.stdin
    assert process.stdin.closed
