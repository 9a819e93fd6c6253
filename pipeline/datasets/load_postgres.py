"""Loads the published tables of a job into PostgreSQL, in one transaction: readers there see one version or the other.

Tables lie in a schema for each layer, as in the scripts of ``docs``. Only those are written that changed since the last
load. Rows are deleted rather than truncated, so that readers go on with the version before until the new one is there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pipeline.datasets.dataset import DataSet
from pipeline.datasets.ddl import INTERFACE, VIEWS, create_postgres, postgres_roles
from pipeline.datasets.job import Job
from pipeline.datasets.state import JobState, published_state
from pipeline.errors import ConfigError
from pipeline.sources.databases.address import is_database, parse_address
from pipeline.sources.databases.faults import CONNECT, postgres_explained
from pipeline.sources.databases.postgres import check_postgres_installed, connect, query, run
from pipeline.versions.outputs import open_output

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection

LOADS = "logmill_loads"
"""The table, in the first schema of the search path, that says which version of which table is there."""
_LAYERS = "gold, silver, bronze"
_NAME = r"""(?:"(?:[^"]|"")+"|\w+)"""
_VIEW = re.compile(
    r"\bcreate\s+(?:or\s+replace\s+)?(?:materialized\s+)?view\s+(?:if\s+not\s+exists\s+)?"
    rf"({_NAME}(?:\s*\.\s*{_NAME})?)"
    r"""|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/""",
    re.IGNORECASE | re.DOTALL,
)
"""A view that is made, with its name; or a text, a quoted name or a comment, in which none is."""
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Loaded:
    """The version that PostgreSQL has now, and how many rows of which tables were written."""

    version: str
    rows: Mapping[str, int]


def load_postgres(job: Job, output: str, place: str) -> Loaded:
    """Bring the version that an output shows into the database of a URL.

    Raises ConfigError where the URL is none, or a table there has other columns; InputError where nothing is published;
    DatabaseFault, and nothing is changed then.
    """
    address = parse_address(place) if is_database(place) else None
    if address is None or address.system != "postgresql":
        raise ConfigError("load needs the URL of a PostgreSQL database, such as postgresql://user@host/database.")
    check_postgres_installed()
    state = published_state(open_output(output))
    with postgres_explained(CONNECT):
        connection = connect(address)
    with postgres_explained("cannot load the tables"), closing(connection):
        run(connection, "BEGIN")
        run(connection, f"SELECT pg_advisory_xact_lock(hashtext('logmill {job.name}'))")
        run(
            connection,
            f"CREATE TABLE IF NOT EXISTS {LOADS} (job text, table_name text, changed_in text, version text, "
            "loaded_at timestamptz DEFAULT now(), PRIMARY KEY (job, table_name))",
        )
        known = dict(query(connection, f"SELECT table_name, changed_in FROM {LOADS} WHERE job = '{job.name}'"))
        rows = {
            name: _load(connection, job, state, one)
            for name, one in job.datasets.items()
            if name in state.tables and known.get(name) != state.tables[name].changed_in
        }
        _give_rights(connection, job, [job.datasets[name] for name in rows], _make_views(connection, job))
        run(connection, "COMMIT")
    return Loaded(state.run_id, rows)


def _load(connection: "Connection", job: Job, state: JobState, one: DataSet) -> int:
    """Write one table. Returns its number of rows."""
    run(connection, f"CREATE SCHEMA IF NOT EXISTS {one.layer}")
    create, *comments = create_postgres(one)
    run(connection, create)
    _check_columns(connection, one)
    for statement in comments:
        run(connection, statement)
    run(connection, f'DELETE FROM {one.layer}."{one.name}"')
    count = 0
    with connection.cursor() as cursor:
        for rows in _read(state, one):
            cursor.adbc_ingest(one.name, rows, mode="append", db_schema_name=one.layer)
            count += rows.num_rows
    run(
        connection,
        f"INSERT INTO {LOADS} (job, table_name, changed_in, version) VALUES ('{job.name}', '{one.name}', "
        f"'{state.tables[one.name].changed_in}', '{state.run_id}') ON CONFLICT (job, table_name) DO UPDATE SET "
        "changed_in = excluded.changed_in, version = excluded.version, loaded_at = now()",
    )
    return count


def _check_columns(connection: "Connection", one: DataSet) -> None:
    """Raise ConfigError where the table that is there has other columns: views and rights may depend on it."""
    there = query(
        connection,
        "SELECT column_name FROM information_schema.columns "
        f"WHERE table_schema = '{one.layer}' AND table_name = '{one.name}' ORDER BY ordinal_position",
    )
    found, wanted = [name for (name,) in there], list(one.contract.columns)
    if found != wanted:
        raise ConfigError(
            f"the table {one.layer}.{one.name} in PostgreSQL has the columns {', '.join(found)}, expected "
            f"{', '.join(wanted)}. Nothing was changed. Drop it (DROP TABLE ... CASCADE takes its views along), and "
            "load again."
        )


def _read(state: JobState, one: DataSet) -> "Iterator[pa.Table]":
    for path in state.tables[one.name].paths(state.table_folder(one.name)):
        rows = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        for begin in range(0, state.tables[one.name].rows + 1, _ROWS_AT_ONCE):
            found = rows.slice(begin, _ROWS_AT_ONCE).select(*one.contract.columns).collect()
            if not len(found):
                break
            yield found.to_arrow(compat_level=pl.CompatLevel.oldest())


def _make_views(connection: "Connection", job: Job) -> list[str]:
    """Make the views of a job, if it has some. Returns their names, which the search path finds now."""
    file = job.folder / VIEWS
    if not file.is_file():
        return []
    run(connection, f"CREATE SCHEMA IF NOT EXISTS {INTERFACE}")
    run(connection, f"SET LOCAL search_path TO {INTERFACE}, {_LAYERS}")
    text = file.read_text(encoding="utf-8")
    for statement in filter(str.strip, re.split(r";[ \t]*(?:\n|$)", text)):
        run(connection, statement)
    return names_of_views(text)


def names_of_views(script: str) -> list[str]:
    """The views that a script makes, as it writes their names; what stands in comments and texts makes none."""
    return [found[1] for found in _VIEW.finditer(script) if found[1]]


def _give_rights(connection: "Connection", job: Job, made: Sequence[DataSet], views: Sequence[str]) -> None:
    """Give the roles of the script of ``docs``, where they are there, their rights in what was made: the owner all,
    readers what is not bronze."""
    known = {name for (name,) in query(connection, "SELECT rolname FROM pg_roles")}
    tables = {one.layer: [f'{one.layer}."{two.name}"' for two in made if two.layer == one.layer] for one in made}
    if views:
        tables[INTERFACE] = list(views)
    for role, right in zip(postgres_roles(job), ("ALL", "SELECT"), strict=True):
        for schema, names in tables.items():
            if role in known and (right == "ALL" or schema != "bronze"):
                run(connection, f"GRANT USAGE ON SCHEMA {schema} TO {role}")
                run(connection, f"GRANT {right} ON {', '.join(names)} TO {role}")
