"""Facts: orders and their lines with exact amounts, and clicks with the sessions that they make up."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from pipeline.datasets import (
    UNKNOWN,
    Bool,
    Contract,
    Date,
    Int,
    Money,
    Text,
    Time,
    as_of_join,
    conserves,
    dataset,
    expression,
    not_null,
    reference,
    surrogate_key,
)

from .cleaned import CleanClick
from .money import CURRENCIES, REPORT, converted, whole_minor

_MINOR = "minor units of the order's currency"


def version_columns(kind: str) -> list[str]:
    """The columns of a dimension that tell which version of a buyer or seller held when."""
    return [f"{kind}_id", f"{kind}_key", "valid_from", "valid_to", "is_current"]


def _known(key: str) -> Any:
    """A check that counts rows whose member the shop does not have."""
    return expression(key, pl.col(key) != UNKNOWN, columns=[key], action="warn", dimension="consistency")


class FactOrder(Contract):
    """Orders by their headers."""

    order_id = Int("id of the order")
    buyer_id = Int("who bought", nullable=True)
    buyer_key = Int("version of the buyer that held at the time of the order; -1: the shop has none")
    ordered_at = Time("when")
    day = Date("day of the order in the zone of the job")
    status = Text("what became of it")
    counts = Bool("whether it counts as revenue")
    currency = Text("currency of the order")
    minor_units = Int("how many minor units are one unit of the currency")
    rate_nano = Int("one unit of the currency in billionths of a USD, on the day of the order", nullable=True)
    total_minor = Int("total by the header", unit=_MINOR)
    total_usd = Money("the same by the rates of the day", currency="USD", unit="USD cents", nullable=True)
    total_eur = Money("the same; null: no rate", currency="EUR", unit="EUR cents", nullable=True)
    total_jpy = Money("the same; null: no rate", currency="JPY", unit="JPY", nullable=True)


@dataset(
    FactOrder,
    layer="silver",
    grain="one row per order",
    by="order_id",
    keyed=["clean_orders"],
    whole={"dim_buyer": version_columns("buyer")},
    lookup={"day_rates": ("day", "currency"), "dim_buyer": "buyer_id"},
    key="order_id",
    partition_by="day",
    checks=[not_null("rate_nano"), _known("buyer_key")],
)
def fact_orders(clean_orders: pl.LazyFrame, day_rates: pl.LazyFrame, dim_buyer: pl.LazyFrame) -> pl.LazyFrame:
    """Orders with their totals in several currencies. Those whose currency has no rate are in the quarantine."""
    priced = clean_orders.join(day_rates, on=["day", "currency"], how="left", validate="m:1")
    totals = priced.with_columns(whole_minor("total").alias("total_minor"))
    bought = _with_key(totals, dim_buyer, "buyer")
    amounts = [converted(pl.col("total_minor"), to).alias(f"total_{to.lower()}") for to in CURRENCIES]
    return bought.with_columns(amounts).select(list(FactOrder.columns))


def _with_key(facts: pl.LazyFrame, members: pl.LazyFrame, kind: str) -> pl.LazyFrame:
    """Facts with the key of the version of their buyer or seller that held at ``ordered_at``."""
    versions = members.select(version_columns(kind))
    found = as_of_join(facts, versions, on=f"{kind}_id", at="ordered_at", early=True)
    return found.with_columns(pl.col(f"{kind}_key").fill_null(UNKNOWN))


class FactOrderItem(Contract):
    """Lines of orders with their amounts."""

    order_item_id = Int("id of the line")
    order_id = Int("its order")
    product_id = Int("what was bought", nullable=True)
    seller_id = Int("of whom", nullable=True)
    seller_key = Int("version of the seller that held at the time of the order; -1: the shop has none")
    buyer_id = Int("who bought", nullable=True)
    buyer_key = Int("version of the buyer that held at the time of the order", nullable=True)
    ordered_at = Time("when", nullable=True)
    day = Date("day of the order in the zone of the job", nullable=True)
    counts = Bool("whether the order counts as revenue", nullable=True)
    currency = Text("currency of the order", nullable=True)
    quantity = Int("pieces")
    gross_minor = Int("price times quantity, with tax", unit=_MINOR, nullable=True)
    tax_minor = Int("tax times quantity", unit=_MINOR, nullable=True)
    net_minor = Int("gross less tax", unit=_MINOR, nullable=True)
    gross_cents = Money("gross by the rate of the day", unit="USD cents", nullable=True)
    tax_cents = Money("tax by the rate of the day", unit="USD cents", nullable=True)
    net_cents = Money("gross_cents less tax_cents", unit="USD cents", nullable=True)
    revenue_cents = Money("net_cents; 0 where the order does not count", unit="USD cents", nullable=True)


@dataset(
    FactOrderItem,
    layer="silver",
    grain="one row per order line",
    by="order_id",
    keyed={
        "clean_order_items": ["order_item_id", "product_id", "seller_id", "quantity", "base_price", "tax"],
        "fact_orders": [
            "buyer_id", "buyer_key", "ordered_at", "day", "counts", "currency", "minor_units", "rate_nano",
        ],
    },
    whole={"dim_seller": version_columns("seller")},
    lookup={"dim_seller": "seller_id"},
    key="order_item_id",
    partition_by="day",
    checks=[
        reference("order_id", to="fact_orders"),
        _known("seller_key"),
        conserves("quantity", source="clean_order_items"),
    ],
)  # fmt: skip
def fact_order_items(
    clean_order_items: pl.LazyFrame, fact_orders: pl.LazyFrame, dim_seller: pl.LazyFrame
) -> pl.LazyFrame:
    """Lines with amounts in two currencies: the order's and the report's. Without an order: in the quarantine."""
    lines = clean_order_items.join(fact_orders, on="order_id", how="left", validate="m:1")
    lines = lines.with_columns(
        whole_minor("base_price", "quantity").alias("gross_minor"), whole_minor("tax", "quantity").alias("tax_minor")
    )
    lines = lines.with_columns(pl.lit(10**9, pl.Int64).alias("usd_nano")).with_columns(
        (pl.col("gross_minor") - pl.col("tax_minor")).alias("net_minor"),
        converted(pl.col("gross_minor"), REPORT).alias("gross_cents"),
        converted(pl.col("tax_minor"), REPORT).alias("tax_cents"),
    )
    net = pl.col("gross_cents") - pl.col("tax_cents")
    revenue = pl.when("counts").then(net).otherwise(0)
    amounts = lines.with_columns(net.alias("net_cents"), revenue.alias("revenue_cents"))
    return _with_key(amounts, dim_seller, "seller").select(list(FactOrderItem.columns))


class FactClick(CleanClick):
    """Events of the pages, with the sessions that they make up."""

    session_key = Int("key of the session; null: nobody signed in", nullable=True)
    session_number = Int("number of the session among those of the person", nullable=True)
    event_number = Int("number of the event in its session", nullable=True)


@dataset(
    FactClick,
    layer="silver",
    grain="one row per event",
    by="visitor",
    keyed=["clean_clicks"],
    key="event_id",
    partition_by="day",
)
def fact_clickstream(clean_clicks: pl.LazyFrame, settings: Mapping[str, Any]) -> pl.LazyFrame:
    """Events of the pages. A session of a person ends where nothing happens for longer than the gap of the job."""
    pause, before = pl.col("event_at").diff(), pl.col("visitor").shift(1)
    begins = (pl.col("visitor") != before).fill_null(True) | (
        pause > pl.duration(minutes=settings["session_gap_minutes"])
    )
    counted = (
        clean_clicks.sort("visitor", "event_at", "event_id")
        .with_columns(begins.cast(pl.Int64).cum_sum().alias("_session"), pl.int_range(pl.len()).alias("_event"))
        .with_columns(pl.col("event_at").min().over("_session").alias("_since"))
    )
    numbers = {
        "session_key": surrogate_key("user_id", "_since"),
        "session_number": pl.col("_session") - pl.col("_session").min().over("visitor") + 1,
        "event_number": pl.col("_event") - pl.col("_event").min().over("_session") + 1,
    }
    signed_in = pl.col("user_id").is_not_null()
    found = counted.with_columns(pl.when(signed_in).then(number).alias(name) for name, number in numbers.items())
    return found.drop("_session", "_since", "_event")
