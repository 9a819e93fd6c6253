"""The output folder as its readers see it: a hive data set, one version at a time, also while runs publish."""

import os
import threading
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq

from tests.end_to_end.command import command_json
from tests.end_to_end.program import environment, published, read_result, run_json
from tests.harness import run_here

COLUMNS = {"user_id": pl.String, "total_watch_time_min": pl.Float64, "event_count": pl.Int64, "geo_region": pl.String}


def test_polars_and_duckdb_read_it_as_a_hive_data_set(logs: Path, tmp_path: Path) -> None:
    answer = command_json("--input", logs, cwd=tmp_path)
    output = tmp_path / "pipeline_data" / "output"
    frame = pl.read_parquet(output, hive_partitioning=True)
    assert dict(frame.schema) == COLUMNS
    rows = frame.select("geo_region", "user_id", "total_watch_time_min", "event_count").sort(pl.all()).rows()
    assert rows == published(tmp_path)
    one = duckdb.sql(f"select count(*) from '{output}/*/*.parquet' where geo_region = 'Europe'").fetchall()
    assert one == [(frame.filter(pl.col("geo_region") == "Europe").height,)]
    version = answer["run_id"]
    data = output.resolve()
    assert data == tmp_path / "pipeline_data" / "output.versions" / version / "data"
    assert not Path(os.readlink(output)).is_absolute(), "the folder may be moved or mounted elsewhere"
    assert (data / "_SUCCESS").read_bytes() == b""
    for path in data.glob("*/*"):
        assert path.parent.name.startswith("geo_region=")
        assert path.name.endswith(f"-{version}.parquet")
        assert pq.ParquetFile(path).schema_arrow.names == list(COLUMNS)[:3]
    assert (data.parent / "run.json").is_file()


def test_codecs(logs: Path, tmp_path: Path) -> None:
    run_here(tmp_path, logs, COMPRESSION="snappy")
    path = next((tmp_path / "pipeline_data" / "output").glob("geo_region=Europe/*.parquet"))
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "SNAPPY"


def test_old_versions_go(logs: Path, tmp_path: Path) -> None:
    versions = tmp_path / "pipeline_data" / "output.versions"
    ids = [run_here(tmp_path, logs, KEEP_VERSIONS=2, COMPRESSION=codec).run_id for codec in ("zstd", "lz4")]
    assert {path.name for path in versions.iterdir() if path.is_dir()} == set(ids)
    ids.append(command_json("--input", logs, cwd=tmp_path, env=environment(KEEP_VERSIONS=1))["run_id"])
    assert [path.name for path in versions.iterdir() if path.is_dir()] == ids[-1:]
    assert (tmp_path / "pipeline_data" / "output").resolve().parent.name == ids[-1]


def test_a_reader_never_sees_a_mixture(logs: Path, tmp_path: Path) -> None:
    """A reader resolves the link and reads the result again and again while another run replaces it."""
    output = tmp_path / "pipeline_data" / "output"
    run_here(tmp_path, logs)
    before = read_result(output)
    seen: list[bool] = []
    faults: list[Exception] = []
    done = threading.Event()

    def read_again_and_again() -> None:
        while not done.is_set():
            try:
                data = output.resolve(strict=True)
                seen.append((data / "_SUCCESS").exists() and read_result(data) == before)
            except Exception as fault:
                faults.append(fault)

    reader = threading.Thread(target=read_again_and_again)
    reader.start()
    try:
        one_file = min(logs.glob("*.csv"))
        run_json("--input", one_file, "--full-refresh", cwd=tmp_path)
    finally:
        done.set()
        reader.join()
    assert not faults
    assert read_result(output) != before
    first_new = seen.index(False) if False in seen else len(seen)
    assert first_new > 0
    assert not any(seen[first_new:]), "the old version came back"
