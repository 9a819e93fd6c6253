"""Accounts, items and invoices, each once. Of several contents that of the earliest day counts, as later ones would let
the future change what was known; of these the greatest, by its values in their order."""

import polars as pl

from pipeline.datasets import Contract, Date, Decimal, Int, Text, dataset, expression, latest

from . import sources

_ONE_CONTENT = expression(
    "one_content", pl.col("contents") == 1, columns=["contents"], action="warn", dimension="uniqueness"
)


def _once(rows: pl.LazyFrame, key: str, day: str | None = None) -> pl.LazyFrame:
    """One row for each key, whatever the order of rows: of the earliest ``day`` if there is one, then the greatest by
    its other columns, in which null comes first.

    ``contents`` counts the different rows of the key.
    """
    values = [name for name in rows.collect_schema() if name != key]
    contents = pl.len().over(key).cast(pl.Int64).alias("contents")
    earlier = (-pl.col(day).cast(pl.Int32) if day else pl.lit(0)).alias("_earlier")
    marked = rows.unique().with_columns(contents, earlier)
    return latest(marked, key=[key], order=["_earlier", *values]).drop("_earlier")


class Customer(Contract):
    """An account without what names anyone."""

    account_id = Text("id of the account")
    joining_date = Date("day on which the account was opened; of several the first", nullable=True)
    contents = Int("how many different days the books have, null among them")


@dataset(
    Customer,
    layer="silver",
    grain="one row per account",
    by="account_id",
    keyed={"accounts": ["joining_date"]},
    key="account_id",
    checks=[_ONE_CONTENT],
)
def customers(accounts: pl.LazyFrame) -> pl.LazyFrame:
    """Accounts, each once."""
    return _once(accounts.select("account_id", "joining_date"), "account_id", "joining_date")


class Item(Contract):
    """What is sold."""

    item_id = Text("id of the item")
    item_retail_price = Decimal("price of a piece; of several the highest", scale=9)
    contents = Int("how many different prices the books have")


@dataset(
    Item,
    layer="silver",
    grain="one row per item",
    by="item_id",
    keyed={"skus": ["item_retail_price"]},
    key="item_id",
    checks=[_ONE_CONTENT],
)
def items(skus: pl.LazyFrame) -> pl.LazyFrame:
    """Items, each once."""
    return _once(skus.select("item_id", "item_retail_price"), "item_id")


class InvoiceHeader(sources.Invoices):
    """An invoice as the books have it."""

    contents = Int("how many different rows of it the books have")


@dataset(
    InvoiceHeader,
    layer="silver",
    grain="one row per invoice",
    by="invoice_id",
    key="invoice_id",
    checks=[_ONE_CONTENT],
)
def invoice_headers(invoices: pl.LazyFrame) -> pl.LazyFrame:
    """Invoices, each once."""
    return _once(invoices, "invoice_id", "issued_on")
