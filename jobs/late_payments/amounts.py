"""Lines of invoices with their prices, and what the invoices come to."""

import polars as pl

from pipeline.datasets import (
    Contract,
    Decimal,
    Int,
    Money,
    Text,
    dataset,
    expression,
    not_null,
    reference,
)

_NANO_OF_A_CENT = 10_000_000
"""Units of 10^-9, which prices have, in a cent."""
_MOST_NANO = (2**63 - 1) * _NANO_OF_A_CENT
"""The largest amount of an item of an invoice: as many cents as 64 bits hold. Sums of such amounts fit into 128."""
_PRICE_BANDS = {"pieces_below_10": (0, 10), "pieces_10_to_100": (10, 100), "pieces_from_100": (100, None)}
"""Pieces of an invoice by retail price of the piece: from, and below."""


class PricedLine(Contract):
    """A line of an invoice with its price."""

    invoice_id = Text("id of the invoice")
    item_id = Text("what was sold")
    quantity = Int(
        "pieces, over all lines of the invoice with this item; null: one lacks them, or 64 bits do not hold them",
        unit="pieces", nullable=True,
    )  # fmt: skip
    item_retail_price = Decimal("price of a piece; null: there is no such item", scale=9, nullable=True)


@dataset(
    PricedLine,
    layer="silver",
    grain="one row per invoice and item",
    by="invoice_id",
    keyed=["invoice_line_items"],
    whole={"items": ["item_retail_price"]},
    lookup={"items": "item_id"},
    key=("invoice_id", "item_id"),
    checks=[reference("item_id", to="items", action="warn"), not_null("quantity", action="warn")],
)
def priced_lines(invoice_line_items: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """Pieces of each item of an invoice. Lines of unknown items stay: without them a total would be too low."""
    pieces = invoice_line_items.group_by("invoice_id", "item_id").agg(
        _sum_if_known(pl.col("quantity")).alias("quantity")
    )
    return pieces.join(items, on="item_id", how="left", validate="m:1")


class InvoiceTotal(Contract):
    """What an invoice comes to."""

    invoice_id = Text("id of the invoice")
    total_cents = Money(
        "retail price times quantity, added up exactly and rounded once, half up; null: unknown_items is not 0",
        unit="cents", nullable=True,
    )  # fmt: skip
    item_count = Int("pieces; null: a line lacks them, or 64 bits do not hold them", unit="pieces", nullable=True)
    distinct_items = Int("different items")
    unknown_items = Int("of these, without a known amount: price or pieces are not known, or 64 bits do not hold one")
    pieces_below_10 = Int("pieces with a price below 10; null: unknown_items is not 0", unit="pieces", nullable=True)
    pieces_10_to_100 = Int("pieces with a price from 10 to below 100; null likewise", unit="pieces", nullable=True)
    pieces_from_100 = Int("pieces with a price of 100 or more; null likewise", unit="pieces", nullable=True)


@dataset(
    InvoiceTotal,
    layer="silver",
    grain="one row per invoice that has lines",
    by="invoice_id",
    key="invoice_id",
    checks=[
        expression(
            "all_items_known", pl.col("unknown_items") == 0, columns=["unknown_items"], action="warn",
            dimension="completeness",
        )
    ],
)  # fmt: skip
def invoice_totals(priced_lines: pl.LazyFrame) -> pl.LazyFrame:
    """Amount, pieces and product mix of each invoice; nothing is guessed where one of its items is unknown."""
    price, quantity = pl.col("item_retail_price"), pl.col("quantity")
    bands = {
        name: _sum_if_known(quantity.filter(price >= low, price < high if high else pl.lit(True)))
        for name, (low, high) in _PRICE_BANDS.items()
    }
    nano = pl.col("_nano")
    sums = priced_lines.with_columns(_amount().alias("_nano")).group_by("invoice_id").agg(
        _round_half_up(nano.sum()).cast(pl.Int64, strict=False).alias("total_cents"),
        _sum_if_known(quantity).alias("item_count"),
        pl.len().cast(pl.Int64).alias("distinct_items"),
        nano.null_count().cast(pl.Int64).alias("unknown_items"),
        **bands,
    )  # fmt: skip
    fits = pl.all_horizontal(pl.col("total_cents", "item_count", *bands).is_not_null())
    unknown = pl.when(fits | (pl.col("unknown_items") > 0)).then("unknown_items").otherwise("distinct_items")
    return sums.with_columns(unknown.alias("unknown_items")).with_columns(
        pl.when(pl.col("unknown_items") == 0).then(name).alias(name) for name in ("total_cents", *bands)
    )


def _amount() -> pl.Expr:
    """Price times quantity in units of 10^-9 (Int128); null where one of both is, or beyond ``_MOST_NANO``."""
    price = pl.col("item_retail_price").to_physical().cast(pl.Int128)
    quantity = pl.col("quantity").cast(pl.Int128)
    most = pl.lit(_MOST_NANO, pl.Int128) // pl.max_horizontal(quantity.abs(), pl.lit(1, pl.Int128))
    return pl.when(price.abs() <= most).then(price * quantity)


def _sum_if_known(numbers: pl.Expr) -> pl.Expr:
    """The sum of whole numbers; null where one of them is, or where 64 bits do not hold it."""
    return pl.when(numbers.null_count() == 0).then(numbers.cast(pl.Int128).sum().cast(pl.Int64, strict=False))


def _round_half_up(nano: pl.Expr) -> pl.Expr:
    """Units of 10^-9 (Int128) to cents, half away from zero."""
    half = pl.lit(_NANO_OF_A_CENT // 2, pl.Int128)
    return nano.sign() * ((nano.abs() + half) // pl.lit(_NANO_OF_A_CENT, pl.Int128))
