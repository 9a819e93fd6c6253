"""Reads tables of PostgreSQL by ADBC: binary COPY, streamed in batches of Arrow.

The first connection locks the tables against ALTER, DROP and TRUNCATE, which are not bound to snapshots, takes a
snapshot and exports it. It stays open until all is read. Each table is read through a connection of its own that takes
over the snapshot, so that a table whose connection broke can be read again, and a large one in ranges at once.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline.errors import ConfigError, install_command
from pipeline.sources.columns import Column, Date, Text, Time
from pipeline.sources.databases.address import Address
from pipeline.sources.databases.catalog import Kind, Table, TableColumn
from pipeline.sources.databases.faults import CONNECT, postgres_explained

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

_BATCH_BYTES = 16 * 2**20
_RANGE_PAGES, _MOST_RANGES = 16_384, 99
"""Pages of a table in a range, at least (128 MB), and how many ranges it has at most."""
_RANGES_SINCE = 140_000
"""The first version of the server that reads a range of pages alone; earlier ones read the whole table for each."""
_SETTINGS = {
    "TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres", "bytea_output": "hex",
    "extra_float_digits": "1", "synchronize_seqscans": "off", "statement_timeout": "0", "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "0", "application_name": "logmill",
}  # fmt: skip
"""Of each session: what shapes texts, and how long the server waits for what."""
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_KINDS: Mapping[str, Kind] = {
    "int2": "whole", "int4": "whole", "int8": "whole", "numeric": "decimal", "money": "decimal", "float4": "float",
    "float8": "float", "bool": "bool", "date": "date", "timestamp": "moment", "timestamptz": "moment",
}  # fmt: skip
_EXACT = ("int2", "int4", "int8", "float4", "float8", "bool", "date", "timestamp", "timestamptz", "text", "varchar")
"""Types whose binary form ADBC reads exactly. All others become texts in the server."""
_FIND = """
SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint, c.relkind::text,
  CASE WHEN c.relkind = 'r' AND current_setting('server_version_num')::int >= {1} THEN pg_relation_size(c.oid) ELSE 0
  END / current_setting('block_size')::int
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('{0}')
"""
_DESCRIBE = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), coalesce(b.typname, t.typname), t.typcategory::text,
  t.typtype <> 'd' AND s.nspname = 'pg_catalog'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace s ON s.oid = t.typnamespace
LEFT JOIN pg_type b ON b.oid = t.typbasetype
WHERE a.attrelid = to_regclass('{0}') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_SETTLED = """
SELECT (least(clock_timestamp(), min(began)) AT TIME ZONE 'UTC')::text FROM (
  SELECT xact_start AS began FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
  UNION ALL SELECT prepared FROM pg_prepared_xacts
) AS t
"""
"""Asked before the snapshot is taken: what is open then, the snapshot may not see."""
_LOCKED_KINDS = ("r", "p", "v")
"""Tables, partitioned tables and views; other relations cannot be locked."""
_INFINITY, _EARLIEST, _LATEST = 2**63 - 1, -62_135_596_800_000_000, 253_402_300_799_999_999
_EPOCH = 946_684_800_000_000
_WRAPPED = {_INFINITY + _EPOCH - 2**64: "infinity", -(2**63) + _EPOCH: "-infinity"}
_DAY_EPOCH, _EARLIEST_DAY, _LATEST_DAY = 10_957, -719_162, 2_932_896
_WRAPPED_DAYS = {2**31 - 1 + _DAY_EPOCH - 2**32: "infinity", -(2**31) + _DAY_EPOCH: "-infinity"}
"""What ADBC makes of infinity, because it counts from 1970 where the server counts from 2000."""


def check_postgres_installed() -> None:
    """Raise ConfigError where the packages for PostgreSQL are missing."""
    if find_spec("adbc_driver_postgresql") is None:
        raise ConfigError(
            "PostgreSQL as a source needs packages that are not installed. Install them: "
            f"{install_command('requirements-databases.txt')}"
        )


@contextmanager
def open_postgres(address: Address, tables: Sequence[str]) -> Iterator["PostgresSnapshot"]:
    """One snapshot of some tables. Raises ConfigError where packages are missing, and DatabaseFault."""
    check_postgres_installed()
    with ExitStack() as resources:
        with postgres_explained(CONNECT):
            connection = resources.enter_context(closing(connect(address)))
        with postgres_explained("cannot take a snapshot of the tables"):
            found = {name: _find(connection, name) for name in tables}
            settled = datetime.fromisoformat(query(connection, _SETTLED)[0][0])
            run(connection, _BEGIN)
            if locked := [table.quoted for table, kind in filter(None, found.values()) if kind in _LOCKED_KINDS]:
                run(connection, f"LOCK TABLE {', '.join(locked)} IN ACCESS SHARE MODE")
            token = query(connection, "SELECT pg_export_snapshot()")[0][0]
            known = {name: _described(connection, table[0]) for name, table in found.items() if table}
        yield PostgresSnapshot(address, token, known, settled)


class PostgresSnapshot:
    """One snapshot of a PostgreSQL database; see ``catalog.Snapshot``."""

    def __init__(self, address: Address, token: str, tables: Mapping[str, Table], settled: datetime) -> None:
        self._address, self.token, self._tables = address, token, tables
        self.settled = settled

    def table(self, name: str) -> Table | None:
        """A table that was named when the snapshot was opened; None: there is none."""
        return self._tables.get(name)

    def select(self, table: Table, columns: Mapping[str, tuple[TableColumn, Column]]) -> str:
        """The query that reads columns of a table."""
        found = (f"{_value(there, wanted)} AS {_quoted(name)}" for name, (there, wanted) in columns.items())
        return f"SELECT {', '.join(found)} FROM {table.quoted}"

    def has_zone(self, column: TableColumn) -> bool:
        """Whether times of a column are moments in UTC."""
        return column.base == "timestamptz"

    def latest(self, table: Table, column: TableColumn, limit: str) -> str | None:
        """The latest time of a column that is not after ``limit``, as text."""
        name = _quoted(column.name)
        frames = list(self.read(f"SELECT max({name})::text AS t FROM {table.quoted} WHERE {name} <= '{limit}'"))
        return frames[0].item() if frames else None

    def since(self, column: TableColumn, moment: str) -> str:
        """The condition for rows whose time in a column is not before ``moment``, or is null."""
        name = _quoted(column.name)
        return f" WHERE {name} >= '{moment}' OR {name} IS NULL"

    def fit(self, there: TableColumn, wanted: Column) -> Column:
        """The column of a contract with the formats of ``tame``; otherwise times come as times."""
        if there.kind in ("date", "moment") and isinstance(wanted, Date):
            return replace(wanted, formats=("%Y-%m-%d", "%Y-%m-%d 00:00:00.000000"))
        if there.kind in ("date", "moment") and isinstance(wanted, Time):
            zone = "UTC" if there.base == "timestamptz" else wanted.zone
            return replace(wanted, formats=("%Y-%m-%d %H:%M:%S%.f",), zone=zone)
        return wanted

    def read(self, query: str) -> Generator[pl.DataFrame]:
        """The rows of a query, about 16 MB at a time. Raises DatabaseFault where the connection breaks."""
        from adbc_driver_postgresql import StatementOptions

        with postgres_explained(CONNECT):
            connection = connect(self._address)
        with postgres_explained("cannot read a table"), closing(connection):
            run(connection, _BEGIN)
            run(connection, f"SET TRANSACTION SNAPSHOT '{self.token}'")
            with connection.cursor() as cursor:
                cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)})
                cursor.execute(query)
                for batch in cursor.fetch_record_batch():
                    yield tame(_frame(batch))


def tame(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows; columns with times outside the years 1 to 9999, which Python cannot show, become texts."""
    return rows.with_columns(
        _tamed(column) for column in rows.iter_columns() if column.dtype.is_temporal() and _is_wild(column)
    )


def _is_wild(column: pl.Series) -> bool:
    earliest, latest, _ = _limits(column)
    return not column.to_physical().is_between(earliest, latest).all()


def _tamed(column: pl.Series) -> pl.Series:
    earliest, latest, names = _limits(column)
    number = column.to_physical()
    fits = number.is_between(earliest, latest)
    if isinstance(column.dtype, pl.Datetime):
        column = column.cast(pl.Datetime("us"))  # a zone is UTC here
    found = pl.DataFrame({"value": column.set(~fits, None), "number": number, "fits": fits})
    known = pl.col("number").replace_strict(names, default="a year before 1 or after 9999", return_dtype=pl.String)
    text = pl.when("fits").then(pl.col("value").cast(pl.String)).when(pl.col("number").is_not_null()).then(known)
    return found.select(text.alias(column.name)).to_series()


def _limits(column: pl.Series) -> tuple[int, int, dict[int, str]]:
    if column.dtype == pl.Date():
        return _EARLIEST_DAY, _LATEST_DAY, _WRAPPED_DAYS
    return _EARLIEST, _LATEST, _WRAPPED


def _frame(batch: Any) -> pl.DataFrame:
    found = pl.from_arrow(batch)
    assert isinstance(found, pl.DataFrame)
    return found


def connect(address: Address) -> "Connection":
    """Open a session, in which every statement is a transaction unless one is begun. Raises what ADBC raises."""
    from adbc_driver_postgresql import dbapi

    connection: Connection = dbapi.connect(address.url, autocommit=True)  # transactions begin where this module says so
    for name, value in _SETTINGS.items():
        run(connection, f"SET {name} = '{value}'")
    return connection


def run(connection: "Connection", statement: str) -> None:
    """Run a statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def query(connection: "Connection", text: str) -> list[Any]:
    """The rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())


def _find(connection: "Connection", name: str) -> tuple[Table, str] | None:
    """A table by its name, with or without schema, and what kind of relation it is."""
    literal = ".".join(map(_quoted, name.split("."))).replace("'", "''")
    if not (found := query(connection, _FIND.format(literal, _RANGES_SINCE))):
        return None
    schema, called, rows, kind, pages = found[0]
    return Table(f"{schema}.{called}", f"{_quoted(schema)}.{_quoted(called)}", rows, (), ranges=_ranges(pages)), kind


def _ranges(pages: int) -> list[str]:
    """Conditions for ranges of the pages of a table; none where it has few."""
    count = min(_MOST_RANGES, pages // _RANGE_PAGES)
    edges = [f"'({pages * number // count},0)'" for number in range(1, count)]
    if not edges:
        return []
    between = [f"ctid >= {low} AND ctid < {high}" for low, high in pairwise(edges)]
    return [f" WHERE {one}" for one in (f"ctid < {edges[0]}", *between, f"ctid >= {edges[-1]}")]


def _described(connection: "Connection", table: Table) -> Table:
    found = query(connection, _DESCRIBE.format(table.quoted.replace("'", "''")))
    columns = [
        TableColumn(name, told, _kind(base, category), base if own else told)
        for name, told, base, category, own in found
    ]
    return replace(table, columns=columns)


def _kind(base: str, category: str) -> Kind:
    return _KINDS.get(base) or ("text" if category in "SE" else "other")


def _value(there: TableColumn, wanted: Column) -> str:
    """How a column is read: as it is where the reader is exact, as a text otherwise."""
    name = _quoted(there.name)
    if isinstance(wanted, Time) and there.kind == "date":
        return f"{name}::timestamp"
    if there.base in _EXACT and (there.kind == "text" or not isinstance(wanted, Text)):
        return name
    if there.base == "money":
        return f"{name}::numeric::text"
    return f"{name}::text"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
