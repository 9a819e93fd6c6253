"""A job on a Spark cluster whose executors see neither this checkout, nor the user's cache, nor the job's code."""

import json
import shutil
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
from tests.needs import needs_java, needs_namespaces
from tests.pipeline.datasets.jobs_for_tests import files

pytestmark = [needs_java, needs_namespaces, pytest.mark.timeout(900)]


def test_a_job_of_a_user_publishes_on_a_storage_what_one_machine_does(
    postgres: str, cluster: IsolatedCluster, bucket: str, tmp_path: Path
) -> None:
    """It reads a database. Its version is put together in the cache of the driver, which lies where all machines see
    it."""
    shutil.copytree(PROJECT / "jobs" / "storefront", tmp_path / "my_shop")
    (tmp_path / "tables").mkdir()
    (shop,) = lives(3, days=1, orders=9)
    shop.write(tmp_path / "tables")
    (tmp_path / "key").write_text("one key for both outputs, which else have keys of their own")
    key = {"PSEUDONYM_KEY_FILE": str(tmp_path / "key")}
    with empty_schema(postgres) as url:
        fill_tables(url, tmp_path / "my_shop" / SCHEMA_FILE, tmp_path / "tables")
        only = "--only", "wide_orders", "dim_seller"  # all tables take half a minute
        asked = ["job", "./my_shop", "--source", url, "--as-of", "2026-06-10", *only, "--json", "--quiet"]
        alone = command(*asked, "--output", "alone/output", cwd=tmp_path, env=environment(**key))
        assert alone.code == 0, alone.err
        words = (*asked, "--output", f"{bucket}/shop")
        shared = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        ended = run(*words, cwd=tmp_path, env=cluster.environment(**key) | shared)
        assert ended.code == 0, ended.err
    assert json.loads(ended.out)["engine"] == "spark"
    prefix = f"{bucket}/shop/runs/{json.loads(ended.out)['run_id']}/data/"
    found = {url.removeprefix(prefix): read_object(url) for url in list_objects(prefix) if url.endswith(".parquet")}
    assert found == files(str(tmp_path / "alone/output"))
    assert len(found) > 5
