"""``make cluster``: safe settings, and an end that hits its own processes alone. A whole cluster is in ``test_cluster``
of the engines."""

import os
import stat
from pathlib import Path

from scripts import cluster
from scripts.cluster import Cluster, main, stop


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
