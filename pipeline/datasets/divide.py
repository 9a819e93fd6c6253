"""Divides the inputs of a data set into buckets: how many, by which engine made, and which rows each has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl
import pyarrow.parquet as pq

from pipeline.datasets.dataset import DataSet
from pipeline.datasets.kernels import input_schema, scatter
from pipeline.datasets.run import Run
from pipeline.datasets.sizes import (
    bytes_of,
    check_fits,
    choose_buckets,
    memory_of_bucket,
    most_rows,
    rows_of,
    sum_bytes,
)
from pipeline.datasets.tasks import ScatterTask, TableFiles
from pipeline.datasets.units import scan, scan_file
from pipeline.engines import Engine, no_advance, run_tasks

_SCATTER_ROWS = 2_000_000
"""Most rows that a worker divides at a time."""


def memory_of(run: Run, name: str) -> int:
    """About how many bytes it takes to make a table in this process, in one bucket; 0 where it is not wanted."""
    if name not in run.wanted:
        return 0  # its inputs may be sources that nobody extracted
    keyed, whole = _sizes(run, run.job.datasets[name])
    return memory_of_bucket(keyed, whole)


def _sizes(run: Run, one: DataSet) -> tuple[int, int]:
    """Bytes of keyed and whole inputs."""
    keyed, whole = (
        sum_bytes([(run.files(name, columns), input_schema(run.job, name)) for name, columns in found])
        for found in (one.keyed.items(), one.whole.items())
    )
    return keyed, whole


def fits(run: Run, one: DataSet, affected: str) -> bool:
    """Whether the rows of some values of ``by`` can be made in this process in one bucket. ``affected``: their file."""
    keyed, whole = _sizes(run, one)
    if memory_of_bucket(keyed, whole) <= run.memory.alone:
        return True  # all rows do
    size = 0.0
    for name, columns in one.keyed.items():
        files, schema = run.files(name, columns), input_schema(run.job, name)
        found = scan(replace(files, columns=one.by), schema).join(
            scan_file(affected), on=one.by, how="semi", nulls_equal=True
        )
        share = found.select(pl.len()).collect().item() / max(1, rows_of(files))
        size += bytes_of(files, schema) * share
    return memory_of_bucket(int(size), whole) <= run.memory.alone


def choose(run: Run, one: DataSet) -> tuple[int, Engine]:
    """In how many buckets the table is made, and by which engine."""
    keyed, whole = _sizes(run, one)
    if run.uses_spark:
        engine = run.engine  # first: when a cluster has started, it tells what its workers have
        return choose_buckets(one, keyed, whole, run.memory, alone=False), engine
    buckets = choose_buckets(one, keyed, whole, run.memory, alone=True)
    if buckets == 1 or not run.memory.has_room_for_workers:
        return buckets, run.direct
    return choose_buckets(one, keyed, whole, run.memory, alone=False), run.engine


def divide(run: Run, one: DataSet, engine: Engine, buckets: int) -> dict[str, TableFiles]:
    """The rows of keyed inputs in the order of their buckets.

    Raises EnvironmentFault where a value of ``by`` has too many rows for any bucket.
    """
    found = {name: _divided(run, one, name, engine, buckets) for name in one.keyed}
    _check_buckets(run, one, found, buckets)
    return found


def of_bucket(files: TableFiles, bucket: int, buckets: int) -> TableFiles:
    """The rows of one bucket of a divided input."""
    return replace(files, ranges=files.ranges[bucket::buckets]) if files.ranges else files


def _check_buckets(run: Run, one: DataSet, keyed: Mapping[str, TableFiles], buckets: int) -> None:
    """Raise EnvironmentFault where a value of ``by`` has too many rows for any bucket."""
    if buckets == 1:
        return
    sizes = [0.0] * buckets
    for name, files in keyed.items():
        rows = sum(count for _, count in files.ranges)
        each = bytes_of(files, input_schema(run.job, name)) / max(1, rows)
        for bucket in range(buckets):
            sizes[bucket] += each * sum(count for _, count in files.ranges[bucket::buckets])
    what = f"the largest bucket of {one.name}, where one value of {', '.join(one.by)} may have most of the rows"
    check_fits(what, int(max(sizes)), run.memory, "let by have more columns")


def _divided(run: Run, one: DataSet, name: str, engine: Engine, buckets: int) -> TableFiles:
    """The rows of a keyed input in the order of their buckets. Data sets that divide alike share them."""
    columns = one.keyed[name]
    if buckets == 1:
        return run.files(name, columns)
    shared = (name, one.by, buckets)
    if shared not in run.scattered:
        run.scattered[shared] = _scatter(run, one.by, name, engine, buckets)
    return replace(run.scattered[shared], columns=columns)


def _scatter(run: Run, by: tuple[str, ...], name: str, engine: Engine, buckets: int) -> TableFiles:
    users = [one.keyed[name] for one in run.wanted.values() if one.by == by and name in one.keyed]
    columns = tuple(input_schema(run.job, name))
    if all(users):
        columns = tuple(dict.fromkeys(column for wanted in users for column in wanted))
    folder = run.work / "scattered" / f"{name}-{'-'.join(by)}-{buckets}"
    folder.mkdir(parents=True)
    files = run.files(name, columns)
    size, rows_in_all = bytes_of(files, input_schema(run.job, name)), max(1, rows_of(files))
    room = run.memory.alone if engine is run.direct else run.memory.shared
    most = most_rows(size / rows_in_all, room, _SCATTER_ROWS)
    tasks = [
        ScatterTask(file, begin, min(most, rows - begin), columns, by, buckets,
                    str(folder / f"{number:05d}-{begin}.parquet"))
        for number, file in enumerate(files.files)
        for rows in [pq.read_metadata(file).num_rows]
        for begin in range(0, rows, most)
    ]  # fmt: skip
    counts = sorted((task.output, found) for task, found in run_tasks(engine, scatter, run.context, tasks, no_advance))
    # One range for each file and bucket: file by file, the ranges of all buckets.
    ranges = tuple(part for _, found in counts for part in _ranges(found))
    return TableFiles(tuple(output for output, _ in counts), columns, ranges)


def _ranges(counts: Sequence[int]) -> list[tuple[int, int]]:
    begin = 0
    found: list[tuple[int, int]] = []
    for count in counts:
        found.append((begin, count))
        begin += count
    return found
