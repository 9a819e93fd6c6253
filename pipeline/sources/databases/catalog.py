"""Tables and columns as a database describes them, and which of them a contract can be read from."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import polars as pl

from pipeline.errors import InputError
from pipeline.sources.columns import Bool, Column, Date, Decimal, Float, Int, Money, Text, Time
from pipeline.sources.contract import Contract

Kind = Literal["whole", "decimal", "float", "bool", "date", "moment", "text", "other"]
_NUMBERS: tuple[Kind, ...] = ("whole", "decimal", "float", "text")
_READ_FROM: Mapping[type[Column], tuple[Kind, ...]] = {
    Int: _NUMBERS, Money: _NUMBERS, Decimal: _NUMBERS, Float: _NUMBERS, Bool: ("bool", "whole", "text"),
    Date: ("date", "moment", "text"), Time: ("date", "moment", "text"),
    Text: ("whole", "decimal", "float", "bool", "date", "moment", "text", "other"),
}  # fmt: skip
"""Kinds of columns of a database whose values can become values of a column of a contract."""


@dataclass(frozen=True)
class TableColumn:
    """A column of a table of a database: its type as people write it, what kind of values that has, and what the
    database calls the type without lengths and digits."""

    name: str
    type: str
    kind: Kind
    base: str


@dataclass(frozen=True)
class Table:
    """A table: ``name`` with its schema as people write it, ``quoted`` for SQL, about how many rows it has, its columns
    in their order, of MySQL the engine that keeps it where that has no snapshots, such as MyISAM, and the
    conditions of queries that read a large one in ranges, in their order; none: it is read as a whole."""

    name: str
    quoted: str
    rows: int
    columns: Sequence[TableColumn]
    unsafe_engine: str = ""
    ranges: Sequence[str] = ()


class Snapshot(Protocol):
    """One state of a database, from which all tables are read.

    ``settled``: naive UTC; all transactions that began before this moment have ended, as far as the user may see them.
    ``token``: by which other processes can read ranges of its tables.
    """

    token: str

    @property
    def settled(self) -> datetime:
        """See the class."""

    def table(self, name: str) -> Table | None:
        """A table that was named when the snapshot was opened; None: there is none."""

    def select(self, table: Table, columns: Mapping[str, tuple[TableColumn, Column]]) -> str:
        """The query that reads columns of a table. ``columns``: by the name in the result, from what and for what."""

    def has_zone(self, column: TableColumn) -> bool:
        """Whether times of a column are moments in UTC, whatever the place."""

    def latest(self, table: Table, column: TableColumn, limit: str) -> str | None:
        """The latest time of a column that is not after ``limit``, as text."""

    def since(self, column: TableColumn, moment: str) -> str:
        """The condition of a query for rows whose time in a column is not before ``moment``, or is null."""

    def fit(self, there: TableColumn, wanted: Column) -> Column:
        """The column of a contract with the formats in which this system writes times."""

    def read(self, query: str) -> Generator[pl.DataFrame]:
        """The rows of a query, some at a time. Raises DatabaseFault where the connection breaks."""


def choose_columns(table: Table, source: str, contract: type[Contract]) -> dict[str, tuple[TableColumn, Column]]:
    """By column of the contract: from which column of the table it is read. Optional ones may be left out.

    Raises InputError where a column is missing or has values that never become those of the contract, by name.
    """
    known = {column.name: column for column in table.columns}
    found, missing = {}, []
    for name, column in contract.columns.items():
        there = next((known[called] for called in column.names(name) if called in known), None)
        if there:
            found[name] = (there, column)
        elif not column.optional:
            missing.append(" or ".join(column.names(name)))
    if missing:
        raise InputError(
            f"{source}: the table {table.name} lacks {', '.join(missing)}. It has {', '.join(known)}. Say in the "
            f"contract (read_from=...) or the job's settings (names.{source}.COLUMN) what the column is called there, "
            "or declare it with optional=True."
        )
    for there, column in found.values():
        if there.kind not in _READ_FROM[type(column)]:
            raise InputError(
                f"{source}: the column {there.name} of the table {table.name} is {there.type}, and "
                f"{contract.__name__} declares {type(column).__name__}. Correct the contract: Text takes any type."
            )
    return found


def fit_contract(
    contract: type[Contract], columns: Mapping[str, tuple[TableColumn, Column]], snapshot: Snapshot
) -> type[Contract]:
    """The contract as rows of a snapshot are typed by it."""
    return type(contract.__name__, (contract,), {name: snapshot.fit(*pair) for name, pair in columns.items()})
