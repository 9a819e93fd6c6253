"""A DuckDB in memory for the queries of users: it can open the files of some published tables, and nothing else."""

from collections.abc import Iterable

import duckdb


def open_database(memory: int, threads: int) -> duckdb.DuckDBPyConnection:
    """Open an empty database that loads no extension and writes no file. ``memory``: bytes that it may use."""
    return duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory}B",
            "threads": threads,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,  # else a name in SQL could mean a Python variable
        },
    )


def lock_database(database: duckdb.DuckDBPyConnection, paths: Iterable[object]) -> None:
    """Let the database open the files ``paths`` alone from now on, and change none of its settings."""
    database.execute(f"set allowed_paths = {sql_texts(paths)}")
    database.execute("set enable_external_access = false")
    database.execute("set lock_configuration = true")


def sql_texts(values: Iterable[object]) -> str:
    """A list of strings of SQL. Raises UnicodeEncodeError where one of the values, such as a path, is not UTF-8."""
    return "[" + ", ".join(sql_text(str(value)) for value in values) + "]"


def sql_text(value: str) -> str:
    """A string of SQL. Raises UnicodeEncodeError where the value is not UTF-8."""
    value.encode("utf-8")
    return "'" + value.replace("'", "''") + "'"
