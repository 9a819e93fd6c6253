"""Reads tables of MySQL and MariaDB: PyMySQL connects, compiled code reads the rows.

One connection reads all tables, because a snapshot of these servers belongs to its connection and cannot be handed on.
The server writes every value as text; what its text would lose is cast in the query.
"""

import os
import re
import ssl
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError, install_command
from pipeline.machine import cache_folder
from pipeline.native.build import compile_library
from pipeline.sources.columns import Column, Date, Time
from pipeline.sources.databases.address import Address
from pipeline.sources.databases.catalog import Kind, Table, TableColumn
from pipeline.sources.databases.faults import CONNECT, mysql_explained

if TYPE_CHECKING:
    from pymysql.connections import Connection

    from pipeline.native.packets import Stop

_BLOCK_BYTES = 6 * 2**20
_RECEIVED_BYTES = 2**16
_WHOLE_SECONDS = len("2026-11-30 10:00:00")
_FETCHED_ROWS = 20_000
_SETTINGS: Mapping[str, str | None] = {
    "time_zone": "'+00:00'", "sql_mode": "''", "net_write_timeout": "3600", "lock_wait_timeout": "30",
    "TRANSACTION ISOLATION LEVEL REPEATABLE READ": None,
}  # fmt: skip
"""Of the session: what shapes texts, and how long the server waits for what."""
_UNLIMITED = ("max_statement_time", "max_execution_time")
"""Limits for a query in MariaDB and MySQL; each has but one of them."""
_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "bit", "year"), "whole"),
    "decimal": "decimal", "float": "float", "double": "float", "date": "date", "datetime": "moment",
    "timestamp": "moment",
}  # fmt: skip
_TABLES = """
SELECT t.table_schema, t.table_name, coalesce(t.table_rows, 0), CASE e.transactions WHEN 'NO' THEN e.engine ELSE '' END
FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine
WHERE t.table_schema = coalesce(%s, database()) AND t.table_name = %s
"""
_COLUMNS = """
SELECT column_name, column_type, data_type, character_set_name FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""
_SHAPES = ("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
           "geometrycollection", "geomcollection")  # fmt: skip
_OPTIONS = ("socket", "ssl_mode", "ssl_ca", "ssl_cert", "ssl_key")
"""Options of the URL; of the environment with MYSQL_ before them, in capitals."""
_MODES = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
_OWN_TEXTS = ("time", "uuid", "inet4", "inet6", "json")
"""Types besides texts and numbers that the server writes as text exactly."""


def check_mysql_installed() -> None:
    """Raise ConfigError where the packages for MySQL are missing."""
    if find_spec("pymysql") is None:
        raise ConfigError(
            "MySQL as a source needs packages that are not installed. Install them: "
            f"{install_command('requirements-databases.txt')}"
        )


@contextmanager
def open_mysql(address: Address, tables: Sequence[str]) -> Iterator["MysqlSnapshot"]:
    """One snapshot of some tables. Raises ConfigError where packages are missing or options unknown, DatabaseFault."""
    check_mysql_installed()
    options = _connection_options(address)
    with mysql_explained(CONNECT):
        connection = _connect(options)
    with closing(connection):
        with mysql_explained("cannot take a snapshot of the tables"):
            found = {name: _find(connection, name) for name in tables}
            settled = _settled(connection)
            _run(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            for table in filter(None, found.values()):
                _run(connection, f"SELECT 1 FROM {table.quoted} LIMIT 0")  # from now on it cannot be altered
            known = {name: _described(connection, table) for name, table in found.items() if table}
        yield MysqlSnapshot(connection, known, settled)


@dataclass(frozen=True)
class _WrittenTime(Time):
    """A time as the server writes it, with ``digits`` of a fraction of seconds, which is read apart: the format of one
    takes nine times as long."""

    digits: int = 0

    def _parse(self, text: pl.Expr, form: str) -> pl.Expr:
        whole = text.str.head(_WHOLE_SECONDS).str.to_datetime(form, time_unit="us", strict=False, exact=True)
        if not self.digits:
            return self.to_utc(whole)
        fraction = text.str.slice(_WHOLE_SECONDS + 1).cast(pl.Int64, strict=False) * 10 ** (6 - self.digits)
        return self.to_utc(whole + fraction.cast(pl.Duration("us")))


class MysqlSnapshot:
    """One snapshot of a MySQL database; see ``catalog.Snapshot``. No other process can read from it."""

    token = ""

    def __init__(self, connection: "Connection[Any]", tables: Mapping[str, Table], settled: datetime) -> None:
        self._connection, self._tables, self.settled = connection, tables, settled
        self._library = compile_library(cache_folder())[0]

    def table(self, name: str) -> Table | None:
        """A table that was named when the snapshot was opened; None: there is none."""
        return self._tables.get(name)

    def select(self, table: Table, columns: Mapping[str, tuple[TableColumn, Column]]) -> str:
        """The query that reads columns of a table."""
        found = (f"{_value(there)} AS {_quoted(name)}" for name, (there, _) in columns.items())
        return f"SELECT {', '.join(found)} FROM {table.quoted}"

    def has_zone(self, column: TableColumn) -> bool:
        """Whether times of a column are moments in UTC."""
        return column.base == "timestamp"

    def latest(self, table: Table, column: TableColumn, limit: str) -> str | None:
        """The latest time of a column that is not after ``limit``, as text."""
        name = _quoted(column.name)
        frames = list(self.read(f"SELECT max({name}) AS t FROM {table.quoted} WHERE {name} <= '{limit}'"))
        return frames[0].item() if frames else None

    def since(self, column: TableColumn, moment: str) -> str:
        """The condition for rows whose time in a column is not before ``moment``, or is null."""
        name = _quoted(column.name)
        return f" WHERE {name} >= '{moment}' OR {name} IS NULL"

    def fit(self, there: TableColumn, wanted: Column) -> Column:
        """The column of a contract with the formats in which the server writes times."""
        found = re.search(r"\((\d)\)", there.type)
        digits = int(found[1]) if found else 0
        if isinstance(wanted, Date) and there.kind in ("date", "moment"):
            fraction = f".{'0' * digits}" if digits else ""
            return replace(wanted, formats=("%Y-%m-%d" if there.kind == "date" else f"%Y-%m-%d 00:00:00{fraction}",))
        if isinstance(wanted, Time) and there.kind == "date":
            return replace(wanted, formats=("%Y-%m-%d",))
        if isinstance(wanted, Time) and there.kind == "moment":
            given = {one.name: getattr(wanted, one.name) for one in fields(wanted)}
            zone = "UTC" if there.base == "timestamp" else wanted.zone
            return _WrittenTime(**{**given, "formats": ("%Y-%m-%d %H:%M:%S",), "zone": zone}, digits=digits)
        return wanted

    def read(self, query: str) -> Generator[pl.DataFrame]:
        """The rows of a query, about 6 MB at a time. Raises DatabaseFault where the connection breaks."""
        with mysql_explained("cannot read a table"):
            self._connection.query(query, unbuffered=True)
            result = self._connection._result
            names = [field.name for field in result.fields]
            found = (
                _read_compiled(self._connection, len(names), self._library)
                if self._library
                else _read_plainly(self._connection, len(names))
            )
            try:
                for rows in found:
                    yield rows.rename(dict(zip(rows.columns, names, strict=True)))
            finally:
                result.unbuffered_active = False  # or PyMySQL would wait for further packets


def _read_compiled(connection: "Connection[Any]", columns: int, library: Path) -> Iterator[pl.DataFrame]:
    """Rows by compiled code, out of the stream behind the description of the columns."""
    from pipeline.native.packets import Stop, Walk, read_packets

    block, filled, stop = np.empty(_BLOCK_BYTES, np.uint8), 0, Stop.CUT
    walk = Walk(library, block)
    while stop == Stop.CUT:
        if filled == len(block):  # one row is longer
            block = np.concatenate([block, np.empty(len(block), np.uint8)])
            walk = Walk(library, block, walk.at)
        filled += _receive(connection, block[filled:])
        stop = walk.on(filled)
        if walk.at and (stop != Stop.CUT or filled > len(block) - _RECEIVED_BYTES):
            yield read_packets(library, block[: walk.at], columns)
            rest = block[walk.at : filled].copy()
            block[: len(rest)] = rest
            filled = len(rest)
            walk.restart()
    _end(stop, block[walk.at : filled])


def _receive(connection: "Connection[Any]", target: NDArray[np.uint8]) -> int:
    """Read some bytes. Raises OSError where there are none."""
    found = connection._rfile.read1(min(len(target), _RECEIVED_BYTES))  # readinto1 would wait for more than there is
    if not found:
        raise ConnectionResetError("the server closed the connection")
    target[: len(found)] = np.frombuffer(found, np.uint8)
    return len(found)


def _end(stop: "Stop", rest: NDArray[np.uint8]) -> None:
    """End the reading of rows. ``rest``: the packet at which they end. Raises InputError, or what the server raised."""
    from pymysql.err import raise_mysql_exception

    from pipeline.native.packets import Stop

    if stop == Stop.TOO_LARGE:
        raise InputError("a row of a table is longer than 16 MB. Leave the long column out of the contract.")
    if stop == Stop.FAULT:
        raise_mysql_exception(rest[4:].tobytes())


def _read_plainly(connection: "Connection[Any]", columns: int) -> Iterator[pl.DataFrame]:
    """The same rows where there is no compiled code, nine times slower."""
    result, schema = connection._result, dict.fromkeys(map(str, range(columns)), pl.String())
    rows: list[Any] = []
    while row := result._read_rowdata_packet_unbuffered():
        rows.append(row)
        if len(rows) == _FETCHED_ROWS:
            yield pl.DataFrame(rows, schema, orient="row")
            rows = []
    if rows:
        yield pl.DataFrame(rows, schema, orient="row")


def _connection_options(address: Address) -> dict[str, Any]:
    """How PyMySQL is to connect: by the URL, and what that does not say, by the environment.

    Raises ConfigError where an option is unknown.
    """
    given = dict(address.options or {})
    if unknown := [name for name in given if name not in _OPTIONS]:
        raise ConfigError(f"--source has the option {unknown[0]!r}, expected one of {', '.join(_OPTIONS)}.")
    known = {**{name: os.environ.get(f"MYSQL_{name.upper()}", "") for name in _OPTIONS}, **given}
    port = str(address.port or os.environ.get("MYSQL_PORT", "") or 3306)
    if not port.isdecimal():
        raise ConfigError("MYSQL_PORT is no number.")
    return {
        "host": address.host or os.environ.get("MYSQL_HOST", "") or "localhost",
        "port": int(port),
        "user": address.user or os.environ.get("MYSQL_USER", "") or None,
        "password": os.environ.get("MYSQL_PASSWORD", "").encode(),
        "database": address.database or os.environ.get("MYSQL_DATABASE", "") or None,
        "unix_socket": known["socket"] or None,
        **_encryption(known),
    }


def _encryption(known: Mapping[str, str]) -> dict[str, Any]:
    """How the connection is encrypted; without options: where the server offers that, whoever it is."""
    mode = known["ssl_mode"].lower() or ("verify_identity" if known["ssl_ca"] else "preferred")
    if mode not in _MODES:
        raise ConfigError(f"ssl_mode is {mode!r}, expected one of {', '.join(_MODES)}.")
    if mode in ("disabled", "preferred"):
        return {"ssl_disabled": mode == "disabled"}
    try:
        context = ssl.create_default_context(cafile=known["ssl_ca"] or None)
        if known["ssl_cert"]:
            context.load_cert_chain(known["ssl_cert"], known["ssl_key"] or None)
    except (OSError, ssl.SSLError) as fault:
        raise ConfigError(f"ssl_ca, ssl_cert or ssl_key cannot be read ({type(fault).__name__}).") from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # which certificates that MySQL makes for itself do not pass
    context.check_hostname = mode == "verify_identity"
    context.verify_mode = ssl.CERT_NONE if mode == "required" else ssl.CERT_REQUIRED
    return {"ssl": context}


def _connect(options: Mapping[str, Any]) -> "Connection[Any]":
    import pymysql

    connection = pymysql.connect(
        **options, charset="utf8mb4", autocommit=True, connect_timeout=30, program_name="logmill"
    )
    connection.decoders = {}  # texts stay texts
    for name, value in _SETTINGS.items():
        _run(connection, f"SET SESSION {name}" + (f" = {value}" if value else ""))
    for name in _UNLIMITED:
        with suppress(pymysql.MySQLError):
            _run(connection, f"SET SESSION {name} = 0")
    return connection


def _run(connection: "Connection[Any]", statement: str, *values: str | None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())


def _settled(connection: "Connection[Any]") -> datetime:
    """When the oldest open transaction began, if the user may see that (privilege PROCESS); otherwise now."""
    import pymysql

    with suppress(pymysql.MySQLError):
        return datetime.fromisoformat(
            _run(connection, "SELECT least(utc_timestamp(6), coalesce(min(trx_started), utc_timestamp(6)))"
                             " FROM information_schema.innodb_trx")[0][0]
        )  # fmt: skip
    return datetime.fromisoformat(_run(connection, "SELECT utc_timestamp(6)")[0][0])


def _find(connection: "Connection[Any]", name: str) -> Table | None:
    """A table by its name, with or without schema."""
    schema, _, called = name.rpartition(".")
    if not (found := _run(connection, _TABLES, schema or None, called)):
        return None
    schema, called, rows, engine = found[0]
    return Table(f"{schema}.{called}", f"{_quoted(schema)}.{_quoted(called)}", int(rows), (), engine or "")


def _described(connection: "Connection[Any]", table: Table) -> Table:
    found = _run(connection, _COLUMNS, *table.name.split(".", 1))
    columns = [TableColumn(name, told, _kind(base, charset), base) for name, told, base, charset in found]
    return replace(table, columns=columns)


def _kind(base: str, charset: str | None) -> Kind:
    return _KINDS.get(base) or ("text" if charset else "other")


def _value(there: TableColumn) -> str:
    """How a column is read, so that its text loses nothing."""
    name = _quoted(there.name)
    if there.base == "float":
        return f"{name} + 0e0"  # otherwise the server writes six digits
    if there.base == "bit":
        return f"{name} + 0"
    if there.base in _SHAPES:
        return f"ST_AsText({name})"
    if there.kind == "other" and there.base not in _OWN_TEXTS:
        return f"HEX({name})"
    return name


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
