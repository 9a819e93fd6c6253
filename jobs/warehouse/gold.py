"""Tables that people look at: sales by month, customer and product."""

import polars as pl

from pipeline.datasets import Contract, Date, Float, Int, Money, Text, conserves, dataset, exact_sum

_AMOUNTS = ("net_cents", "profit_cents")
_SUMS = tuple(exact_sum(name) for name in ("quantity", *_AMOUNTS))
"""What any number of sales come to."""
_ORDERS = pl.col("order_id").n_unique().alias("orders")


class MonthlySales(Contract):
    """Sales of a month."""

    year = Int("year")
    month = Int("month")
    orders = Int("orders with at least one line")
    customers = Int("customers who bought; those without an id count as one")
    quantity = Int("pieces")
    net_cents = Money("net sales", unit="cents")
    profit_cents = Money("profit of the lines whose cost is known", unit="cents")
    mean_order_cents = Float("net sales by orders", unit="cents")


@dataset(
    MonthlySales,
    grain="one row per month with sales",
    by=("year", "month"),
    keyed={"fact_sales": ["order_id", "customer_durable_key", "quantity", *_AMOUNTS]},
    key=("year", "month"),
    checks=[conserves("net_cents", source="fact_sales"), conserves("quantity", source="fact_sales")],
)
def monthly_sales(fact_sales: pl.LazyFrame) -> pl.LazyFrame:
    """Orders, customers and amounts of each month."""
    sums = fact_sales.group_by("year", "month").agg(
        _ORDERS,
        *_SUMS,
        pl.col("customer_durable_key").n_unique().alias("customers"),
    )
    return sums.with_columns(_mean("net_cents", "orders").alias("mean_order_cents"))


def _mean(total: str, count: str) -> pl.Expr:
    """One division of two exact sums; column by column, which Polars computes exactly."""
    return pl.col(total).cast(pl.Float64) / pl.col(count).cast(pl.Float64)


class CustomerMetrics(Contract):
    """What a customer bought."""

    customer_durable_key = Int("the customer; -1: orders that name none")
    customer_id = Text("id of the customer", nullable=True)
    segment = Text("by what was bought: vip, regular, occasional")
    city = Text("town of the current version", nullable=True)
    orders = Int("orders")
    quantity = Int("pieces")
    net_cents = Money("net sales", unit="cents")
    profit_cents = Money("profit of the lines whose cost is known", unit="cents")
    mean_order_cents = Float("net sales by orders", unit="cents")
    first_order = Int("day of the first order, as in dim_date")
    last_order = Int("day of the last order, as in dim_date")


@dataset(
    CustomerMetrics,
    grain="one row per customer who bought",
    by="customer_durable_key",
    keyed={
        "fact_sales": ["order_id", "date_key", "quantity", *_AMOUNTS],
        "dim_customer": ["customer_id", "segment", "city", "is_current"],
    },
    key="customer_durable_key",
    checks=[conserves("net_cents", source="fact_sales")],
)
def customer_metrics(fact_sales: pl.LazyFrame, dim_customer: pl.LazyFrame) -> pl.LazyFrame:
    """Orders and amounts of each customer."""
    # Orders are put together first: faster than to count different texts in very many groups.
    first, last = pl.col("date_key").min().alias("first_order"), pl.col("date_key").max().alias("last_order")
    orders = fact_sales.group_by("customer_durable_key", "order_id").agg(*_SUMS, first, last)
    sums = orders.group_by("customer_durable_key").agg(
        pl.len().alias("orders"), *_SUMS, pl.col("first_order").min(), pl.col("last_order").max()
    )
    current = dim_customer.filter("is_current").select("customer_durable_key", "customer_id", "segment", "city")
    return sums.join(current, on="customer_durable_key", how="left", validate="1:1").with_columns(
        _mean("net_cents", "orders").alias("mean_order_cents")
    )


class ProductPerformance(Contract):
    """How a product sold."""

    product_durable_key = Int("the product; -1: lines that name none")
    product_id = Text("id of the product", nullable=True)
    product_name = Text("what people call it", nullable=True)
    category = Text("category of the current version", nullable=True)
    orders = Int("orders with the product")
    quantity = Int("pieces")
    net_cents = Money("net sales", unit="cents")
    profit_cents = Money("profit of the lines whose cost is known", unit="cents")
    first_sold = Date("day of the first sale")
    last_sold = Date("day of the last sale")


@dataset(
    ProductPerformance,
    grain="one row per product that was sold",
    by="product_durable_key",
    keyed={
        "fact_sales": ["order_id", "date_key", "quantity", *_AMOUNTS],
        "dim_product": ["product_id", "product_name", "category", "is_current"],
    },
    key="product_durable_key",
    checks=[conserves("net_cents", source="fact_sales")],
)
def product_performance(fact_sales: pl.LazyFrame, dim_product: pl.LazyFrame) -> pl.LazyFrame:
    """Pieces and amounts of each product."""
    sums = fact_sales.group_by("product_durable_key").agg(
        _ORDERS,
        *_SUMS,
        _day(pl.col("date_key").min()).alias("first_sold"),
        _day(pl.col("date_key").max()).alias("last_sold"),
    )
    current = dim_product.filter("is_current").select("product_durable_key", "product_id", "product_name", "category")
    return sums.join(current, on="product_durable_key", how="left", validate="1:1")


def _day(date_key: pl.Expr) -> pl.Expr:
    return pl.date(date_key // 10_000, date_key // 100 % 100, date_key % 100)
