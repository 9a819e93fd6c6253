"""Days of a job that publishes by day: a run makes the gold tables of one, and its version has all others, too."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import polars as pl

from pipeline.datasets.job import Job
from pipeline.datasets.run import Run
from pipeline.machine import link_or_copy, writing
from pipeline.sources.columns import Column
from pipeline.sources.contract import Contract
from pipeline.sources.forgotten import Forgotten


def days_of(data: Path) -> list[str]:
    """The days that a version has, in order. ``data``: its folder of tables."""
    return sorted(path.name for path in data.iterdir() if path.is_dir() and _is_day(path.name))


def keep_other_days(run: Run, forgotten: Forgotten | None = None) -> None:
    """Let the version of a run share the files of all days but its own with the version before.

    ``forgotten``: people who leave them, by the columns that ``forget`` marks in the contracts of tables.
    """
    if not run.day or run.before is None:
        return
    data = run.before.folder / "data"
    for day in days_of(data):
        if day == run.day:
            continue
        for file in sorted(path for path in (data / day).rglob("*") if path.is_file()):
            place = run.folder / "data" / file.relative_to(data)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not (forgotten and _leave(file, place, forgotten, _columns(run.job, file.relative_to(data).parts[1]))):
                link_or_copy(file, place)


def days_tell_of(job: Job, data: Path, people: Forgotten) -> bool:
    """Whether a day of a version has rows of people, by the columns that ``forget`` marks. ``data``: its folder of
    tables."""
    return any(
        _without(file, people, _columns(job, file.relative_to(data).parts[1])) is not None
        for day in days_of(data)
        for file in (data / day).rglob("*.parquet")
    )


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _columns(job: Job, table: str) -> Mapping[str, Column]:
    """The columns that may tell of a person: of a table of the job; of one that it makes no longer, any of its."""
    if table in job.datasets:
        return job.datasets[table].contract.columns
    declared = [*(one.contract for one in job.sources.values()), *(one.contract for one in job.datasets.values())]
    return {name: column for contract in declared for name, column in contract.columns.items() if column.forget}


def _leave(file: Path, place: Path, forgotten: Forgotten, columns: Mapping[str, Column]) -> bool:
    """Write a file without the people, where it has any. Returns whether it has."""
    left = _without(file, forgotten, columns)
    if left is None:
        return False
    with writing(place):
        left.write_parquet(place, compression="zstd", compression_level=1)
    return True


def _without(file: Path, forgotten: Forgotten, columns: Mapping[str, Column]) -> pl.DataFrame | None:
    """The rows of a file without the people; None where it has none of them."""
    there = pl.read_parquet_schema(file)
    personal = {name: column for name, column in columns.items() if column.forget and name in there}
    if not personal:
        return None
    rows = pl.read_parquet(file, hive_partitioning=False)
    left = forgotten.remove_from(rows, type("Personal", (Contract,), personal))
    return None if left.equals(rows, null_equal=True) else left
