"""The published result as each kind of reader sees it, read in the way that the README recommends.

A ``Reading`` has the type of ``geo_region`` (``text``, or the reader's own name of another type), the names of the
columns, and the rows, sorted.
"""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset
from deltalake import DeltaTable

ROOT = Path(__file__).parents[1]
COLUMNS = ("geo_region", "user_id", "total_watch_time_min", "event_count")
TYPES = {"polars": "String", "pyarrow": "string", "duckdb": "VARCHAR", "spark": "string"}


@dataclass(frozen=True)
class Reading:
    """What one reader found in a folder."""

    region_type: str
    columns: frozenset[str]
    rows: tuple[tuple[Any, ...], ...]


def _reading(reader: str, region_type: str, columns: list[str], rows: list[tuple[Any, ...]]) -> Reading:
    kind = "text" if region_type == TYPES[reader] else region_type
    return Reading(kind, frozenset(columns), tuple(sorted(rows, key=str)))


def read_by_polars(data: Path) -> Reading:
    frame = pl.read_parquet(data, hive_partitioning=True)
    return _reading("polars", str(frame.schema["geo_region"]), frame.columns, frame.select(COLUMNS).rows())


def read_by_pyarrow(data: Path) -> Reading:
    table = pyarrow.dataset.dataset(data, partitioning="hive").to_table()
    columns = [table[name].to_pylist() for name in COLUMNS]
    return _reading(
        "pyarrow", str(table.schema.field("geo_region").type), table.column_names, list(zip(*columns, strict=True))
    )


def read_by_duckdb(data: Path) -> Reading:
    escaped = str(data).replace("'", "''")
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        found = database.execute(f"from '{escaped}/*/*.parquet'")
        columns = {name: str(kind) for name, kind, *_ in found.description}
        rows = database.execute(f"select {', '.join(COLUMNS)} from '{escaped}/*/*.parquet'").fetchall()
    return _reading("duckdb", columns["geo_region"], list(columns), rows)


def delta_by_polars(table: Path, version: int | None = None) -> Reading:
    frame = pl.read_delta(str(table), version=version)
    return _reading("polars", str(frame.schema["geo_region"]), frame.columns, frame.select(COLUMNS).rows())


def delta_by_pyarrow(table: Path, version: int | None = None) -> Reading:
    found = DeltaTable(str(table), version=version).to_pyarrow_dataset().to_table()
    columns = [found[name].to_pylist() for name in COLUMNS]
    region_type = str(found.schema.field("geo_region").type)
    return _reading("pyarrow", region_type, found.column_names, list(zip(*columns, strict=True)))


def delta_by_duckdb(table: Path, version: int | None = None) -> Reading:
    dataset = DeltaTable(str(table), version=version).to_pyarrow_dataset()
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        database.register("watch_time", dataset)
        found = database.execute("from watch_time limit 0")
        columns = {name: str(kind) for name, kind, *_ in found.description}
        rows = database.execute(f"select {', '.join(COLUMNS)} from watch_time").fetchall()
    return _reading("duckdb", columns["geo_region"], list(columns), rows)


DELTA_READERS: dict[str, Callable[[Path, int | None], Reading]] = {
    "polars": delta_by_polars,
    "pyarrow": delta_by_pyarrow,
    "duckdb": delta_by_duckdb,
}
"""Readers of the Delta table, of which None is the newest version."""


_QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"
"""Options of a JVM that reads small files: it starts soon, and compiles as little as it can."""


class SparkReader:
    """A Spark session in a process of its own, which reads one folder after another."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, data: Path) -> Reading:
        return self._ask("parquet", data)

    def delta(self, table: Path) -> Reading:
        """The newest version of a Delta table, through Arrow: Delta's own classes for Spark are not in its package."""
        return self._ask("delta", table)

    def sql(self, *statements: str) -> list[list[Any]]:
        """Run statements of SQL; the rows of the last one, as values of JSON."""
        rows: list[list[Any]] = self._answer("sql", statements)["rows"]
        return rows

    def pipeline(self, file: Path, view: str) -> list[list[Any]]:
        """The rows of a materialized view that a file declares for Spark Declarative Pipelines: of its query, in this
        session. Nothing is stored."""
        rows: list[list[Any]] = self._answer("pipeline", [str(file), view])["rows"]
        return rows

    def _ask(self, kind: str, path: Path) -> Reading:
        found = self._answer(kind, str(path))
        return _reading("spark", found["region_type"], found["columns"], [tuple(row) for row in found["rows"]])

    def _answer(self, kind: str, what: object) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([kind, what]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "Spark has ended"
        found: dict[str, Any] = json.loads(line)
        if "fault" in found:
            raise RuntimeError(found["fault"])
        return found


@contextmanager
def open_spark() -> Iterator[SparkReader]:
    """A Spark session while the ``with`` block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.result_readers"],
        cwd=ROOT,
        env=os.environ | {"SPARK_LAUNCHER_OPTS": _QUICK_START},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield SparkReader(process)
    finally:
        process.communicate()  # its input ends, and so does it


IN_PROCESS: dict[str, Callable[[Path], Reading]] = {
    "polars": read_by_polars,
    "pyarrow": read_by_pyarrow,
    "duckdb": read_by_duckdb,
}
"""The readers that need no Java."""


def _serve_spark() -> None:
    """Read the folders that stdin names, and print what Spark found in each."""
    from pyspark.sql import SparkSession

    settings = {
        "spark.master": "local[1]",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.driver.extraJavaOptions": _QUICK_START,
    }
    builder = SparkSession.builder
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    for line in sys.stdin:
        try:
            kind, what = json.loads(line)
            if kind == "sql":
                *_, frame = map(session.sql, what)
                answer: dict[str, Any] = {"rows": [[*row] for row in frame.collect()]}
            elif kind == "pipeline":
                answer = {"rows": [[*row] for row in _query_of(*what)().collect()]}
            else:
                made = session.createDataFrame(DeltaTable(what).to_pyarrow_table()) if kind == "delta" else None
                frame = made or session.read.parquet(what)
                rows = [[*row] for row in frame.select(*COLUMNS).collect()]
                region_type = frame.schema["geo_region"].dataType.simpleString()
                answer = {"region_type": region_type, "columns": frame.columns, "rows": rows}
            text = json.dumps(answer, default=str)
        except Exception as fault:
            text = json.dumps({"fault": str(fault)[:500]})
        print(text, flush=True)
    session.stop()


def _query_of(file: str, view: str) -> Callable[[], Any]:
    """The function that makes a view of a pipeline, as ``spark-pipelines`` would collect it."""
    from pyspark.pipelines.graph_element_registry import GraphElementRegistry, graph_element_registration_context

    class Flows(GraphElementRegistry):
        def __init__(self) -> None:
            self.found: dict[str, Callable[[], Any]] = {}

        def register_flow(self, flow: Any) -> None:
            self.found[flow.name] = flow.func

        def register_output(self, output: Any) -> None:
            """Store nothing."""

        register_auto_cdc_flow = register_output

        def register_sql(self, sql_text: str, file_path: Path) -> None:
            """Store nothing."""

    flows = Flows()
    with graph_element_registration_context(flows):
        runpy.run_path(file)
    return flows.found[view]


if __name__ == "__main__":
    _serve_spark()
