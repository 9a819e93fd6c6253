"""Who makes the star schema: the commands of a full run and of a change, and where the tables then lie."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.jobs.dbt_project import write_project
from benchmarks.jobs.star import PARTITIONED
from benchmarks.program import MAIN
from pipeline.engines.java import find_java

Command = Callable[[Path, Path, str], Sequence[str]]
"""(source, output, full or changed) → words of a command."""


@dataclass(frozen=True)
class Contender:
    """``command`` makes the tables below ``output``; ``table``: where one lies, as DuckDB reads it, which has attached
    ``database`` (none: Parquet). ``absence``: why it cannot take part, or None. ``increment``: its way of a change.
    ``once``: so slow that it runs once, does not warm up, and is left out where lines are very many."""

    name: str
    title: str
    command: Command
    absence: Callable[[], str | None]
    increment: str
    database: str = ""
    folder: str = ""
    once: bool = False

    def table(self, output: Path, name: str) -> str:
        """The rows of a table in DuckDB."""
        if self.database:
            return f"result.{name}"
        folders = "*/*/" if name in PARTITIONED else ""
        return f"read_parquet('{output}/{self.folder}/{name}/{folders}*.parquet', hive_partitioning = false)"


def _logmill(engine: str) -> Command:
    def command(source: Path, output: Path, _mode: str) -> list[str]:
        places = ["--source", str(source), "--output", str(output / "output")]
        return [sys.executable, str(MAIN), "job", "warehouse", *places, "--engine", engine, "--workers", "2", "--quiet"]

    return command


def _duckdb(source: Path, output: Path, mode: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.jobs.duckdb_script", mode, str(source), str(output / "shop.duckdb")]


def _pyspark(source: Path, output: Path, _mode: str) -> list[str]:
    tables = output / "tables"
    shutil.rmtree(tables, ignore_errors=True)
    return [sys.executable, "-m", "benchmarks.jobs.spark_script", str(source), str(tables)]


def _dbt(source: Path, output: Path, mode: str) -> list[str]:
    project = output / "project"
    if mode == "full":
        write_project(project, output / "shop.duckdb")
    found = dbt_program() or "dbt"
    places = ["--project-dir", str(project), "--profiles-dir", str(project)]
    return [found, "--quiet", "--no-send-anonymous-usage-stats", "run", *places, "--vars", f"{{source: {source}}}"]


def dbt_program() -> str | None:
    """The program dbt: beside this Python, or on the path. It may have an environment of its own."""
    beside = Path(sys.executable).with_name("dbt")
    return str(beside) if beside.exists() else shutil.which("dbt")


def _has(package: str) -> str | None:
    return None if importlib.util.find_spec(package) else f"{package} is not installed"


CONTENDERS = {
    one.name: one
    for one in (
        Contender("logmill", "**Logmill**, embedded engine", _logmill("polars"), lambda: None,
                  "the same command: only what changed is computed", folder="output"),
        Contender("logmill-spark", "**Logmill**, Spark engine", _logmill("spark"), lambda: find_java().problem,
                  "the same command", folder="output"),
        Contender("duckdb", "one DuckDB script", _duckdb, lambda: None,
                  "deletes and inserts facts by id, other tables again", database="shop.duckdb"),
        Contender("dbt", "dbt-duckdb", _dbt, lambda: None if dbt_program() else "the program dbt is not installed",
                  "incremental models with delete+insert, other tables again", database="shop.duckdb"),
        Contender("pyspark", "PySpark SQL", _pyspark, lambda: _has("pyspark") or find_java().problem,
                  "everything again", folder="tables", once=True),
    )
}  # fmt: skip
