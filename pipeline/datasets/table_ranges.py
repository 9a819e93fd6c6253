"""Reads a large table of a database in ranges at the same time: executors, each with a connection of its own to one
snapshot. Rows and their order are those of one reader."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.datasets.job import load_job
from pipeline.datasets.tasks import JobContext
from pipeline.engines import Advance, Engine
from pipeline.sources.databases.address import parse_address
from pipeline.sources.databases.catalog import TableColumn, fit_contract
from pipeline.sources.databases.extract_table import RowDigest, extract_rows
from pipeline.sources.databases.faults import DatabaseFault
from pipeline.sources.databases.postgres import PostgresSnapshot
from pipeline.sources.extracted import Extracted, Stamp, move_lines, open_writer
from pipeline.sources.protection import Protection
from pipeline.timing import in_stage

TRIES = 3
"""How often rows are read whose connection breaks, while the snapshot stands."""
_FILES_OF_RANGE = 10_000


@dataclass(frozen=True)
class RangeTask:
    """A range of a table that is read for a source.

    ==============  ==============================================================================
    ``database``    URL, without a password
    ``token``       of the snapshot
    ``query``       that reads the range
    ``columns``     columns of the contract, and from which column of the table each is read
    ``table``       name of the table, for ``_source``
    ``folder``      for the rows, whose files are numbered on from ``first``
    ``rows``        about how many there are, for progress
    ==============  ==============================================================================
    """

    source: str
    database: str
    token: str
    query: str
    columns: tuple[tuple[str, TableColumn], ...]
    table: str
    folder: str
    first: int = 0
    rows: int = 1


@in_stage("read")
def read_range(context: JobContext, task: RangeTask, advance: Advance) -> tuple[Extracted, RowDigest]:
    """Read a range into typed rows, again where the connection breaks; also their digest.

    Raises ConfigError where packages are missing, and DatabaseFault.
    """
    source = load_job(context.job).named(context.names).sources[task.source]
    snapshot = PostgresSnapshot(parse_address(task.database), task.token, {}, context.as_of)
    columns = {name: (there, source.contract.columns[name]) for name, there in task.columns}
    contract = fit_contract(source.contract, columns, snapshot)
    stamp = Stamp(task.table, context.as_of, context.run_id)
    protection = context.protections.get(task.source, Protection())
    for left in reversed(range(TRIES)):
        writer = open_writer(Path(task.folder), task.source, source.contract, protection, task.first)
        try:
            with closing(snapshot.read(task.query)) as rows:
                return extract_rows(rows, contract, stamp, writer, advance, source.key)
        except DatabaseFault as fault:
            if not (fault.lost and left):
                raise
    raise AssertionError("the last try returns or raises")


def read_ranges(
    engine: Engine, context: JobContext, task: RangeTask, ranges: Sequence[str], advance: Advance
) -> tuple[Extracted, RowDigest]:
    """Read the ranges of a table. ``task``: of the whole table, to whose query the condition of each is added.

    Raises what ``read_range`` does, when nobody reads any more.
    """
    tasks = [
        replace(task, query=task.query + where, first=number * _FILES_OF_RANGE, rows=max(1, task.rows // len(ranges)))
        for number, where in enumerate(ranges)
    ]
    results = dict(engine.map(read_range, context, tasks, advance))
    done = {}
    for one, result in results.items():
        if isinstance(result, Exception):
            raise result
        done[one] = result
    parts, digest = [done[one][0] for one in tasks], RowDigest()
    for one in tasks:
        extracted, of_range = done[one]
        move_lines(Path(task.folder), extracted.rejects, digest.rows)
        digest.join(of_range)
    rejected = sum((Counter(part.rejected) for part in parts), Counter[str]())
    return Extracted(
        sum(part.rows for part in parts), tuple(name for part in parts for name in part.files),
        dict(sorted(rejected.items())), tuple(name for part in parts for name in part.rejects),
    ), digest  # fmt: skip
