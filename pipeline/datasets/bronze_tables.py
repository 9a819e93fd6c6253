"""Bronze of databases: extracts the tables of a job from one snapshot, whole or what changed since the last run."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Event, Lock

import polars as pl

from pipeline.datasets.bronze import extract_folder, fingerprint, source_state
from pipeline.datasets.increments import Merge, fits, has_rejects_without_key, is_unique, merge
from pipeline.datasets.job import Job
from pipeline.datasets.side_by_side import side_by_side
from pipeline.datasets.state import FileState, JobState, SourceState
from pipeline.datasets.table_ranges import TRIES, RangeTask, read_ranges
from pipeline.datasets.tasks import JobContext
from pipeline.engines import Advance, Engine
from pipeline.errors import ConfigError, InputError
from pipeline.sources.columns import Column
from pipeline.sources.contract import Contract
from pipeline.sources.databases.address import NAMES, Address, System, parse_address
from pipeline.sources.databases.catalog import Snapshot, Table, TableColumn, choose_columns, fit_contract
from pipeline.sources.databases.extract_table import extract_rows, key_text
from pipeline.sources.databases.faults import DatabaseFault
from pipeline.sources.databases.mysql import open_mysql
from pipeline.sources.databases.postgres import open_postgres
from pipeline.sources.databases.watermark import begin_reading, read_watermark
from pipeline.sources.extracted import ExtractWriter, Stamp, open_writer
from pipeline.sources.protection import Protection
from pipeline.sources.source import Source
from pipeline.sources.typed_rows import type_rows
from pipeline.timing import Progress
from pipeline.versions.folders import begin_of

_OPEN: Mapping[System, Callable[[Address, Sequence[str]], AbstractContextManager[Snapshot]]] = {
    "postgresql": open_postgres,
    "mysql": open_mysql,
}
_COLUMNS = "columns"
"""What in a position has the names of all columns of the table, as JSON."""
_SCRATCH = 1
"""Number of the extract that has what is merged into the other one."""
_PAUSES = (0, 1, 10)
"""Seconds before each reading of all tables: where the snapshot is lost, they are read again from a new one."""
_MOST_READERS, _READER_BYTES = 2, 250_000_000
"""How many tables are read side by side, and memory of a reader."""


@dataclass(frozen=True)
class Readers:
    """Who reads tables: ``threads`` of this process side by side, in ``room`` bytes of memory; or one after the other,
    where there is a ``pool`` that reads large ones in ranges."""

    threads: int = 1
    room: int = 0
    pool: Callable[[], Engine] | None = None


@dataclass(frozen=True)
class _Reading:
    """A table that is going to be read for a source: by column of the contract where it is read from, and the contract
    that types its rows."""

    name: str
    source: Source
    table: Table
    columns: Mapping[str, tuple[TableColumn, Column]]
    contract: type[Contract]


@dataclass(frozen=True)
class _Run:
    """What all tables of a run share. ``known``: the version before; None: all is read again. ``database``: its
    URL."""

    snapshot: Snapshot
    context: JobContext
    bronze: Path
    known: JobState | None
    origin: str
    advance: Advance
    database: str
    notes: list[str]
    readers: Readers

    def folder(self, name: str, number: int = 0) -> str:
        """The folder of an extract in bronze; 0: the one that stays, or ``_SCRATCH``."""
        return extract_folder(self.context.run_id, name, number)

    def writer(self, one: _Reading, folder: str) -> ExtractWriter:
        """A writer into a folder of bronze."""
        return open_writer(self.bronze / folder, one.name, one.source.contract, self.protection(one.name))

    def stamp(self, one: _Reading) -> Stamp:
        """What is added to each row."""
        return Stamp(one.table.name, self.context.as_of, self.context.run_id)

    def protection(self, name: str) -> Protection:
        """How personal values of a source are hidden."""
        return self.context.protections.get(name, Protection())

    def before(self, one: _Reading) -> SourceState | None:
        """What is known of a source that is declared as it was."""
        old = self.known.sources.get(one.name) if self.known else None
        return old if old and old.fingerprint == fingerprint(one.source) else None


Extract = tuple[Sequence[FileState], Mapping[str, str]]
"""The extracts of a source that count, and how far its table was read."""


def extract_tables(
    job: Job, names: Sequence[str], source: str, context: JobContext, bronze: Path, before: JobState | None,
    known: JobState | None, progress: Progress, notes: list[str], readers: Readers,
) -> dict[str, SourceState]:  # fmt: skip
    """Extract the tables of the sources ``names`` from one snapshot of the database that ``source`` names.

    Adds to ``notes`` what people should know, such as new columns.

    Where the snapshot is lost, all is read again from a new one, a few times. A table that has the rows of ``known``
    keeps that extract; a source with snapshots keeps those of ``before``, too. Returns the state of each source.

    Raises InputError where a table or column is missing or of another type, or a key is of several rows; ConfigError
    where a key is hidden by cutting it; and DatabaseFault.
    """
    address = parse_address(source)
    tables = {name: job.sources[name].table or name for name in names}
    began, told = False, list[str]()
    for number, pause in enumerate(_PAUSES, 1):
        time.sleep(pause)
        try:
            with _OPEN[address.system](address, list(tables.values())) as snapshot:
                began = True
                run = _Run(snapshot, context, bronze, known, address.origin, progress.advance, source, told, readers)
                read = _read_tables(job, tables, run, address.system, progress)
            break
        except DatabaseFault as fault:
            told.clear()
            readers = replace(readers, threads=1)  # which needs fewer connections
            _remove_extracts(names, context, bronze)
            if number == len(_PAUSES) or not (fault.lost or (began and fault.unreached)):
                raise
    if number > 1:
        notes.append("the database broke off or was full: all tables were read again, from a new snapshot")
    notes += [*told, *(note for one, _ in read.values() for note in (*_without_snapshot(one), *_new_columns(one, run)))]
    states = {}
    for name in names:
        files, position = read[name][1] if name in read else ((), {})
        if name in read:
            columns = [column.name for column in read[name][0].table.columns]
            position = {**position, _COLUMNS: json.dumps(columns)}
        mark = run.protection(name).mark
        states[name] = source_state(job.sources[name], name, files, context.run_id, before, mark, position)
    return states


def _read_tables(
    job: Job, tables: Mapping[str, str], run: _Run, system: System, progress: Progress
) -> dict[str, tuple[_Reading, Extract]]:
    """Read the tables of sources, by the sources' names; optional ones that are missing are left out."""
    planned = (_plan(name, job.sources[name], run, table, system) for name, table in tables.items())
    readings = [one for one in planned if one]
    progress.phase("extract", _expected(readings, run), "rows")
    by_name = {one.name: one for one in sorted(readings, key=lambda one: -one.table.rows)}
    threads = min(_MOST_READERS, run.readers.threads) if run.snapshot.token and run.readers.pool is None else 1
    stop, lock = Event(), Lock()

    def advance(rows: int) -> None:
        with lock:
            run.advance(rows)
        if stop.is_set():
            raise CancelledError

    def extract(name: str) -> tuple[_Reading, Extract]:
        return by_name[name], _extract(by_name[name], replace(run, advance=advance))

    done = side_by_side(dict.fromkeys(by_name, ()), extract, lambda _: _READER_BYTES, run.readers.room, threads, stop)
    found = {one.name: (one, extracted) for one, extracted in done}
    return {name: found[name] for name in tables if name in found}


def _remove_extracts(names: Sequence[str], context: JobContext, bronze: Path) -> None:
    """Remove what was read from a snapshot that is lost."""
    for name in names:
        for number in (0, _SCRATCH):
            shutil.rmtree(bronze / extract_folder(context.run_id, name, number), ignore_errors=True)


def _expected(readings: Sequence[_Reading], run: _Run) -> int | None:
    """About how many rows will be read; None where a server has not counted a table, or only changes are read."""
    if any(one.table.rows <= 0 or run.before(one) for one in readings):
        return None
    return sum(one.table.rows for one in readings)


def _without_snapshot(one: _Reading) -> list[str]:
    """A sentence where a table is not of one moment."""
    if not one.table.unsafe_engine:
        return []
    return [
        f"{one.name}: the table {one.table.name} is kept by {one.table.unsafe_engine}, which has no snapshots: what "
        "others write during a run may be read in part. Let nobody write then, or change the table to InnoDB"
    ]


def _new_columns(one: _Reading, run: _Run) -> list[str]:
    """A sentence for each column that the table did not have when it was read before, and that nothing reads."""
    old = run.before(one)
    if old is None or _COLUMNS not in old.position:
        return []
    known = {*json.loads(old.position[_COLUMNS]), *(column.name for column, _ in one.columns.values())}
    return [
        f"{one.name}: the table {one.table.name} has a new column {column.name} ({column.type}), which "
        f"{one.source.contract.__name__} does not declare"
        for column in one.table.columns
        if column.name not in known
    ]


def _plan(name: str, source: Source, run: _Run, table: str, system: System) -> _Reading | None:
    """How a source is read; None: its table is missing, and it is optional."""
    found = run.snapshot.table(table)
    if found is None and source.optional:
        return None
    if found is None:
        raise InputError(
            f"{name}: there is no table {table} in this {NAMES[system]} database, or the user may not see it. Name it "
            f"in the source (table=...), or the schema in the options of the URL."
        )
    hidden = run.protection(name).columns
    if cut := [one for one in source.key if source.updated and hidden.get(one, ("",))[0] in ("cut", "drop")]:
        raise ConfigError(f"{name}: the key {cut[0]} is personal data that is cut or dropped: choose hash or encrypt.")
    columns = choose_columns(found, name, source.contract)
    return _Reading(name, source, found, columns, fit_contract(source.contract, columns, run.snapshot))


def _extract(one: _Reading, run: _Run) -> Extract:
    """Read what changed in a table where that is known and little, otherwise all."""
    if not one.source.updated:
        return [_whole(one, run)], {}
    # Whoever reads all of a source that tells of deletions finds no row that is gone: the next run compares.
    compared = datetime.min if one.source.deleted else begin_of(run.context.run_id)
    return _changes(one, run) or ([_checked(_whole(one, run), one, run)], _position(one, run, compared))


def _whole(one: _Reading, run: _Run) -> FileState:
    """Read all rows. Returns the known extract where the rows are the same."""
    new = _read(one, run, run.folder(one.name), "")
    old = run.before(one)
    same = [file for file in old.files[-1:] if (file.name, file.hash) == (new.name, new.hash)] if old else []
    if same:
        shutil.rmtree(run.bronze / new.folder)
    return same[0] if same else new


def _changes(one: _Reading, run: _Run) -> Extract | None:
    """Read the rows that may have changed since the run before, and merge them; None: all must be read."""
    old, (there, wanted) = run.before(one), one.columns[one.source.updated]
    if old is None or old.position.get("of") != _of(one, run):
        return None
    if not one.source.snapshots and has_rejects_without_key(old, run.bronze):
        return None  # of snapshots, what was rejected once stays anyway
    since = begin_reading(run.snapshot, there, wanted, old.position["watermark"], one.source.overlap)
    if since is None:
        return None
    folder, scratch = run.folder(one.name), run.folder(one.name, _SCRATCH)
    new = _read(one, run, scratch, run.snapshot.since(there, since))
    compared = datetime.fromisoformat(old.position["compared"])
    now, due = begin_of(run.context.run_id), one.source.deletions
    keys = ""
    files = None
    if fits(old, new):
        tells = one.source.deleted or not one.source.snapshots
        if tells and due is not None and now - compared >= due:
            keys, compared = _read_keys(one, run), now
        _checked(new, one, run)
        marks = one.source.deleted != "" and one.source.deleted not in one.columns
        task = Merge(run.bronze, old, new, tuple(one.contract.columns), one.source, run.stamp(one), keys, marks)
        files = merge(task, run.writer(one, folder), folder, one.table.name)
    shutil.rmtree(run.bronze / scratch)
    if files is None or not any(file.folder == folder for file in files):
        shutil.rmtree(run.bronze / folder, ignore_errors=True)
    return None if files is None else (files, _position(one, run, compared))


def _position(one: _Reading, run: _Run, compared: datetime) -> dict[str, str]:
    """How far the table is read, for the next run."""
    there, wanted = one.columns[one.source.updated]
    watermark = read_watermark(run.snapshot, one.table, there, wanted)
    return {"of": _of(one, run), "watermark": watermark, "compared": compared.isoformat()}


def _of(one: _Reading, run: _Run) -> str:
    """Of what the position is: it says nothing of another table, key or column."""
    return f"{run.origin} {one.table.name} {','.join(one.source.key)} {one.source.updated}"


def _checked(file: FileState, one: _Reading, run: _Run) -> FileState:
    """The extract. Raises InputError where two rows have one key."""
    if is_unique(file, run.bronze, one.source.key):
        return file
    raise InputError(
        f"{one.name}: rows of the table {one.table.name} have the same {', '.join(one.source.key)}, which the source "
        "declares as their key. Declare all columns of the key, or omit updated=."
    )


def _read(one: _Reading, run: _Run, folder: str, where: str) -> FileState:
    """Read rows into a folder, again where the connection breaks. ``where``: the condition of the query."""
    ranges = () if where or run.readers.pool is None else one.table.ranges
    for left in reversed(range(TRIES)):
        try:
            return _read_once(one, run, folder, where, ranges)
        except (DatabaseFault, ConfigError) as fault:
            shutil.rmtree(run.bronze / folder, ignore_errors=True)
            lost = isinstance(fault, DatabaseFault) and fault.lost
            if not left or not (lost or ranges):
                raise
            if not lost:  # executors may lack packages or the password, and a server may allow one connection alone
                ranges = ()
                run.notes.append(f"{one.name}: one reader read it, because several could not: {fault}")
    raise AssertionError("the last try returns or raises")


def _read_once(one: _Reading, run: _Run, folder: str, where: str, ranges: Sequence[str]) -> FileState:
    query, place = run.snapshot.select(one.table, one.columns) + where, run.bronze / folder
    if ranges and run.readers.pool:
        columns = tuple((name, there) for name, (there, _) in one.columns.items())
        task = RangeTask(
            one.name, run.database, run.snapshot.token, query, columns, one.table.name, str(place), rows=one.table.rows
        )
        found, digest = read_ranges(run.readers.pool(), run.context, task, ranges, run.advance)
    else:
        with closing(run.snapshot.read(query)) as rows:
            writer = run.writer(one, folder)
            found, digest = extract_rows(rows, one.contract, run.stamp(one), writer, run.advance, one.source.key)
    size = sum(path.stat().st_size for path in place.iterdir())
    return FileState(
        one.table.name, size, 0, digest.text, folder, found.files, found.rows, found.rejected, found.rejects
    )


def _read_keys(one: _Reading, run: _Run) -> str:
    """Read the keys of all rows into files; returns their glob."""
    place = Path(run.context.work) / f"{one.name}.keys"
    shutil.rmtree(place, ignore_errors=True)  # of a snapshot that was lost
    place.mkdir()
    empty = pl.DataFrame(schema={"_key": pl.String()})
    empty.write_parquet(place / "empty.parquet")
    columns = {name: one.columns[name] for name in one.source.key}
    contract = type("Key", (Contract,), {name: one.contract.columns[name] for name in columns})
    writer = run.writer(one, run.folder(one.name, _SCRATCH))
    with closing(run.snapshot.read(run.snapshot.select(one.table, columns))) as batches:
        for number, batch in enumerate(batches):
            keys, _ = type_rows(batch.select(list(columns)), contract)
            texts = writer.hide(keys).select(key_text(one.source.key).alias("_key"))
            texts.write_parquet(place / f"{number:06d}.parquet")
    return f"{place}/*.parquet"
