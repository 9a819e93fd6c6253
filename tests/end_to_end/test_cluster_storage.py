"""Runs on a cluster whose executors share nothing but a storage: neither this checkout, nor the cache, nor a folder."""

import gzip
import json
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage.objects import list_objects, write_object
from pipeline.storage.transfer import download_files
from pipeline.versions.folders import intermediate_folder
from pipeline.versions.outputs import open_output
from tests.end_to_end.days import expected, write_day
from tests.end_to_end.program import HEADER, Ended, Rows, finish, read_result, run, start, wait_for
from tests.isolated_cluster import IsolatedCluster
from tests.needs import needs_java, needs_namespaces
from tests.pace import patient
from tests.storage_servers import found_at, real_server

pytestmark = [needs_java, needs_namespaces, pytest.mark.timeout(900)]

SPLITS = {"SPLIT_BYTES": "20000", "BUCKETS": "4"}


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """A bucket of a real server, as on object storage."""
    with real_server(tmp_path / "seaweed", "logs") as endpoint, found_at(endpoint):
        yield "s3://logs/site"


class Site:
    """Logs, files between the phases and results in a bucket; the driver's own files are hidden from executors."""

    def __init__(self, cluster: IsolatedCluster, bucket: str, folder: Path) -> None:
        self.bucket, self.folder = bucket, folder
        self.logs: list[Path] = []
        self.env = cluster.environment(**SPLITS) | {"SPARK_CONF_DIR": str(folder / "conf")}
        self.env |= {"LOGMILLTEST_FLUSH_SECONDS": "0", "LOGMILLTEST_LEASE_SECONDS": str(patient(8))}
        shutil.copytree(cluster.running.conf, folder / "conf")
        with (folder / "conf" / "spark-defaults.conf").open("a") as settings:
            settings.writelines(f"spark.executorEnv.{n} {v}\n" for n, v in self.env.items() if n.startswith("AWS_"))
        self.words = ["--json", "--input", f"{bucket}/logs", "--output", f"{bucket}/result"]
        self.words += ["--intermediate", f"{bucket}/between"]

    def write(self, name: str, dice: random.Random, rows: int) -> None:
        path = self.folder / name
        write_day(path, dice, rows=rows)
        write_object(f"{self.bucket}/logs/{name}", path)
        self.logs.append(path)

    def on_another_machine(self) -> None:
        """Run the next driver as on a machine that has nothing of the first one's files."""
        output = open_output(f"{self.bucket}/result")
        shutil.rmtree(output.versions.parent)
        shutil.rmtree(intermediate_folder(f"{self.bucket}/between", f"{self.bucket}/result"))

    def run(self) -> Ended:
        return run(*self.words, cwd=self.folder, env=self.env)

    def check(self, ended: Ended) -> dict:
        """The published result and the counts are those of one statement of DuckDB over the logs."""
        assert ended.code == 0, ended.err
        answer = json.loads(ended.out)
        rows, counts = expected(self.logs)
        assert self.published(answer["version"]) == rows
        assert {name: answer[name] for name in counts} == counts
        return answer

    def published(self, version: str) -> Rows:
        prefix = f"{self.bucket}/result/runs/{version}/data/"
        folder = self.folder / "data" / version
        download_files({url: folder / url.removeprefix(prefix) for url in list_objects(prefix)})
        return read_result(folder)

    def stores(self) -> set[str]:
        return {url.split("/stores/")[1].split("/")[0] for url in self.between("/stores/")}

    def between(self, part: str) -> list[str]:
        return [url for url in list_objects(f"{self.bucket}/between/") if part in url]


def test_a_killed_driver_the_run_that_goes_on_and_the_next_day(
    cluster: IsolatedCluster, bucket: str, tmp_path: Path
) -> None:
    """All in one, because each start of Spark takes ten seconds."""
    site = Site(cluster, bucket, tmp_path)
    for number in range(3):
        site.write(f"{number}.csv", random.Random(number), rows=2000)
    site.logs.append(tmp_path / "packed.csv")
    write_day(site.logs[-1], random.Random(7), rows=300)
    write_object(f"{bucket}/logs/packed.csv.gz", gzip.compress(site.logs[-1].read_bytes()))
    write_object(f"{bucket}/logs/bad.csv", (HEADER + 'x,"no end\nid,u,too,few\n').encode())

    killed = start(*site.words, cwd=tmp_path, env=site.env)
    wait_for(lambda: len(site.between("/lines/")) > 8, 120)
    second = site.run()
    killed.send_signal(signal.SIGKILL)
    assert finish(killed).code == -signal.SIGKILL
    assert (second.code, json.loads(second.out)["error"].count("\n")) == (5, 0), second.err
    ended: list[Ended] = []
    wait_for(lambda: not ended.append(site.run()) and ended[-1].code != 5, 120)  # the lock has to run out
    answer = site.check(ended[-1])
    assert any("not read again" in note for note in answer["notes"])
    assert f"executors exchanged their files over {bucket}/between, and added up all rows" in answer["notes"]
    assert answer["rejected"] == 2
    assert answer["conflicts"] > 0
    assert site.between("/runs/") == [], "they served one run alone"

    first = answer["version"]
    site.write("3.csv", random.Random(3), rows=200)
    (first_store,) = site.stores()
    site.on_another_machine()
    answer = site.check(site.run())
    assert answer["new"]["reused_files"] == 5, "the other machine has a copy of what the first one read"
    assert site.between("/runs/") == []
    (store,) = site.stores()
    assert store != first_store

    assert run("rollback", *site.words[3:], cwd=tmp_path, env=site.env).code == 0
    assert run("path", *site.words[3:5], cwd=tmp_path, env=site.env).out.strip().endswith(f"/runs/{first}/data")

    site.write("4.csv", random.Random(4), rows=3000)
    suffering = start(*site.words, cwd=tmp_path, env=site.env)
    try:
        wait_for(lambda: site.between("/attempts/") != [], 120)
        cluster.processes("deploy.worker.Worker")[0].kill()  # and its executor ends with it
    finally:
        ended = [finish(suffering, 240)]
        cluster.mend()
    if ended[0].code == 5:  # one sentence, and the next run goes on
        ended.append(site.run())
    site.check(ended[-1])
