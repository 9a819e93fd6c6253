"""Accounts, items and invoices, each once. Of several contents the greatest counts, by its values in their order."""

import polars as pl

from pipeline.datasets import Contract, Date, Decimal, Int, Text, dataset, expression, latest

from . import sources

_ONE_CONTENT = expression(
    "one_content", pl.col("contents") == 1, columns=["contents"], action="warn", dimension="uniqueness"
)


def _once(rows: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """One row for each key, whatever the order of rows: the greatest by its other columns, in which null comes first.

    ``contents`` counts the different rows of the key.
    """
    values = [name for name in rows.collect_schema() if name != key]
    contents = pl.len().over(key).cast(pl.Int64).alias("contents")
    return latest(rows.unique().with_columns(contents), key=[key], order=values)


class Customer(Contract):
    """An account without what names anyone."""

    account_id = Text("id of the account")
    joining_date = Date("day on which the account was opened; of several the last", nullable=True)
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
    return _once(accounts.select("account_id", "joining_date"), "account_id")


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
    return _once(invoices, "invoice_id")
