"""A job on a Spark cluster whose executors see neither this checkout, nor the user's cache, nor the job's code."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.machine import PROJECT
from pipeline.storage.objects import list_objects, read_object
from tests.end_to_end.command import command
from tests.end_to_end.program import environment, run
from tests.isolated_cluster import IsolatedCluster
from tests.needs import needs_java, needs_namespaces
from tests.pipeline.datasets.jobs_for_tests import files

pytestmark = [needs_java, needs_namespaces, pytest.mark.timeout(900)]


def test_a_job_of_a_user_publishes_on_a_storage_what_one_machine_does(
    cluster: IsolatedCluster, bucket: str, tmp_path: Path
) -> None:
    """Its version is put together in the cache of the driver, which lies where all machines see it."""
    shutil.copytree(PROJECT / "jobs" / "warehouse", tmp_path / "my_shop")
    (tmp_path / "key").write_text("one key for both outputs, which else have keys of their own")
    key = {"PSEUDONYM_KEY_FILE": str(tmp_path / "key")}
    asked = ["job", "./my_shop", "--as-of", "2026-06-01", "--json", "--quiet"]
    alone = command(*asked, "--output", "alone/output", cwd=tmp_path, env=environment(**key))
    assert alone.code == 0, alone.err
    (source,) = tmp_path.glob("pipeline_data/jobs/*/demo")
    words = (*asked, "--source", source.relative_to(tmp_path), "--output", f"{bucket}/shop")
    shared = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    ended = run(*words, cwd=tmp_path, env=cluster.environment(**key) | shared)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["engine"] == "spark"
    prefix = f"{bucket}/shop/runs/{json.loads(ended.out)['run_id']}/data/"
    found = {url.removeprefix(prefix): read_object(url) for url in list_objects(prefix) if url.endswith(".parquet")}
    assert found == files(str(tmp_path / "alone/output"))
