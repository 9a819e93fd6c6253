"""The tables of a job as views of SQL, with those that its ``views.sql`` declares."""

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from pipeline.datasets.bronze import bronze_folder
from pipeline.datasets.job import Job
from pipeline.datasets.state import JobState, read_state
from pipeline.errors import ConfigError, InputError
from pipeline.versions.output_link import Output

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
    """All tables and views that a query may read, sources last."""
    state = _published(output)
    return [*state.tables, *declared_views(job), *state.sources]


def open_tables(job: Job, output: str, memory: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open a database in memory that has the tables, views and sources of the published version and nothing else.

    ``memory``: bytes that the database may use. Raises InputError where nothing is published, ConfigError where
    ``views.sql`` is wrong.
    """
    state = _published(output)
    bronze = bronze_folder(Output(output).link)
    files = {name: table.paths(state.table_folder(name)) for name, table in state.tables.items()}
    files |= {name: source.paths(bronze) for name, source in state.sources.items()}
    database = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory}B", "threads": threads, "temp_directory": "",
            "autoinstall_known_extensions": False, "autoload_known_extensions": False,
            "allow_community_extensions": False, "python_enable_replacements": False,
        },
    )  # fmt: skip
    for name, paths in files.items():
        if paths:
            database.execute(f'create view "{name}" as from read_parquet({_texts(paths)}, hive_partitioning = false)')
    for name, statement in declared_views(job).items():
        try:
            database.execute(statement)
        except duckdb.Error as fault:
            told = str(fault).partition("\n")[0]
            raise ConfigError(f"{job.folder / 'views.sql'}: view {name}: {told} Correct the view.") from None
    database.execute(f"set allowed_paths = {_texts([path for paths in files.values() for path in paths])}")
    database.execute("set enable_external_access = false")
    database.execute("set lock_configuration = true")
    return database


def _published(output: str) -> JobState:
    state = read_state(Output(output))
    if state is None:
        raise InputError(f"nothing is published at {str(Path(output).absolute())!r}. Run the job first.")
    return state


def _texts(paths: Sequence[str]) -> str:
    quoted = ("'" + path.replace("'", "''") + "'" for path in paths)
    return "[" + ", ".join(quoted) + "]"
