"""The tables of a job as views of SQL, with those that its ``views.sql`` declares."""

import os
import re

import duckdb
import polars as pl

from pipeline.datasets.bronze import bronze_folder
from pipeline.datasets.job import Job
from pipeline.datasets.judge import TABLE_REJECTS
from pipeline.datasets.state import published_state
from pipeline.errors import ConfigError
from pipeline.sources.contract import SOURCE_FACTS
from pipeline.versions.locked_database import lock_database, open_database, sql_texts
from pipeline.versions.outputs import open_output

QUARANTINE = "quarantine"
"""The view of all rows that sources and checks rejected."""
_VIEW = re.compile(r"\s*create\s+(?:or\s+replace\s+)?view\s+(\w+)\s+as\b", re.IGNORECASE)


def declared_views(job: Job) -> dict[str, str]:
    """The statements of ``views.sql`` by the name of their view, in order.

    Raises ConfigError for a statement that makes no view.
    """
    file = job.folder / "views.sql"
    if not file.is_file():
        return {}
    found = {}
    for statement in duckdb.extract_statements(file.read_text(encoding="utf-8")):
        text = re.sub(r"--[^\n]*", "", statement.query).strip()
        name = _VIEW.match(text)
        if name is None:
            raise ConfigError(
                f"{file} may only have statements that begin with: create view NAME as SELECT. Move the rest."
            )
        found[name[1]] = text
    return found


def view_names(job: Job, output: str) -> list[str]:
    """All tables and views that a query may read, sources and rejected rows last."""
    state = published_state(open_output(output), records_only=True)
    return [*state.tables, *declared_views(job), *state.sources, QUARANTINE]


def open_tables(job: Job, output: str, memory: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open a database in memory that has the tables, views, sources and rejected rows of the published version and
    nothing else. Whoever may not enter the quarantine has no view of it.

    ``memory``: bytes that the database may use. Raises InputError where nothing is published, ConfigError where
    ``views.sql`` is wrong.
    """
    place = open_output(output)
    state, bronze = published_state(place), bronze_folder(place.link)
    files = {name: table.paths(state.table_folder(name)) for name, table in state.tables.items()}
    for name, source in state.sources.items():
        paths = source.paths(bronze)
        if all(map(os.path.exists, paths)):  # those of an output on a storage may be on other machines
            files[name] = paths
    quarantine = state.folder / "quarantine"
    may_list = QUARANTINE not in {*files, *state.sources, *declared_views(job)} and os.access(
        quarantine, os.R_OK | os.X_OK
    )
    if may_list:
        files[QUARANTINE] = tuple(str(path) for path in sorted(quarantine.glob("*/*.parquet")))
    columns = {name: one.contract.schema() for name, one in job.datasets.items()}
    columns |= {name: {**one.contract.schema(), **SOURCE_FACTS} for name, one in job.sources.items()}
    columns[QUARANTINE] = TABLE_REJECTS
    database = open_database(memory, threads)
    for name, paths in files.items():
        if paths:
            # Extracts may be older than a column, and of rejected rows only those of tables have by.
            by_name = str(name not in state.tables).lower()
            rows = f"read_parquet({sql_texts(paths)}, hive_partitioning = false, union_by_name = {by_name})"
            database.execute(f'create view "{name}" as from {rows}')
        elif name in columns:
            database.from_arrow(pl.DataFrame(schema=columns[name]).to_arrow()).create(f'"{name}"')
    for name, statement in declared_views(job).items():
        try:
            database.execute(statement)
        except duckdb.Error as fault:
            told = str(fault).partition("\n")[0]
            raise ConfigError(f"{job.folder / 'views.sql'}: view {name}: {told} Correct the view.") from None
    lock_database(database, [path for paths in files.values() for path in paths])
    return database
