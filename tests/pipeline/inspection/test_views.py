"""The views of a version that is written by hand, and what their database may open."""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError
from pipeline.inspection.views import VIEWS, open_views
from pipeline.versions.catalog import Version

NAME = "20261102T030405Z-00000b"
COLUMNS = {
    "watch_time": ["geo_region", "user_id", "total_watch_time_min", "event_count"],
    "user_totals": ["user_id", "total_watch_time_min", "event_count", "regions"],
    "runs": [
        "version", "started", "is_current", "status", "engine", "files", "refused", "bytes_read", "records_read",
        "kept", "duplicates", "conflicts", "rejected", "rejected_by_reason", "output_rows", "users",
        "total_watch_time_min", "seconds_total", "seconds_phase1", "seconds_phase2", "seconds_publish",
        "peak_memory_bytes", "throughput_bytes_per_second", "geo_build",
    ],
    "quarantine": ["file", "line", "byte_offset", "reason", "column", "value", "raw"],
    "ledger": [
        "file", "bytes", "records", "duplicates", "handed_over", "rejected", "rejected_by_reason", "blank_lines",
        "preamble_lines",
    ],
}  # fmt: skip
Database = duckdb.DuckDBPyConnection


def make_version(folder: Path, **record: object) -> Version:
    region = folder / NAME / "data" / "geo_region=a%2Fb"
    region.mkdir(parents=True)
    rows = {"user_id": ["u1", "u2"], "total_watch_time_min": [0.1, 2.0], "event_count": [1, 2]}
    stream = pa.BufferOutputStream()  # Arrow opens only paths in UTF-8, too
    pq.write_table(pa.table(rows), stream)
    for path in (region / "part-0.parquet", folder / NAME / "other.parquet"):
        path.write_bytes(stream.getvalue().to_pybytes())
    return Version(folder / NAME, record)


def column_names(database: Database, view: str) -> list[str]:
    return [column[0] for column in database.execute(f"from {view} limit 0").description or []]


@pytest.fixture
def version(tmp_path: Path) -> Version:
    entry = {"file": "a.csv", "records": 7, "rejected_by_reason": {"nul_byte": 2, "bad_quote": 1}}
    return make_version(tmp_path, status="ok", users=2, seconds={"total": 2.5, "phase1": 1.0}, ledger=[entry, {}],
                        refused_files=[{"file": "x"}], rejected_by_reason={"nul_byte": 2})  # fmt: skip


@pytest.fixture
def database(version: Version) -> Iterator[Database]:
    with open_views(version, [version], 10**9, 1) as database:
        yield database


def test_every_view_has_its_columns(database: Database) -> None:
    assert {view: column_names(database, view) for view in VIEWS} == COLUMNS


def test_views_without_files_have_the_same_columns(tmp_path: Path) -> None:
    empty = Version(tmp_path / NAME, {})
    with open_views(empty, [], 10**9, 1) as database:
        assert {view: column_names(database, view) for view in VIEWS} == COLUMNS
        assert [database.execute(f"select count(*) from {view}").fetchall() for view in VIEWS] == [[(0,)]] * len(VIEWS)


def test_a_run_is_its_record(database: Database, version: Version) -> None:
    row = dict(zip(COLUMNS["runs"], database.execute("from runs").fetchall()[0], strict=True))
    assert {name: value for name, value in row.items() if value is not None} == {
        "version": NAME,
        "started": version.started,
        "is_current": True,
        "status": "ok",
        "refused": 1,
        "users": 2,
        "seconds_total": 2.5,
        "seconds_phase1": 1.0,
        "rejected_by_reason": json.dumps({"nul_byte": 2}, separators=(",", ":")),
    }


def test_rejected_records_of_a_file_are_the_sum_of_its_reasons(database: Database) -> None:
    assert database.execute("select file, records, rejected from ledger order by file").fetchall() == [
        ("a.csv", 7, 3),
        (None, None, 0),
    ]


def test_regions_are_read_from_the_names_of_folders(database: Database) -> None:
    assert database.execute("from watch_time order by user_id").fetchall() == [
        ("a/b", "u1", 0.1, 1),
        ("a/b", "u2", 2.0, 2),
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "from read_parquet('{folder}/other.parquet')",
        "from read_text('/etc/hostname')",
        "copy (select 1) to '{folder}/new.csv'",
        "attach '{folder}/new.db'",
        "set enable_external_access = true",
        "set memory_limit = '1TB'",
        "load httpfs",
    ],
)
def test_the_database_opens_no_other_file_and_keeps_its_settings(
    sql: str, database: Database, version: Version
) -> None:
    with pytest.raises(duckdb.Error):
        database.execute(sql.format(folder=version.folder))


def test_a_path_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    version = make_version(tmp_path / "odd\udcff")
    with pytest.raises(ConfigError, match="DuckDB opens only paths in UTF-8"):
        open_views(version, [version], 10**9, 1)
