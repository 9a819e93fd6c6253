"""Demo data of a job: made on a first run without a source, with a truth that the run is compared with."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.datasets.job import Job
from pipeline.datasets.result import JobResult
from pipeline.errors import InputError
from pipeline.versions.outputs import open_output

TRUTH_FILE = "truth.json"


def make_demo(job: Job, folder: Path) -> None:
    """Call ``make`` of the job's ``demo.py`` for ``folder``, and write the truth that it returns.

    Raises InputError where the job has no demo.
    """
    file = job.folder / "demo.py"
    spec = importlib.util.spec_from_file_location(f"logmill_demo_{job.name}", file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise InputError(f"job {job.name} has no demo.py: name the folder of its sources with --source.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fresh = folder.with_name(f".{folder.name}")
    fresh.mkdir(parents=True, exist_ok=True)
    truth = module.make(fresh)
    (fresh / TRUTH_FILE).write_text(json.dumps(truth, indent=1), encoding="utf-8")
    fresh.rename(folder)


def check_truth(result: JobResult, source: Path) -> list[str] | None:
    """What differs from the truth in the folder of the sources; None where there is none, or nothing was published.

    The truth has, by table or source, ``rows``, ``rejected`` and ``dropped``, and sums of columns of tables by name.
    """
    path = source / TRUTH_FILE
    if not path.is_file() or result.status == "failed":
        return None
    differences = []
    for name, expected in json.loads(path.read_text(encoding="utf-8")).items():
        found = _found(result, name, expected)
        differences += [f"{name}.{what}: expected {right}, found {found[what]}" for what, right in expected.items()
                        if found[what] != right]  # fmt: skip
    return differences


def _found(result: JobResult, name: str, expected: dict[str, int]) -> dict[str, Any]:
    facts = result.tables.get(name) or result.sources.get(name)
    counts: dict[str, Any] = {name: facts and getattr(facts, name) for name in ("rows", "rejected", "dropped")}
    columns = [what for what in expected if what not in counts]
    if not columns:
        return counts
    _, version = open_output(result.output).shown()
    assert version, "the run has published"
    folder = version / "data" / result.tables[name].place
    rows = pl.scan_parquet(str(folder / "**" / "*.parquet"), hive_partitioning=False)
    return {**counts, **rows.select(pl.col(columns).sum()).collect().row(0, named=True)}
