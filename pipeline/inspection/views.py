"""The views that a query may read: the published version and the records of the kept runs.

They are in a DuckDB database that can open the files of these views, and no others.
"""

import json
from collections.abc import Sequence
from typing import Any

import duckdb

from pipeline.errors import ConfigError
from pipeline.versions.catalog import Version
from pipeline.versions.locked_database import lock_database, open_database, sql_text, sql_texts

_RUN_COLUMNS = {
    "version": "VARCHAR",
    "started": "TIMESTAMP",
    "is_current": "BOOLEAN",
    "status": "VARCHAR",
    "engine": "VARCHAR",
    "files": "BIGINT",
    "refused": "BIGINT",
    "bytes_read": "BIGINT",
    "records_read": "BIGINT",
    "kept": "BIGINT",
    "duplicates": "BIGINT",
    "conflicts": "BIGINT",
    "rejected": "BIGINT",
    "rejected_by_reason": "JSON",
    "output_rows": "BIGINT",
    "users": "BIGINT",
    "total_watch_time_min": "DOUBLE",
    "seconds_total": "DOUBLE",
    "seconds_phase1": "DOUBLE",
    "seconds_phase2": "DOUBLE",
    "seconds_publish": "DOUBLE",
    "peak_memory_bytes": "BIGINT",
    "throughput_bytes_per_second": "DOUBLE",
    "geo_build": "VARCHAR",
}

_LEDGER_COLUMNS = {
    "file": "VARCHAR",
    "bytes": "BIGINT",
    "records": "BIGINT",
    "duplicates": "BIGINT",
    "handed_over": "BIGINT",
    "rejected": "BIGINT",
    "rejected_by_reason": "JSON",
    "blank_lines": "BIGINT",
    "preamble_lines": "BIGINT",
}

_WATCH_TIME_COLUMNS = {
    "geo_region": "VARCHAR",
    "user_id": "VARCHAR",
    "total_watch_time_min": "DOUBLE",
    "event_count": "BIGINT",
}

_QUARANTINE_COLUMNS = {
    "file": "VARCHAR",
    "line": "BIGINT",
    "byte_offset": "BIGINT",
    "reason": "VARCHAR",
    "column": "VARCHAR",
    "value": "VARCHAR",
    "raw": "BLOB",
}

_USER_TOTALS_COLUMNS = {
    "user_id": "VARCHAR",
    "total_watch_time_min": "DOUBLE",
    "event_count": "BIGINT",
    "regions": "BIGINT",
}

COLUMNS = {
    "watch_time": _WATCH_TIME_COLUMNS,
    "user_totals": _USER_TOTALS_COLUMNS,
    "runs": _RUN_COLUMNS,
    "quarantine": _QUARANTINE_COLUMNS,
    "ledger": _LEDGER_COLUMNS,
}
"""View → its columns with their types."""
VIEWS = tuple(COLUMNS)

_USER_TOTALS = """
    select user_id, sum(round(total_watch_time_min * 1000000)::hugeint) / 1000000 as total_watch_time_min,
        sum(event_count)::bigint as event_count, count(*) as regions
    from watch_time group by user_id"""
"""Sums are taken in whole micro-minutes, so that the order of rows never changes a total."""


def open_views(current: Version, versions: Sequence[Version], memory: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open a database in memory that has the views, can open their files, and cannot open any other.

    Args:
        current: the published version, which all views but ``runs`` show.
        versions: the versions that ``runs`` lists.
        memory: bytes that the database may use.
        threads: threads that it may use.

    Raises:
        ConfigError: the path of the version is not UTF-8, so that DuckDB cannot open its files.
    """
    database = open_database(memory, threads)
    try:
        _make_views(database, current, versions)
    except UnicodeEncodeError:
        database.close()
        raise ConfigError(
            f"OUTPUT_DIR {str(current.folder)!r} cannot be asked: DuckDB opens only paths in UTF-8. Rename the folder."
        ) from None
    return database


def refusal_of(current: Version) -> str:
    """What a query over the quarantine answers to another user than its owner."""
    return f"only the owner of {current.quarantine} may read the quarantine: ask as that user"


def _make_views(database: duckdb.DuckDBPyConnection, current: Version, versions: Sequence[Version]) -> None:
    data, quarantine = current.data_files, current.quarantine_files
    columns = ", ".join(_WATCH_TIME_COLUMNS)
    hive = "hive_partitioning = true, hive_types_autocast = false"
    _define(database, "watch_time", f"select {columns} from read_parquet({sql_texts(data)}, {hive})" if data else None)
    _define(database, "user_totals", _USER_TOTALS)
    _fill(database, "runs", _RUN_COLUMNS, [_run_row(version, current) for version in versions])
    _fill(database, "ledger", _LEDGER_COLUMNS, [_ledger_row(entry) for entry in current.record.get("ledger", [])])
    rejected = f"from read_parquet({sql_texts(quarantine)})" if quarantine else None
    if not current.may_read_quarantine:
        rejected = f"{_no_rows(_QUARANTINE_COLUMNS)} or error({sql_text(refusal_of(current))}) is null"
    _define(database, "quarantine", rejected)
    lock_database(database, [*data, *quarantine])


def _define(database: duckdb.DuckDBPyConnection, name: str, query: str | None) -> None:
    empty = {"watch_time": _WATCH_TIME_COLUMNS, "quarantine": _QUARANTINE_COLUMNS}
    database.execute(f"create view {name} as {query or _no_rows(empty[name])}")


def _no_rows(columns: dict[str, str]) -> str:
    selected = ", ".join(f'null::{kind} as "{name}"' for name, kind in columns.items())
    return f"select {selected} where false"


def _fill(database: duckdb.DuckDBPyConnection, name: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> None:
    source = "select unnest(from_json($rows, $shape), recursive := true)"
    database.execute(f"create table {name} as {source}", {"rows": json.dumps(rows), "shape": json.dumps([columns])})


def _run_row(version: Version, current: Version) -> dict[str, Any]:
    record = version.record
    seconds = {f"seconds_{name}": value for name, value in record.get("seconds", {}).items()}
    facts = {
        "version": version.name,
        "started": version.started.isoformat(),
        "is_current": version.name == current.name,
        "refused": len(record.get("refused_files", [])),
    }
    return {name: (record | seconds | facts).get(name) for name in _RUN_COLUMNS}


def _ledger_row(entry: dict[str, Any]) -> dict[str, Any]:
    rejected = sum(entry.get("rejected_by_reason", {}).values())
    return {name: ({"rejected": rejected} | entry).get(name) for name in _LEDGER_COLUMNS}
