"""Stock, sales and customers of each product together, and the proof that nothing counts twice."""

import polars as pl

from pipeline.datasets import Contract, Float, Int, Money, Text, conserves, dataset, exact_sum, expression


class BusinessInsights(Contract):
    """A product: its stock, sales and customers."""

    product_id = Text("id of the product")
    product_name = Text("what people call it", nullable=True)
    category = Text("category", nullable=True)
    abc_class = Text("class by revenue in the window: A, B or C")
    locations = Int("locations that have it")
    locations_to_restock = Int("of these, those where more is needed")
    stock_quantity = Int("pieces in all locations")
    stock_value_cents = Money("stock times cost; null: the cost is unknown", unit="cents", nullable=True)
    restock_quantity = Int("pieces that are missing, location by location")
    overstock_quantity = Int("pieces that are too many, location by location")
    lowest_score = Float("the lowest score of its locations; null: none has one", nullable=True)
    buyers = Int("customers who bought it; one who bought two products is in both rows")
    pieces = Int("pieces that were ever sold")
    revenue_cents = Money("what they brought", unit="cents")
    vip_revenue_cents = Money("the part of VIPs", unit="cents")
    window_pieces = Int("pieces that were sold in the window")
    turnover = Float("pieces sold in the window by pieces in stock now; null: there is no stock", nullable=True)
    days_of_supply = Float("days that the stock lasts at the demand of the window; null: there is none", nullable=True)


_STOCK = ("quantity", "restock_quantity", "overstock_quantity")
_OF_PRODUCT = (
    "product_id", "product_name", "category", "abc_class", "locations", "stock_quantity", "stock_value_cents",
    "window_pieces", "turnover", "days_of_supply",
)  # fmt: skip


@dataset(
    BusinessInsights,
    grain="one row per product that is known, in stock or was sold",
    by="product_id",
    keyed={
        "turnover": [*_OF_PRODUCT, "pieces", "revenue_cents"],
        "inventory_analytics": [*_STOCK, "value_cents", "score"],
        "customer_products": ["customer_id", "is_vip", "pieces", "revenue_cents"],
    },
    key="product_id",
    checks=[
        conserves("stock_quantity", source="inventory_analytics", column="quantity"),
        conserves("stock_value_cents", source="inventory_analytics", column="value_cents"),
        conserves("restock_quantity", source="inventory_analytics"),
        conserves("overstock_quantity", source="inventory_analytics"),
        conserves("pieces", source="customer_products"),
        conserves("revenue_cents", source="customer_products"),
        conserves("pieces", source="turnover"),
        conserves("revenue_cents", source="turnover"),
        conserves("stock_quantity", source="turnover"),
    ],
)
def business_insights(
    turnover: pl.LazyFrame, inventory_analytics: pl.LazyFrame, customer_products: pl.LazyFrame
) -> pl.LazyFrame:
    """Stock, sales and customers of each product: each side is added up to products before they are joined."""
    held = inventory_analytics.group_by("product_id").agg(
        (pl.col("restock_quantity") > 0).sum().alias("locations_to_restock"),
        pl.col("restock_quantity", "overstock_quantity").sum(), pl.col("score").min().alias("lowest_score"),
    )  # fmt: skip
    sold = customer_products.group_by("product_id").agg(
        pl.col("customer_id").count().alias("buyers"), pl.col("pieces", "revenue_cents").sum(),
        pl.col("revenue_cents").filter("is_vip").sum().alias("vip_revenue_cents"),
    )  # fmt: skip
    joined = turnover.select(_OF_PRODUCT)
    for part in (held, sold):
        joined = joined.join(part, on="product_id", how="left", validate="1:1")
    counts = ("locations_to_restock", "buyers", "pieces", "revenue_cents", "vip_revenue_cents")
    return joined.with_columns(pl.col(*counts, "restock_quantity", "overstock_quantity").fill_null(0))


class InsightTotal(Contract):
    """A sum of a table, and what it must be."""

    measure = Text("what is added up")
    table = Text("the table")
    total = Int("its sum")
    expected = Int("the sum of the table that it must equal")
    expected_of = Text("the name of that table")


_EQUAL = {
    ("business_insights", "stock_quantity"): {"warehouse_utilisation": "quantity"},
    ("business_insights", "stock_value_cents"): {"warehouse_utilisation": "value_cents"},
    ("business_insights", "restock_quantity"): {"warehouse_utilisation": "restock_quantity"},
    ("business_insights", "overstock_quantity"): {"warehouse_utilisation": "overstock_quantity"},
    ("business_insights", "pieces"): {"customer_segments": "pieces", "sales_analytics": "pieces"},
    ("business_insights", "revenue_cents"): {
        "customer_segments": "spending_cents", "sales_analytics": "revenue_cents", "peak_hours": "revenue_cents",
    },
    ("sales_analytics", "orders"): {"customer_segments": "orders", "peak_hours": "orders"},
}  # fmt: skip
"""By table and column, the columns of other tables with the same sum."""


@dataset(
    InsightTotal,
    grain="one row per measure and table that has it, too",
    whole={
        "business_insights": [column for table, column in _EQUAL if table == "business_insights"],
        **{
            name: [column for others in _EQUAL.values() for table, column in others.items() if table == name]
            for name in ("warehouse_utilisation", "customer_segments", "peak_hours")
        },
        "sales_analytics": ["orders", "pieces", "revenue_cents"],
    },
    key=("measure", "table"),
    checks=[expression("same_total", pl.col("total") == pl.col("expected"), columns=("total",), action="fail")],
)
def insight_totals(
    business_insights: pl.LazyFrame,
    warehouse_utilisation: pl.LazyFrame,
    customer_segments: pl.LazyFrame,
    sales_analytics: pl.LazyFrame,
    peak_hours: pl.LazyFrame,
) -> pl.LazyFrame:
    """The gate: tables of different grains add up to the same sums, or nothing is published."""
    tables = {
        "business_insights": business_insights, "warehouse_utilisation": warehouse_utilisation,
        "customer_segments": customer_segments, "sales_analytics": sales_analytics, "peak_hours": peak_hours,
    }  # fmt: skip
    rows = [
        tables[other].select(
            pl.lit(measure).alias("measure"), pl.lit(other).alias("table"), exact_sum(column).alias("total")
        ).with_columns(pl.lit(name).alias("expected_of"))
        .join(tables[name].select(exact_sum(measure).alias("expected")), how="cross")
        for (name, measure), others in _EQUAL.items()
        for other, column in others.items()
    ]  # fmt: skip
    return pl.concat(rows)
