"""A contract: the columns of a table, in their order, with types, units and descriptions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import polars as pl

from pipeline.errors import ConfigError, LogmillError
from pipeline.sources.columns import Column, Float

SOURCE_FACTS: Mapping[str, pl.DataType] = {
    "_source": pl.String(),
    "_extracted_at": pl.Datetime("us"),
    "_run": pl.String(),
}
"""Columns that extraction adds to the rows of a source, and their types."""


class ContractError(LogmillError):
    """The result of a transform is not what its contract declares."""


class Contract:
    """The columns of a table: a subclass lists them as attributes.

    class Orders(Contract):
        order_id = Text("id of the order")
        price_cents = Money("price of one piece", currency="EUR")
    """

    columns: ClassVar[Mapping[str, Column]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Column)}
        if wrong := [name for name in own if name in SOURCE_FACTS]:
            raise ConfigError(f"{cls.__name__} declares {wrong[0]}, which extraction adds itself. Rename the column.")
        if wrong := [name for name, column in own.items() if column.forget == "value" and not column.may_be_null]:
            raise ConfigError(
                f"{cls.__name__} declares {wrong[0]} with forget='value', which makes it null: add nullable=True, or "
                "say forget='row'."
            )
        cls.columns = {**cls.columns, **own}

    @classmethod
    def renamed(cls, column: str, called: str) -> "type[Contract]":
        """This contract, with a column that is read from another one of a source."""
        return type(cls.__name__, (cls,), {column: replace(cls.columns[column], read_from=called)})

    @classmethod
    def schema(cls) -> dict[str, pl.DataType]:
        """The types of the columns as they are stored."""
        return {name: column.dtype for name, column in cls.columns.items()}


def conform(result: pl.LazyFrame, contract: type[Contract], table: str) -> pl.LazyFrame:
    """Cast a result to its contract, with the columns in the contract's order.

    Raises ContractError where a column is missing, is not declared, or has a type that cannot become the declared one.
    """
    found = result.collect_schema()
    missing = [name for name in contract.columns if name not in found]
    further = [name for name in found if name not in contract.columns]
    if missing or further:
        told = [f"it lacks {', '.join(missing)}"] * bool(missing) + [f"it also has {', '.join(further)}"] * bool(
            further
        )
        raise ContractError(
            f"{table}: the result is not what {contract.__name__} declares: {'; '.join(told)}. Add or drop the columns "
            "in the transform, or declare them."
        )
    for name, column in contract.columns.items():
        if not column.casts(found[name]):
            raise ContractError(
                f"{table}: column {name} is {found[name]}, and {contract.__name__} declares "
                f"{type(column).__name__} ({column.dtype}). Cast it in the transform."
            )
    return result.select(_stored(name, column, found[name]) for name, column in contract.columns.items())


def _stored(name: str, column: Column, found: pl.DataType) -> pl.Expr:
    """A column as it is stored. What a cast would lose, such as NaN, becomes an error of the cast or null."""
    value = pl.col(name)
    if found != column.dtype:
        value = value.cast(column.dtype)
    return value.fill_nan(None) if isinstance(column, Float) else value
