"""Tables that people look at."""

import polars as pl

from pipeline.datasets import Contract, Date, Int, Money, Text, conserves, dataset, reference


class DailySales(Contract):
    """Sales of a day."""

    day = Date("day of the orders")
    orders = Int("orders with at least one line")
    revenue_cents = Money("revenue of the day", currency="EUR", unit="EUR cents")


@dataset(
    DailySales,
    layer="gold",
    grain="one row per day",
    by="day",
    keyed={"lines": ["order_id", "revenue_cents"]},
    key="day",
    checks=[conserves("revenue_cents", source="lines")],
)
def daily_sales(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Orders and revenue of each day."""
    return lines.group_by("day").agg(
        pl.col("order_id").n_unique().alias("orders"),
        pl.col("revenue_cents").sum(),
    )


class ProductSales(Contract):
    """Sales of a product."""

    product_id = Text("id of the product")
    name = Text("what people call it", nullable=True)
    quantity = Int("pieces sold")
    revenue_cents = Money("revenue", currency="EUR", unit="EUR cents")


@dataset(
    ProductSales,
    layer="gold",
    grain="one row per product that was sold",
    by="product_id",
    key="product_id",
    checks=[reference("product_id", to="products", action="warn"), conserves("revenue_cents", source="lines")],
)
def product_sales(lines: pl.LazyFrame, products: pl.LazyFrame) -> pl.LazyFrame:
    """Pieces and revenue of each product."""
    sums = lines.group_by("product_id").agg(pl.col("quantity").sum(), pl.col("revenue_cents").sum())
    return sums.join(products, on="product_id", how="left", validate="1:1")
