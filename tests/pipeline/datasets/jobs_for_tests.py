"""A job for tests, written into a folder, and runs of it in this process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cli.progress import NullProgress
from config import Config
from pipeline.datasets.driver import run_job
from pipeline.datasets.job import Job, load_job
from pipeline.datasets.result import JobResult
from pipeline.datasets.run import JobOptions
from pipeline.timing import Progress

HEAD = """
import polars as pl
from pipeline.datasets import *


class Sales(Contract):
    order_id = Text("order")
    customer = Text("who", nullable=True)
    day = Date("when")
    cents = Money("amount", currency="EUR", read_from="amount")


sales = csv("sales*.csv", Sales)
"""

TOTALS = """

class Total(Contract):
    customer = Text("who", nullable=True)
    orders = Int("orders")
    cents = Money("sum", currency="EUR")


@dataset(Total, grain="one row per customer", by="customer", key="customer",
         checks=[conserves("cents", source="lines")])
def totals(lines):
    \"\"\"Sums of customers.\"\"\"
    return lines.group_by("customer").agg(pl.len().cast(pl.Int64).alias("orders"), pl.col("cents").sum())
"""

LINES = """

@dataset(Sales, layer="silver", grain="one row per order", by="order_id", key="order_id", partition_by="day",
         checks=[at_least("cents", 0)])
def lines(sales):
    \"\"\"Each order once.\"\"\"
    return sales.unique()
"""


def write_job(folder: Path, text: str = HEAD + LINES + TOTALS, *, daily: bool = False, **settings: Any) -> Job:
    """Write a job with one module of this text, and load it."""
    folder.mkdir()
    (folder / "tables.py").write_text(text)
    (folder / "__init__.py").write_text(
        '"""A job of tests."""\nfrom pipeline.datasets import Job\nfrom . import tables\n'
        f"job = Job(tables, settings={settings}, daily={daily})\n"
    )
    return load_job(str(folder))


def run(
    job: Job, folder: Path, *, memory: int = 10**9, workers: int = 1, engine: str = "polars", keep: int = 3,
    progress: Progress | None = None, **options: Any,
) -> JobResult:  # fmt: skip
    """Run a job over ``folder/source``, or another source, into ``folder/output``."""
    config = Config(ENGINE=engine, MEMORY_LIMIT=memory, PREPROCESSING_WORKERS=workers, KEEP_VERSIONS=keep)
    places = [options.pop(name, str(folder / name)) for name in ("source", "output")]
    return run_job(job, config, JobOptions(*places, **options), progress or NullProgress())


def write_sales(folder: Path, rows: list[tuple[Any, ...]], name: str = "sales.csv") -> None:
    """Write (order, customer, day, amount) to a source file."""
    source = folder / "source"
    source.mkdir(exist_ok=True)
    lines = [",".join("" if value is None else str(value) for value in row) for row in rows]
    (source / name).write_text("\n".join(["order_id,customer,day,amount", *lines, ""]))


def read(result: JobResult, table: str) -> pl.DataFrame:
    """A published table."""
    return pl.read_parquet(Path(result.output) / table / "**/*.parquet", hive_partitioning=False)


def files(output: str) -> Mapping[str, bytes]:
    """All files of the published data with their bytes."""
    folder = Path(output).resolve()
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.parquet")}
