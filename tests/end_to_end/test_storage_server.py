"""Object storage as people run it: whole programs and a race of publications over a real server (SeaweedFS)."""

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import EnvironmentFault
from pipeline.publish.region_files import SCHEMA, partition_folder
from pipeline.storage.faults import StorageFault
from pipeline.storage.objects import create_object, list_objects, read_object, write_object
from pipeline.versions.folders import new_run_id
from pipeline.versions.storage_lease import StorageLease
from pipeline.versions.storage_output import StorageOutput
from tests.end_to_end.days import write_day
from tests.end_to_end.program import read_result, run, run_json
from tests.storage_servers import KEY, SECRET, found_at, real_server

REGIONS = "Africa", "Asia", "Europe", "Oceania"
PUBLICATIONS = int(os.environ.get("LOGMILLTEST_PUBLICATIONS", "20"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_server(tmp_path_factory.mktemp("seaweed"), "logs") as endpoint:
        yield endpoint


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A place of its own in the bucket, which the program finds while the test runs."""
    with found_at(server):
        yield f"s3://logs/{abs(hash(request.node.name))}"


def test_of_eight_that_create_an_object_one_wins(bucket: str) -> None:
    for number in range(5):
        start = threading.Barrier(8)

        def create(writer: int, number: int = number, start: threading.Barrier = start) -> bool:
            start.wait()
            return create_object(f"{bucket}/versions/{number}.json", f"writer {writer}".encode())

        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(create, range(8)))
        assert won.count(True) == 1
        assert read_object(f"{bucket}/versions/{number}.json") == f"writer {won.index(True)}".encode()


def test_logs_and_result_of_the_program(bucket: str, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(3):
        write_day(logs / f"{number}.csv", random.Random(number), rows=2000)
        write_object(f"{bucket}/in/{number}.csv", logs / f"{number}.csv")
    answer = run_json("--input", f"{bucket}/in/*.csv", "--output", f"{bucket}/out", "--workers", "2", cwd=tmp_path)
    assert (answer["files"], answer["records_read"], answer["status"]) == (3, 6000, "ok")
    run_json("--input", "logs", cwd=tmp_path)
    place = run("path", "--output", f"{bucket}/out", cwd=tmp_path).out.strip()
    for url in list_objects(f"{place}/"):
        copy = tmp_path / "copy" / url.removeprefix(f"{place}/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(read_object(url))
    assert read_result(tmp_path / "copy") == read_result(tmp_path / "pipeline_data" / "output")

    write_day(tmp_path / "3.csv", random.Random(3))
    write_object(f"{bucket}/in/3.csv", tmp_path / "3.csv")
    elsewhere = {"XDG_CACHE_HOME": str(tmp_path / "other"), "LOGMILL_INTERMEDIATE_DIR": str(tmp_path / "between")}
    env = {**os.environ, **elsewhere}
    answer = run_json("--input", f"{bucket}/in/*.csv", "--output", f"{bucket}/out", cwd=tmp_path, env=env)
    assert (answer["new"]["files"], answer["new"]["reused_files"]) == (1, 3)


def test_wrong_credentials_are_refused(server: str, bucket: str) -> None:
    with found_at(server, AWS_SECRET_ACCESS_KEY="wrong"), pytest.raises(StorageFault) as found:
        list(list_objects(f"{bucket}/"))
    assert "the storage refuses these credentials" in str(found.value)
    with found_at(server, AWS_ACCESS_KEY_ID="nobody"), pytest.raises(StorageFault) as found:
        read_object(f"{bucket}/x")
    assert "the storage refuses these credentials" in str(found.value)


def test_one_run_at_a_time_holds_the_lock(bucket: str) -> None:
    with StorageLease(bucket, "first") as first:
        with (
            pytest.raises(EnvironmentFault, match="another run holds"),
            StorageLease(bucket, "b"),
        ):
            pass
        first.confirm()
    with StorageLease(bucket, "second") as second:
        assert second.number > first.number


def test_a_lock_that_nobody_renews_is_taken_over_and_its_holder_finds_out(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StorageLease, "_renew_always", lambda _: None)  # a process that stands still
    with StorageLease(bucket, "stopped", term=1.0) as stopped:
        until = time.monotonic() + 60
        while True:
            try:
                with StorageLease(bucket, "next", term=1.0) as following:
                    assert following.number > stopped.number
                    with pytest.raises(EnvironmentFault, match="this run has lost the lock"):
                        stopped.confirm()
                    following.confirm()
                break
            except EnvironmentFault:
                assert time.monotonic() < until
                time.sleep(0.1)


class Publisher:
    """Publishes versions of which every row tells its version, each with other regions."""

    def __init__(self, url: str) -> None:
        self.output = StorageOutput(url)
        self.output.check()
        self.allowed: dict[str, list[tuple[object, ...]]] = {}

    def publish(self, number: int) -> None:
        version = new_run_id()
        folder = self.output.begin(version)
        chosen = [region for place, region in enumerate(REGIONS) if (number + 1) >> place & 1 or place == number % 4]
        rows = [(region, f"user {user}", number / 4, number) for region in chosen for user in range(5)]
        for region in chosen:
            table = pa.Table.from_arrays(
                [pa.array([f"user {user}" for user in range(5)]), pa.array([number / 4] * 5), pa.array([number] * 5)],
                schema=SCHEMA,
            )
            place = folder / "data" / partition_folder(region)
            place.mkdir()
            pq.write_table(table, place / f"part-0000-{version}.parquet")
        self.allowed[version] = sorted(rows)
        self.output.publish(folder, version, keep=3)


def shown(url: str) -> str:
    entries = sorted(list_objects(f"{url}/versions/"))
    return str(json.loads(read_object(entries[-1]))["version"])


def by_polars(url: str) -> tuple[str, list[tuple[object, ...]]]:
    """Straight from the storage, by Polars' own client."""
    version = shown(url)
    options = {
        "aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "aws_region": "us-east-1",
        "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"], "aws_allow_http": "true",
    }  # fmt: skip
    files = f"{url}/runs/{version}/data/**/*.parquet"
    frame = pl.scan_parquet(files, hive_partitioning=True, storage_options=options).collect()
    frame = frame.select(pl.col("geo_region").cast(pl.String), "user_id", "total_watch_time_min", "event_count")
    return version, sorted(frame.rows())


def by_duckdb(url: str) -> tuple[str, list[tuple[object, ...]]]:
    """From the copy on this machine, as ``query`` does."""
    while True:
        name, folder = StorageOutput(url).shown()
        if name and folder:
            break
    with duckdb.connect() as database:
        rows = database.execute(
            "SELECT geo_region::VARCHAR, user_id, total_watch_time_min, event_count "
            f"FROM read_parquet('{folder}/data/*/*.parquet', hive_partitioning = true)"
        ).fetchall()
    return name, sorted(rows)


def test_no_reader_mixes_versions(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    publisher = Publisher(bucket)
    publisher.publish(0)
    over, outcomes = threading.Event(), Counter[tuple[str, bool]]()

    def read(name: str, how: Callable[[str], tuple[str, list[tuple[object, ...]]]]) -> None:
        while not over.is_set():
            version, rows = how(bucket)
            outcomes[name, rows == publisher.allowed[version]] += 1

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(read, "polars", by_polars), threads.submit(read, "duckdb", by_duckdb)]
        try:
            for number in range(1, PUBLICATIONS + 1):
                publisher.publish(number)
        finally:
            over.set()
        for reader in readers:
            reader.result()
    assert {name for name, _ in outcomes} == {"polars", "duckdb"}
    assert not [outcome for outcome in outcomes if not outcome[1]]
    assert len(publisher.output.version_names()) == PUBLICATIONS + 1, "each was shown less than an hour ago"
