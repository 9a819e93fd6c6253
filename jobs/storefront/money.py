"""Amounts: exact prices become whole minor units of their currency, and those of another by the rate of a day."""

import datetime as dt

import polars as pl

from pipeline.datasets import Contract, Date, Int, Money, Text, dataset, latest

CURRENCIES = ("USD", "EUR", "JPY")
"""Currencies in which totals of orders are told. The first one is that of the reports and of the rates."""
REPORT = CURRENCIES[0]
_NANO = 10**9
_SCALE = 10**4
"""Prices are exact to this part of a unit."""


def whole_minor(amount: str, quantity: str | None = None) -> pl.Expr:
    """A price (Decimal of 4 digits), times a quantity, in minor units of its currency (Int64), rounded once, half up.

    The column ``minor_units`` has how many of them are one unit.
    """
    exact = pl.col(amount).to_physical() * (pl.col(quantity).cast(pl.Int128) if quantity else 1)
    return half_up(exact * pl.col("minor_units"), pl.lit(_SCALE, pl.Int128))


def converted(minor: pl.Expr, to: str) -> pl.Expr:
    """Minor units of an order's currency in those of ``to`` (Int64) by the rates of its day, rounded half up.

    The columns are those of ``day_rates``; null where there is no rate.
    """
    value = minor.cast(pl.Int128) * pl.col("rate_nano") * minor_units(to)
    return half_up(value, pl.col(rate_of(to)).cast(pl.Int128) * pl.col("minor_units"))


def half_up(number: pl.Expr, by: pl.Expr) -> pl.Expr:
    """Int128 divided by a positive Int128, rounded half up (away from zero), as Int64."""
    return (number.sign() * ((number.abs() * 2 + by) // (by * 2))).cast(pl.Int64)


def minor_units(currency: str) -> int:
    """How many minor units are one unit: 100 cents are a dollar."""
    return int(10 ** Money(currency=currency).exponent)


def rate_of(currency: str) -> str:
    """The column of ``day_rates`` that has the rate of one of ``CURRENCIES``."""
    return f"{currency.lower()}_nano"


class DayRate(Contract):
    """What a currency was worth on a day."""

    day = Date("day of an order")
    currency = Text("its currency")
    minor_units = Int("how many minor units are one unit of the currency: 100, 1, 1000")
    rate_nano = Int("one unit of the currency in billionths of a USD; null: nobody told", nullable=True)
    usd_nano = Int("one USD in billionths of a USD")
    eur_nano = Int("one EUR in billionths of a USD", nullable=True)
    jpy_nano = Int("one JPY in billionths of a USD", nullable=True)


@dataset(
    DayRate,
    layer="silver",
    grain="one row per day and currency with orders",
    by="day",
    keyed={"clean_orders": ["currency"]},
    whole=["exchange_rate"],
    key=("day", "currency"),
)
def day_rates(clean_orders: pl.LazyFrame, exchange_rate: pl.LazyFrame) -> pl.LazyFrame:
    """The rates that held on the days of orders: of each currency the last one until that day. A rate of 0 or below is
    none, and no earlier one takes its place."""
    nano = pl.col("rate").to_physical().cast(pl.Int64)
    told = exchange_rate.filter(pl.col("currency") != REPORT).select(
        "currency", "valid_from", pl.when(nano > 0).then(nano).alias("nano")
    )
    one = {"currency": [REPORT], "valid_from": [dt.date.min], "nano": [_NANO]}
    own = pl.LazyFrame(one, schema={"currency": pl.String, "valid_from": pl.Date, "nano": pl.Int64})
    rates = pl.concat([latest(told, key=["currency", "valid_from"], order=["nano"]), own]).sort("valid_from")
    found = clean_orders.select("day", "currency").unique()
    for column, currency in {
        "rate_nano": pl.col("currency"),
        **{rate_of(one): pl.lit(one) for one in CURRENCIES},
    }.items():
        found = (
            found.with_columns(currency.alias("_of")).sort("day")
            .join_asof(rates.rename({"nano": column}), left_on="day", right_on="valid_from", by_left="_of",
                       by_right="currency", strategy="backward", check_sortedness=False)
            .drop("_of", "valid_from")
        )  # fmt: skip
    units = pl.col("currency").map_elements(minor_units, return_dtype=pl.Int64)
    return found.with_columns(units.alias("minor_units"))
