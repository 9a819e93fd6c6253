"""Clean tables: one row is one thing."""

import polars as pl

from pipeline.datasets import Contract, Date, Int, Money, Text, at_least, dataset, exact_product


class Line(Contract):
    """Order lines."""

    order_id = Text("id of the order")
    day = Date("day of the order")
    product_id = Text("what was bought")
    quantity = Int("pieces")
    revenue_cents = Money("quantity times price", currency="EUR", unit="EUR cents")


@dataset(
    Line,
    layer="silver",
    grain="one row per order and product",
    by="order_id",
    key=("order_id", "product_id"),
    checks=[at_least("quantity", 1)],
)
def lines(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Order lines, each once."""
    return orders.unique().select(
        "order_id",
        "day",
        "product_id",
        "quantity",
        exact_product("quantity", "unit_price_cents").alias("revenue_cents"),
    )
