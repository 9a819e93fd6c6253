"""``make cluster``: safe settings, and an end that hits its own processes alone. A whole cluster is in ``test_cluster``
of the engines."""

import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.engines.java import Java
from pipeline.storage.faults import StorageFault
from pipeline.storage.objects import write_object
from scripts import cluster, storage_server
from scripts.cluster import Cluster, main, start, start_storage, stop
from tests.end_to_end.program import wait_for
from tests.storage_servers import answer_with, found_at, odd_server


def test_settings_are_safe_and_nobody_else_reads_the_secret(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    secrets = set()
    for _ in range(2):
        cluster._write_settings(tmp_path, {"spark.history.ui.port": "1"})
        path = tmp_path / "conf" / "spark-defaults.conf"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        chosen = dict(line.split(" ") for line in path.read_text().splitlines())
        secrets.add(chosen.pop("spark.authenticate.secret"))
    assert len(secrets) == 2, "each cluster has its own"
    assert min(map(len, secrets)) == 64
    assert chosen["spark.master.rest.enabled"] == "false"
    assert chosen["spark.authenticate"] == "true"
    assert chosen["spark.eventLog.enabled"] == "true"
    assert chosen["spark.eventLog.dir"] == chosen["spark.history.fs.logDirectory"] == f"file://{tmp_path}/events"
    assert chosen["spark.history.ui.port"] == "1"


def test_a_process_that_has_the_number_of_one_that_ended_is_left_alone(tmp_path: Path) -> None:
    stop(Cluster(str(tmp_path), "", "", "", {"master": os.getpid(), "worker-1": 2**22 + 1}))


def test_without_a_cluster_there_is_nothing_to_end(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["stop"]) == 0
    assert capsys.readouterr().out == "No cluster was running.\n"


def test_a_cluster_needs_java(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAVA_HOME", "/no/java")
    assert main(["start"]) == 5
    assert "openjdk-17-jre-headless" in capsys.readouterr().err


@pytest.fixture
def others_page() -> Iterator[int]:
    """The port of another cluster's page, which shows two workers, and answers for its history server as well."""
    state = json.dumps({"workers": [{"id": f"worker-{number}", "state": "ALIVE"} for number in range(2)]}).encode()
    with odd_server(lambda handler: answer_with(handler, 200, state)) as address:
        yield int(address.rpartition(":")[2])


def test_a_port_that_is_taken_is_refused_before_anything_starts(tmp_path: Path, others_page: int) -> None:
    free = cluster._free_ports(2)
    with pytest.raises(RuntimeError, match=rf"^port {others_page} of 127\.0\.0\.1 cannot be had: .* start again\.$"):
        start(tmp_path / "cluster", ports=(free[0], others_page, free[1]))
    assert not (tmp_path / "cluster").exists()


def test_a_port_whose_connections_have_ended_is_free() -> None:
    with socket.create_server((cluster.HOST, 0)) as server:
        place = server.getsockname()
        with socket.create_connection(place), server.accept()[0] as accepted:
            accepted.shutdown(socket.SHUT_RDWR)  # who closes first keeps the port for a while
    cluster._refuse_taken([place])


@pytest.mark.parametrize(
    ("does", "seconds", "said"), [("sleep 600; true", 1, "did not start in 1 s"), ("exit 1", 600, "has ended")]
)
def test_another_cluster_that_came_meanwhile_is_not_taken_for_this_one(
    does: str, seconds: int, said: str, tmp_path: Path, others_page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By processes that never listen: the other one's pages answer in place of theirs."""
    program = tmp_path / "spark" / "bin" / "spark-class"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setattr(cluster, "_spark_home", lambda: tmp_path / "spark")
    monkeypatch.setattr(cluster, "_refuse_taken", lambda _: None)
    monkeypatch.setattr(cluster, "_START_SECONDS", seconds)
    with pytest.raises(RuntimeError, match=f"the master {said}"):
        start(tmp_path / "cluster", ports=(cluster._free_ports(1)[0], others_page, others_page))


def test_the_storage_has_a_bucket_for_the_keys_of_this_start_and_ends_with_the_cluster(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    program = storage_server.find_program()
    assert program
    for key in "first", "second":
        (port,) = storage_server.free_ports(1)
        running = Cluster(str(tmp_path), "", "", "", {})
        variables = storage_server.variables(port, key, f"{key}-secret")
        start_storage(running, program, port, variables)
        try:
            with found_at(variables["AWS_ENDPOINT_URL"], **variables):
                wait_for(lambda: _writes(f"s3://{storage_server.BUCKET}/{key}"), 60)  # noqa: B023 - called at once
        finally:
            stop(running)
        assert not psutil.pid_exists(running.pids["storage"])


def _writes(url: str) -> bool:
    try:
        write_object(url, b"x")
    except StorageFault:
        return False  # the server answers before it has made the bucket
    return True


@pytest.mark.parametrize("program", ["/opt/weed", None])
def test_executors_get_the_keys_of_the_storage_and_nobody_else_reads_them(
    program: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, str] = {}

    def pretend(folder: Path, *, settings: dict[str, str], **_: object) -> Cluster:
        folder.mkdir()
        given.update(settings)
        return Cluster(str(folder), "spark://m:1", "", "", {})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "find_java", lambda: Java("/java", "Java 17", None))
    monkeypatch.setattr(cluster, "start", pretend)
    monkeypatch.setattr(cluster, "start_storage", lambda *_: None)
    monkeypatch.setattr(cluster, "_refuse_taken", lambda _: None)
    monkeypatch.setattr(storage_server, "find_program", lambda: program)
    assert main(["start"]) == 0
    said, file = capsys.readouterr().out, tmp_path / ".cluster" / "storage.env"
    if program:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        chosen = dict(line.removeprefix("export ").split("=") for line in file.read_text().splitlines())
        assert given == {f"spark.executorEnv.{name}": value for name, value in chosen.items()}
        assert chosen["AWS_SECRET_ACCESS_KEY"] not in said
        assert f"storage  http://127.0.0.1:8333, bucket logmill\n\n. {file}\n" in said
    else:
        assert not given
        assert not file.exists()
        assert "no storage: a server comes with requirements-dev.txt" in said
