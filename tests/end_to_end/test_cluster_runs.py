"""Whole runs on a Spark cluster whose executors see neither this checkout nor the user's cache."""

import gzip
import json
import random
import urllib.request
from pathlib import Path

import pytest

from tests.end_to_end.cluster_sweep import FINE, RESUMED, ClusterSweep
from tests.end_to_end.days import expected, write_day
from tests.end_to_end.program import HEADER, JSON_KEYS, Ended, published, run, run_json, wait_for
from tests.isolated_cluster import IsolatedCluster
from tests.needs import needs_java, needs_namespaces

pytestmark = [needs_java, needs_namespaces, pytest.mark.timeout(900)]

SPLITS = {"SPLIT_BYTES": "8000", "BUCKETS": "8"}


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Three logs with duplicates and conflicts, within users and across them."""
    (tmp_path / "logs").mkdir()
    paths = [tmp_path / "logs" / f"{number}.csv" for number in range(3)]
    for number, path in enumerate(paths):
        write_day(path, random.Random(number), rows=1500)
    return paths


def run_on(cluster: IsolatedCluster, folder: Path, *words: str) -> Ended:
    """Relative folders, because executors work in folders of their own."""
    return run("--input", "logs", "--json", *words, cwd=folder, env=cluster.environment(**SPLITS))


def check(folder: Path, ended: Ended, logs: list[Path]) -> dict:
    """The published result and the counts are those of one statement of DuckDB over the logs."""
    assert ended.code == 0, ended.err
    answer = json.loads(ended.out)
    assert list(answer) == JSON_KEYS
    rows, counts = expected(logs)
    assert published(folder) == rows
    assert {name: answer[name] for name in counts} == counts
    assert answer["engine"] == "spark"
    return answer


def ask(address: str) -> list[dict]:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return json.load(answer)


def test_both_phases_run_on_the_executors_and_the_next_day_is_added(
    cluster: IsolatedCluster, tmp_path: Path, logs: list[Path]
) -> None:
    packed = tmp_path / "packed.csv"
    write_day(packed, random.Random(7), rows=300)
    (tmp_path / "logs" / "packed.csv.gz").write_bytes(gzip.compress(packed.read_bytes(), mtime=0))
    (tmp_path / "logs" / "bad.csv").write_text(HEADER + 'x,"no end\nid,u,too,few\n')
    logs = [*logs, packed]
    before = _ended(cluster)
    answer = check(tmp_path, run_on(cluster, tmp_path), logs)
    assert answer["rejected_by_reason"] == _alone(tmp_path)["rejected_by_reason"]
    assert answer["rejected"] == 2
    assert f"both phases ran on 2 cores of {cluster.running.master}" in answer["notes"]
    assert not any("compiled library" in note for note in answer["notes"]), "it was shipped"
    version = (tmp_path / "pipeline_data" / "output").resolve().parent
    assert sorted(path.name for path in version.iterdir() if path.is_dir()) == ["data", "quarantine"]

    done = _jobs_of_new_run(cluster, before)
    kernels = {job["jobGroup"].split()[0] for job in done if "jobGroup" in job}
    assert {"read_parts", "aggregate", "write_files"} <= kernels
    (reading,) = [job for job in done if job.get("jobGroup", "").startswith("read_parts 1")][:1]
    assert reading["numTasks"] > 1
    assert reading["status"] == "SUCCEEDED"

    write_day(tmp_path / "logs" / "3.csv", random.Random(3), rows=200)
    answer = check(tmp_path, run_on(cluster, tmp_path), [*logs, tmp_path / "logs" / "3.csv"])
    assert answer["new"]["reused_files"] == 5


def _alone(folder: Path) -> dict:
    """What one machine says of the same logs, in folders of its own."""
    words = ("--output", "alone", "--intermediate", "between")
    return run_json("--input", "logs", *words, cwd=folder)


def _ended(cluster: IsolatedCluster) -> set[str]:
    """The runs that the history server shows as completed."""
    runs = ask(f"{cluster.running.history}/api/v1/applications")
    return {run["id"] for run in runs if run["attempts"][0]["completed"]}


def _jobs_of_new_run(cluster: IsolatedCluster, before: set[str]) -> list[dict]:
    """The jobs of the run that ended since ``before``, as the REST API of the history server has them."""
    wait_for(lambda: bool(_ended(cluster) - before), 60)
    (new,) = _ended(cluster) - before
    return ask(f"{cluster.running.history}/api/v1/applications/{new}/jobs")


def test_doctor_joins_the_cluster(cluster: IsolatedCluster, tmp_path: Path) -> None:
    ended = run("doctor", "--json", cwd=tmp_path, env=cluster.environment())
    checks = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    assert checks["spark"]["status"] == "ok", checks
    assert f"{cluster.running.master} started and ended 2 cores of executors" in checks["spark"]["found"]
    assert ended.code == 0


def test_a_killed_executor_changes_no_result(cluster: IsolatedCluster, tmp_path: Path) -> None:
    """The sweep of ``make chaos`` kills Python workers and whole workers, too, many and at random times."""
    sweep = ClusterSweep(cluster, tmp_path, seed=5)
    assert sweep.kill_once("executor", after=0.3) in (FINE, RESUMED)
