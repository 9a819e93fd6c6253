"""Jobs on a Spark cluster whose executors see neither this checkout, nor the user's cache, nor the job's code."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from jobs.storefront.demo import lives
from pipeline.datasets.demo_server import SCHEMA_FILE, fill_tables
from pipeline.machine import PROJECT
from pipeline.storage.objects import list_objects, read_object
from tests.database_servers import empty_schema
from tests.end_to_end.command import command
from tests.end_to_end.program import environment, run
from tests.isolated_cluster import IsolatedCluster
from tests.jobs.inventory.shop import random_shop
from tests.needs import needs_java, needs_namespaces
from tests.pipeline.datasets.jobs_for_tests import files

ASKED = "--as-of", "2026-06-10", "--json", "--quiet"
pytestmark = [needs_java, needs_namespaces, pytest.mark.timeout(900)]


def test_a_job_of_a_user_publishes_on_a_storage_what_one_machine_does(
    cluster: IsolatedCluster, bucket: str, tmp_path: Path
) -> None:
    """Its version is put together in the cache of the driver, which lies where all machines see it."""
    shutil.copytree(PROJECT / "jobs" / "warehouse", tmp_path / "my_shop")
    expected = alone(tmp_path, "./my_shop")
    (source,) = tmp_path.glob("pipeline_data/jobs/*/demo")
    assert on_cluster(cluster, bucket, tmp_path, "./my_shop", "--source", str(source)) == expected


def test_tables_of_a_database_give_there_what_one_machine_makes(
    postgres: str, cluster: IsolatedCluster, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "tables").mkdir()
    (shop,) = lives(3, days=1, orders=9)
    shop.write(tmp_path / "tables")
    with empty_schema(postgres) as url:
        fill_tables(url, PROJECT / "jobs" / "storefront" / SCHEMA_FILE, tmp_path / "tables")
        words = "storefront", "--source", url, "--only", "wide_orders"  # all of them take half a minute
        assert on_cluster(cluster, bucket, tmp_path, *words) == alone(tmp_path, *words)


def test_a_job_that_publishes_by_day_does_there_what_it_does_on_one_machine(
    cluster: IsolatedCluster, bucket: str, tmp_path: Path
) -> None:
    random_shop(6, orders=40).write(tmp_path / "source")
    words = "inventory", "--source", str(tmp_path / "source"), "--only", "sales_analytics"
    assert on_cluster(cluster, bucket, tmp_path, *words) == alone(tmp_path, *words)


def alone(folder: Path, *words: str) -> Mapping[str, bytes]:
    """The files that a job publishes on this machine."""
    asked = (*words, "--output", "alone/output")
    ended = command("job", *asked, *ASKED, cwd=folder, env=environment(**key(folder)))
    assert ended.code == 0, ended.err
    found = files(str(folder / "alone/output"))
    assert len(found) > 5
    return found


def on_cluster(cluster: IsolatedCluster, bucket: str, folder: Path, *words: str) -> Mapping[str, bytes]:
    """The files that a job publishes on a storage from a cluster."""
    shared = {"XDG_CACHE_HOME": str(folder / "cache")}
    asked = (*words, "--output", f"{bucket}/shop")
    ended = run("job", *asked, *ASKED, cwd=folder, env=cluster.environment(**key(folder)) | shared)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["engine"] == "spark"
    prefix = f"{bucket}/shop/runs/{json.loads(ended.out)['run_id']}/data/"
    return {url.removeprefix(prefix): read_object(url) for url in list_objects(prefix) if url.endswith(".parquet")}


def key(folder: Path) -> dict[str, str]:
    """One key for both outputs, which else have keys of their own."""
    (folder / "key").write_text("a key that both outputs share")
    return {"PSEUDONYM_KEY_FILE": str(folder / "key")}
