"""One SQL query over the views, read-only, within limits of rows, time and memory."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import psutil

from config import Config
from pipeline.errors import ConfigError, InputError, LogmillError
from pipeline.inspection.views import VIEWS, open_views, refusal_of
from pipeline.versions.catalog import Version, current_version, find_version, kept_versions
from pipeline.versions.outputs import open_output
from utils.units import format_size

if TYPE_CHECKING:
    import polars as pl

if sys.platform == "linux":
    import resource


Value = bool | int | float | Decimal | str | None

_SIGNED = ("tinyint", "smallint", "integer", "bigint", "hugeint")
_PLAIN = {"boolean", "double", "float", "decimal", "null", *_SIGNED, *(f"u{kind}" for kind in _SIGNED)}
"""DuckDB types whose values come as Python values."""

_NESTED = {"list", "array", "struct", "map", "union"}
"""DuckDB types whose values come as JSON text; values of all other types come as DuckDB's text."""

_MEMORY_SHARE = 0.8
"""DuckDB's share of MEMORY_LIMIT; the rest is for this process and for what DuckDB does not count."""

_INTERRUPT_EVERY_SECONDS = 0.1


Answer = TypeVar("Answer")
_Read = Callable[[duckdb.DuckDBPyConnection, str, int], Answer]
"""(database, the query as a source, most rows) → the answer."""

_Open = Callable[[int, int], duckdb.DuckDBPyConnection]
"""(bytes of memory, threads) → a database."""


@dataclass(frozen=True)
class Found:
    """The answer to a query.

    Attributes:
        columns: names of the columns; names may repeat.
        nested: for each column, whether its values are JSON text.
        rows: at most as many rows as the limit allows.
        cut: whether the query has more rows than the limit.
    """

    columns: tuple[str, ...]
    nested: tuple[bool, ...]
    rows: tuple[tuple[Value, ...], ...]
    cut: bool


def ask(config: Config, sql: str, version: str | None = None) -> Found:
    """Answer one query over a version, with at most QUERY_ROWS rows within QUERY_SECONDS.

    ``version``: the name of a kept version; None: the one that OUTPUT_DIR shows now. Where a run publishes a new
    version and removes the one that is being read, a query over none by name is asked again over the new one.

    Raises:
        InputError: nothing is published, or the version was removed and no other took its place.
        ConfigError: the SQL is wrong, has several statements or is no query, or the query reached a limit.
    """
    if version is not None:
        return _ask(config, sql, find_version(config.OUTPUT_DIR, version), _read)
    return _ask_current(config, sql, _read)


def ask_frame(config: Config, sql: str) -> "pl.DataFrame":
    """Answer one query over the current version as a frame, in the types of Polars that are nearest to DuckDB's.

    Whole numbers that DuckDB makes wider than 64 bits, such as sums, are Int64 where they fit. Raises what ``ask``
    raises.
    """
    return _ask_current(config, sql, _read_frame)


def _ask_current(config: Config, sql: str, read: "_Read[Answer]") -> Answer:
    while True:
        current = current_version(config.OUTPUT_DIR)
        try:
            found = _ask(config, sql, current, read)
        except LogmillError:
            if current.folder.exists():
                raise
        else:
            if current.folder.exists():
                return found
        if open_output(config.OUTPUT_DIR).current() in (None, current.name):
            raise InputError(f"version {current.name} was removed while it was read. Ask again.")


_QUOTING = (
    *(duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException),
    *(duckdb.TypeMismatchException, duckdb.ConstraintException, duckdb.SerializationException),
)
"""Errors of DuckDB whose messages quote values of the rows."""


def ask_database(config: Config, sql: str, open_database: "_Open", views: Sequence[str]) -> Found:
    """Answer one query over the database that ``open_database(memory, threads)`` opens, whose views are ``views``.

    Raises ConfigError as ``ask`` does.
    """
    return _answer(config, sql, open_database, views, None, _read)


def _ask(config: Config, sql: str, current: Version, read: "_Read[Answer]") -> Answer:
    def open_database(memory: int, threads: int) -> duckdb.DuckDBPyConnection:
        return open_views(current, kept_versions(config.OUTPUT_DIR), memory, threads)

    refusal = None if current.may_read_quarantine else refusal_of(current)
    return _answer(config, sql, open_database, VIEWS, refusal, read)


def _answer(
    config: Config, sql: str, open_database: "_Open", views: Sequence[str], refusal: str | None, read: "_Read[Answer]"
) -> Answer:
    """``refusal``: what the database says to a query over what this user may not read."""
    memory = int(config.MEMORY_LIMIT * _MEMORY_SHARE)
    try:
        with open_database(memory, config.PREPROCESSING_WORKERS) as database, _bounded(config.MEMORY_LIMIT):
            source = _as_subquery(database, sql)
            return _within(config.QUERY_SECONDS, database, lambda: read(database, source, config.QUERY_ROWS))
    except duckdb.InterruptException:
        raise ConfigError(
            f"the query did not end within {config.QUERY_SECONDS} s. Ask for less, or allow more time with --timeout."
        ) from None
    except (duckdb.OutOfMemoryException, MemoryError):
        raise ConfigError(
            f"the query needs more than {format_size(memory)} of memory. Ask for less, or raise --memory-limit."
        ) from None
    except _QUOTING as fault:
        if refusal and refusal in str(fault):
            raise ConfigError(refusal) from None
        kind = type(fault).__name__.removesuffix("Exception")
        raise ConfigError(
            f"{kind} error: the query meets a value that it cannot convert or compute with, which is not shown because "
            "logs keep messages. Use TRY_CAST, or TRY(...)."
        ) from None
    except duckdb.Error as fault:
        raise ConfigError(f"{_shorten(fault)} The views are {', '.join(views)}; DESCRIBE shows one.") from None


def _as_subquery(database: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Make the query a subquery: DuckDB lets a WITH clause write tables and files, but only at the top level."""
    statements = database.extract_statements(sql)
    if len(statements) != 1:
        raise ConfigError(f"expected one SQL query, found {len(statements)} statements. Ask one at a time.")
    kind = statements[0].type
    if kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI):  # MULTI: PIVOT
        raise ConfigError(f"expected a query (SELECT, FROM, DESCRIBE, ...), found {kind.name}: nothing can be changed.")
    return f"from (\n{statements[0].query.rstrip().rstrip(';')}\n)"


def _read(database: duckdb.DuckDBPyConnection, source: str, limit: int) -> Found:
    described = database.execute(f"{source} limit 0").description or []
    kinds = [kind.id for _, kind, *_ in described]
    chosen = ", ".join(_column(number, kind) for number, kind in enumerate(kinds, start=1))
    rows: list[tuple[Any, ...]] = database.execute(f"select {chosen} {source} limit {limit + 1}").fetchall()
    nested = tuple(kind in _NESTED or str(column[1]) == "JSON" for kind, column in zip(kinds, described, strict=True))
    return Found(tuple(column[0] for column in described), nested, tuple(rows[:limit]), cut=len(rows) > limit)


def _read_frame(database: duckdb.DuckDBPyConnection, source: str, limit: int) -> "pl.DataFrame":
    import polars as pl  # takes longer to load than most queries

    frame: pl.DataFrame = database.sql(f"from ({source} limit {limit})").pl()
    whole = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Decimal) and not kind.scale]
    for name in whole:
        with suppress(pl.exceptions.InvalidOperationError):  # it does not fit
            frame = frame.with_columns(pl.col(name).cast(pl.Int64))
    return frame


def _column(number: int, kind: str) -> str:
    if kind in _PLAIN:
        return f"#{number}"
    return f"to_json(#{number})::varchar" if kind in _NESTED else f"#{number}::varchar"


def _shorten(fault: duckdb.Error) -> str:
    """DuckDB's message without the excerpt of the query, which would show the query as it was rewritten."""
    text = " ".join(str(fault).partition("\n\n")[0].split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


@cache
def _usual_limit() -> tuple[int, int]:
    """The data limit (soft, hard) that this process began with, also while queries at the same time lower it."""
    return resource.getrlimit(resource.RLIMIT_DATA)


@contextmanager
def _bounded(more: int) -> Iterator[None]:
    """Limit the memory of this process to what it has and ``more`` bytes, within the ``with`` block.

    DuckDB does not count the text that functions make, and one batch of long texts can fill any machine.
    """
    if sys.platform != "linux":
        yield
        return
    soft, hard = _usual_limit()
    wanted = psutil.Process().memory_info().data + more
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if soft == resource.RLIM_INFINITY else min(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _within(seconds: int, database: duckdb.DuckDBPyConnection, read: Callable[[], Answer]) -> Answer:
    """Read in a thread of its own, and interrupt the database after ``seconds``, or where a signal ends this wait.

    DuckDB hears no signal while it waits for its own threads, and forgets an interrupt between two statements.
    """
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(read)
        try:
            wait([answer], seconds)
        finally:
            while not answer.done():
                database.interrupt()
                wait([answer], _INTERRUPT_EVERY_SECONDS)
        return answer.result()
