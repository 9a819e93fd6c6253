"""Bronze of databases: extracts the tables of a job from one snapshot."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.bronze import extract_folder, fingerprint, source_state
from pipeline.datasets.job import Job
from pipeline.datasets.state import FileState, JobState, SourceState
from pipeline.datasets.tasks import JobContext
from pipeline.engines import Advance
from pipeline.errors import InputError
from pipeline.sources.contract import Contract
from pipeline.sources.databases.address import NAMES, Address, System, parse_address
from pipeline.sources.databases.catalog import Snapshot, Table, choose_columns, fit_contract
from pipeline.sources.databases.extract_table import extract_rows
from pipeline.sources.databases.faults import DatabaseFault
from pipeline.sources.databases.mysql import open_mysql
from pipeline.sources.databases.postgres import open_postgres
from pipeline.sources.extracted import Stamp, open_writer
from pipeline.sources.protection import Protection
from pipeline.sources.source import Source
from pipeline.timing import Progress

_OPEN: Mapping[System, Callable[[Address, Sequence[str]], AbstractContextManager[Snapshot]]] = {
    "postgresql": open_postgres,
    "mysql": open_mysql,
}
_TRIES = 3
"""How often a table is read whose connection breaks, while the snapshot stands."""


@dataclass(frozen=True)
class _Reading:
    """A table that is going to be read for a source: the contract that types its rows, the query, and where they go."""

    name: str
    source: Source
    table: Table
    contract: type[Contract]
    query: str
    folder: str


def extract_tables(
    job: Job, names: Sequence[str], source: str, context: JobContext, bronze: Path, before: JobState | None,
    known: JobState | None, progress: Progress,
) -> dict[str, SourceState]:  # fmt: skip
    """Extract the tables of the sources ``names`` from one snapshot of the database that ``source`` names.

    A table that has the rows of ``known`` keeps that extract; a source with snapshots keeps those of ``before``, too.
    Returns the state of each source. Raises InputError where a table or column is missing or of another type, and
    DatabaseFault.
    """
    address = parse_address(source)
    tables = {name: job.sources[name].table or name for name in names}
    with _OPEN[address.system](address, list(tables.values())) as snapshot:
        readings = [
            reading
            for name, table in tables.items()
            if (reading := _plan(name, job.sources[name], snapshot, table, address.system, context.run_id))
        ]
        progress.phase("extract", max(1, sum(reading.table.rows for reading in readings)), "rows")
        read = {one.name: _extract(one, snapshot, context, bronze, known, progress.advance) for one in readings}
    return {
        name: source_state(
            job.sources[name], name, [read[name]] if name in read else [], context.run_id, before,
            context.protections.get(name, Protection()).mark,
        )
        for name in names
    }  # fmt: skip


def _plan(name: str, source: Source, snapshot: Snapshot, table: str, system: System, run_id: str) -> _Reading | None:
    """How a source is read; None: its table is missing, and it is optional."""
    found = snapshot.table(table)
    if found is None and source.optional:
        return None
    if found is None:
        raise InputError(
            f"{name}: there is no table {table} in this {NAMES[system]} database, or the user may not see it. Name it "
            f"in the source (table=...), or the schema in the options of the URL."
        )
    columns = choose_columns(found, name, source.contract)
    contract = fit_contract(source.contract, columns, snapshot)
    return _Reading(name, source, found, contract, snapshot.select(found, columns), extract_folder(run_id, name, 0))


def _extract(
    one: _Reading, snapshot: Snapshot, context: JobContext, bronze: Path, known: JobState | None, advance: Advance
) -> FileState:
    """Read a table, again where the connection breaks. Returns the known extract where the rows are the same."""
    for left in reversed(range(_TRIES)):
        try:
            return _kept(_read(one, snapshot, context, bronze, advance), one, bronze, known)
        except DatabaseFault as fault:
            shutil.rmtree(bronze / one.folder, ignore_errors=True)
            if not (fault.lost and left):
                raise
    raise AssertionError("the last try returns or raises")


def _read(one: _Reading, snapshot: Snapshot, context: JobContext, bronze: Path, advance: Advance) -> FileState:
    stamp = Stamp(one.table.name, context.as_of, context.run_id)
    protection = context.protections.get(one.name, Protection())
    writer = open_writer(bronze / one.folder, one.name, one.source.contract, protection)
    found, digest = extract_rows(snapshot.read(one.query), one.contract, stamp, writer, advance)
    size = sum(path.stat().st_size for path in (bronze / one.folder).iterdir())
    return FileState(
        one.table.name, size, 0, digest, one.folder, found.files, found.rows, found.rejected, found.rejects
    )


def _kept(new: FileState, one: _Reading, bronze: Path, known: JobState | None) -> FileState:
    old = known.sources.get(one.name) if known else None
    if old is None or old.fingerprint != fingerprint(one.source):
        return new
    same = [file for file in old.files[-1:] if (file.name, file.hash) == (new.name, new.hash)]
    if same:
        shutil.rmtree(bronze / one.folder)
    return same[0] if same else new
