"""Who runs on a cluster finds it, and nobody else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cluster, rounds
from benchmarks.cluster import NO_CLUSTER, BenchCluster, cluster_for
from benchmarks.contenders import ENGINES, PEERS
from benchmarks.data_sets import Geography
from benchmarks.measure import Limits
from benchmarks.rounds import Job
from scripts.cluster import Cluster


def test_no_cluster_starts_where_nobody_runs_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cluster.scripted, "start")
    with cluster_for([ENGINES["polars"], ENGINES["spark"], PEERS["pyspark"]], tmp_path) as found:
        assert found is NO_CLUSTER


@pytest.mark.parametrize("contender", [ENGINES["cluster"], PEERS["pyspark_cluster"]])
def test_a_cluster_has_a_core_for_each_thread_and_ends(
    contender: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Cluster(str(tmp_path), "spark://host:1", "", "", {"master": 7, "history": 8, "worker-1": 9})
    asked: dict[str, object] = {}
    ended: list[Cluster] = []
    monkeypatch.setattr(cluster.scripted, "start", lambda *_, **options: asked.update(options) or running)
    monkeypatch.setattr(cluster.scripted, "stop", ended.append)
    with cluster_for([contender], tmp_path) as found:
        assert (asked["workers"], asked["cores"]) == (2, 1)
        assert found.variables["LOGMILL_SPARK_MASTER"] == found.variables["BENCHMARK_SPARK_MASTER"] == "spark://host:1"
        assert found.variables["SPARK_CONF_DIR"] == str(tmp_path / "conf")
        assert found.processes == [7, 9], "the history server does nothing of a run"
        assert not ended
    assert ended == [running]


def test_only_who_runs_on_it_is_told_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[bool, tuple[int, ...]]] = []

    def note(_: object, variables: Mapping[str, str], __: object, servers: Any) -> None:
        told.append(("BENCHMARK_SPARK_MASTER" in variables, tuple(servers)))

    monkeypatch.setattr(rounds, "measure", note)
    shared = BenchCluster({"BENCHMARK_SPARK_MASTER": "spark://host:1"}, (7, 9))
    job = Job("generator", 1, tmp_path, Geography(tmp_path), tmp_path / "result", shared)
    for contender in (ENGINES["cluster"], PEERS["pyspark_cluster"], ENGINES["spark"], PEERS["pyspark"]):
        job.run(contender, Limits())
    assert told == [(True, (7, 9)), (True, (7, 9)), (False, ()), (False, ())]
