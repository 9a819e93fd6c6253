"""Customers, products, locations and stock: each once, as the shop knows them now."""

import polars as pl

from pipeline.datasets import Contract, Int, Money, Text, Time, at_least, at_most, between, dataset, latest, repeated

from .sources import MOST_CENTS, MOST_PIECES

CHANGED = ("updated_at",)
"""Of several rows of a key the one that was changed last counts."""


class ShopCustomer(Contract):
    """Customers."""

    customer_id = Text("id of the customer", forget="row")
    city = Text("town", nullable=True)
    country = Text("country", nullable=True)


@dataset(ShopCustomer, layer="silver", grain="one row per customer", by="customer_id", key="customer_id")
def shop_customers(customers: pl.LazyFrame) -> pl.LazyFrame:
    """Customers, each once."""
    return latest(customers, key=["customer_id"], order=CHANGED).drop("updated_at")


class ShopProduct(Contract):
    """Products."""

    product_id = Text("id of the product")
    product_name = Text("what people call it", nullable=True)
    category = Text("category", nullable=True)
    price_cents = Money("list price", unit="cents", nullable=True)
    cost_cents = Money("what the shop pays", unit="cents", nullable=True)


@dataset(
    ShopProduct,
    layer="silver",
    grain="one row per product",
    by="product_id",
    key="product_id",
    checks=[between("price_cents", 0, MOST_CENTS), between("cost_cents", 0, MOST_CENTS)],
)
def shop_products(products: pl.LazyFrame) -> pl.LazyFrame:
    """Products, each once."""
    return latest(products, key=["product_id"], order=CHANGED).drop("updated_at")


class ShopLocation(Contract):
    """Locations."""

    location_id = Text("id of the location")
    location_name = Text("what people call it", nullable=True)
    capacity = Int("pieces that it can hold", nullable=True)


@dataset(
    ShopLocation,
    layer="silver",
    grain="one row per location",
    by="location_id",
    key="location_id",
    checks=[at_most("capacity", MOST_PIECES)],
)
def shop_locations(inventory_locations: pl.LazyFrame) -> pl.LazyFrame:
    """Locations, each once; capacities are as the shop says."""
    return latest(inventory_locations, key=["location_id"], order=CHANGED).drop("updated_at")


class Stock(Contract):
    """Stock."""

    product_id = Text("id of the product")
    location_id = Text("id of the location")
    quantity = Int("pieces")
    last_updated = Time("when they were counted last", nullable=True)


@dataset(
    Stock,
    layer="silver",
    grain="one row per product and location",
    by="product_id",
    key=("product_id", "location_id"),
    checks=[at_least("quantity", 0), at_most("quantity", MOST_PIECES), repeated("product_inventory")],
)
def stock(product_inventory: pl.LazyFrame) -> pl.LazyFrame:
    """Stock as it was counted last; of several counts of one moment the greatest."""
    return latest(product_inventory, key=["product_id", "location_id"], order=["last_updated"])
