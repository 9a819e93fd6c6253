"""Who takes part: the command that each contender runs, and where its result then lies."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import isinf
from pathlib import Path

from benchmarks.peers import MEMORY_VARIABLE, THREADS
from pipeline.engines.java import find_java


@dataclass(frozen=True)
class Contender:
    """``name`` is that of its program in ``peers``; ``package`` must be installed.

    ``engine`` and ``workers`` are for Logmill itself. ``has_result``: whether it does the whole job. ``on_cluster``:
    whether it runs on a Spark cluster.
    """

    name: str
    title: str
    package: str
    engine: str | None = None
    needs_java: bool = False
    has_result: bool = True
    workers: int = THREADS
    on_cluster: bool = False

    def absence(self) -> str | None:
        """Why it cannot take part, or None."""
        if importlib.util.find_spec(self.package) is None:
            return f"{self.package} is not installed: pip install -r requirements-bench.txt"
        return find_java().problem if self.needs_java else None

    def command(self, logs: Path, geo: Path, output: Path, options: Sequence[str] = ()) -> list[str]:
        """The command line of one run; the result is below ``output``. ``options`` tell Logmill of the regions."""
        if self.engine is None:
            return [sys.executable, "-m", f"benchmarks.peers.{self.name}", str(logs), str(geo), str(output / "data")]
        folders = ["--input", str(logs), "--output", str(output / "data"), "--intermediate", str(output / "between")]
        settings = ["--engine", self.engine, "--workers", str(self.workers), *options]
        return [sys.executable, "main.py", *folders, *settings, "--quiet"]

    @property
    def label(self) -> str:
        """Title without emphasis, for the chart."""
        return self.title.replace("*", "")

    def described(self) -> str:
        """Title with the version that runs, or would if it were installed."""
        if self.engine or importlib.util.find_spec(self.package) is None:
            return self.title
        return f"{self.title} {version(self.package)}"


ENGINES = {
    "polars": Contender("logmill-polars", "**Logmill**, embedded engine", "polars", engine="polars"),
    "spark": Contender("logmill-spark", "**Logmill**, Spark engine", "pyspark", engine="spark", needs_java=True),
    "cluster": Contender(
        "logmill-cluster", "**Logmill**, on a cluster", "pyspark", engine="spark", needs_java=True, on_cluster=True
    ),
}
PEERS = {
    "clickhouse": Contender("clickhouse", "ClickHouse (chdb)", "chdb"),
    "duckdb": Contender("duckdb", "DuckDB, best statement", "duckdb"),
    "duckdb_plain": Contender("duckdb_plain", "DuckDB, plain statement", "duckdb"),
    "polars": Contender("polars", "Polars alone, streaming", "polars"),
    "pyspark": Contender("pyspark", "PySpark alone", "pyspark", needs_java=True),
    "pyspark_cluster": Contender(
        "pyspark_cluster", "PySpark alone, on the same cluster", "pyspark", needs_java=True, on_cluster=True
    ),
    "floor": Contender("floor", "the floor: Polars only parses", "polars", has_result=False),
}


def with_workers(workers: int) -> Contender:
    """The embedded engine with a number of workers; with the usual one it is the engine of all other comparisons."""
    usual = ENGINES["polars"]
    if workers == usual.workers:
        return usual
    title = f"{usual.title}, {workers} {'worker' if workers == 1 else 'workers'}"
    return replace(usual, name=f"{usual.name}-{workers}", title=title, workers=workers)


def clean(output: Path) -> None:
    """Remove what a run left, so that the next one starts from nothing."""
    shutil.rmtree(output, ignore_errors=True)
    (output / "temporary").mkdir(parents=True)


def environment(output: Path, memory: float = float("inf")) -> dict[str, str]:
    """The environment of every run: this one, without settings of Logmill, and with compiled modules kept as Python
    does by default; temporary files go where ``clean`` ends them, also those of a run that was killed. Peers are told
    the most ``memory`` of a run (bytes)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGMILL_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    limit = {} if isinf(memory) else {MEMORY_VARIABLE: str(int(memory))}
    return kept | limit | {"TMPDIR": str((output / "temporary").resolve())}
