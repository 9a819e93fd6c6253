"""Dimensions and bridges: buyers and sellers over time, categories, products, and how these are connected."""

from collections.abc import Sequence

import polars as pl

from pipeline.datasets import (
    UNKNOWN,
    Bool,
    Contract,
    Float,
    Int,
    Money,
    Text,
    Time,
    allocate,
    as_of_join,
    dataset,
    expression,
    history,
    latest,
    surrogate_key,
)

from . import sources

UNCATEGORISED = "Uncategorised"
WHOLE = 1_000_000
"""The weights of a product's categories add up to this, in parts per million."""
_PERSON = ("user_name", "email", "phone", "country", "is_active")
_GONE = "is_deleted"
_USER = ("updated_at", _GONE, *_PERSON)
_BUYER, _SELLER = ("user_id", "tier"), ("user_id", "seller_name")


class Member(Contract):
    """What all members have that are people: one row for each version."""

    user_id = Int("the person", nullable=True)
    user_name = Text("name", nullable=True, sensitive="name")
    email = Text("address of electronic mail", nullable=True, sensitive="email")
    phone = Text("number of the telephone", nullable=True, sensitive="phone")
    country = Text("country by ISO 3166", nullable=True)
    is_active = Bool("whether the person may sign in", nullable=True)
    valid_from = Time("since when the version holds")
    valid_to = Time("until when, exclusive; null: until now", nullable=True)
    is_current = Bool("whether it holds now")


class DimBuyer(Member):
    """Buyers over time."""

    buyer_key = Int("key of the version")
    buyer_id = Int("id of the buyer")
    tier = Text("what the shop grants the buyer", nullable=True)


class DimSeller(Member):
    """Sellers over time."""

    seller_key = Int("key of the version")
    seller_id = Int("id of the seller")
    seller_name = Text("name of the business", nullable=True)


@dataset(
    DimBuyer, layer="silver", grain="one row per version of a buyer", by="buyer_id",
    keyed={"buyer": ["updated_at", _GONE, *_BUYER]}, whole={"app_user": _USER}, lookup={"app_user": "user_id"},
    key="buyer_key",
)  # fmt: skip
def dim_buyer(buyer: pl.LazyFrame, app_user: pl.LazyFrame) -> pl.LazyFrame:
    """Buyers and the people that they are: a version for each change of either."""
    return _versions(buyer, app_user, "buyer", _BUYER)


@dataset(
    DimSeller, layer="silver", grain="one row per version of a seller", by="seller_id",
    keyed={"seller": ["updated_at", _GONE, *_SELLER]}, whole={"app_user": _USER}, lookup={"app_user": "user_id"},
    key="seller_key",
)  # fmt: skip
def dim_seller(seller: pl.LazyFrame, app_user: pl.LazyFrame) -> pl.LazyFrame:
    """Sellers and the people that they are: a version for each change of either."""
    return _versions(seller, app_user, "seller", _SELLER)


def _versions(accounts: pl.LazyFrame, users: pl.LazyFrame, kind: str, own: Sequence[str]) -> pl.LazyFrame:
    """The history of accounts of a ``kind`` joined with that of their people, whose columns may change at any time.

    That of an account ends where the shop deletes it; where it deletes the person, the account goes on without one.
    """
    key = f"{kind}_id"
    gone = pl.col(_GONE).fill_null(False)
    account_versions = history(accounts.with_columns(gone), key=key, tracked=[_GONE, *own], valid_from="updated_at")
    user_versions = (
        history(users.with_columns(gone), key="user_id", tracked=[_GONE, *_PERSON], valid_from="updated_at")
        .filter(~pl.col(_GONE))
        .drop(_GONE)
    )
    of_users = accounts.select(key, "user_id").unique().join(users.select("user_id", "updated_at"), on="user_id")
    moments = pl.concat([accounts.select(key, "updated_at"), of_users.select(key, "updated_at")]).unique()
    known = account_versions.with_columns(pl.lit(True).alias("_known"))
    snapshots = as_of_join(moments, known, on=key, at="updated_at").filter("_known")
    joined = as_of_join(snapshots, user_versions, on="user_id", at="updated_at", early=True)
    found = history(joined, key=key, tracked=[_GONE, *own, *_PERSON], valid_from="updated_at")
    return found.filter(~pl.col(_GONE)).drop(_GONE).with_columns(surrogate_key(key, "valid_from").alias(f"{kind}_key"))


class DimCategory(Contract):
    """Categories."""

    category_id = Int("id of the category; -1: products without one")
    category_name = Text("name")
    parent_id = Int("the category that it is a part of", nullable=True)
    parent_name = Text("name of that", nullable=True)


@dataset(DimCategory, layer="silver", grain="one row per category", key="category_id")
def dim_category(category: pl.LazyFrame) -> pl.LazyFrame:
    """Categories with the names of those that they are parts of, and a member for products without a category."""
    once = latest(category, key=["category_id"], order=["updated_at"])
    parents = once.select(pl.col("category_id").alias("parent_id"), pl.col("category_name").alias("parent_name"))
    named = once.select("category_id", "category_name", "parent_id").join(
        parents, on="parent_id", how="left", validate="m:1"
    )
    none = pl.LazyFrame({"category_id": [UNKNOWN], "category_name": [UNCATEGORISED]})
    return pl.concat([named, none], how="diagonal")


class ProductXCategory(Contract):
    """How a product is divided among its categories."""

    product_id = Int("the product")
    category_id = Int("a category that it is in; -1: it is in none")
    category_name = Text("name of the category")
    weight_ppm = Int("its share of the product; those of a product add up to a million", unit="parts per million")


@dataset(
    ProductXCategory,
    layer="silver",
    grain="one row per product and category that it is in",
    by="product_id",
    keyed={"product": ["product_id"], "clean_product_category": ["category_id"]},
    lookup={"dim_category": "category_id"},
    key=("product_id", "category_id"),
    checks=[
        expression(
            "weights_add_up",
            pl.col("weight_ppm").sum().over("product_id") == WHOLE,
            columns=["weight_ppm"],
            action="fail",
        )
    ],
)
def product_x_category(
    product: pl.LazyFrame, clean_product_category: pl.LazyFrame, dim_category: pl.LazyFrame
) -> pl.LazyFrame:
    """Categories of each product with equal weights, whose rest goes to the first ones."""
    names = dim_category.select("category_id", "category_name")
    links = clean_product_category.select("product_id", "category_id").join(names, on="category_id", validate="m:1")
    without = product.select("product_id").unique().join(links, on="product_id", how="anti")
    none = without.with_columns(category_id=pl.lit(UNKNOWN, pl.Int64), category_name=pl.lit(UNCATEGORISED))
    return (
        pl.concat([links, none], how="diagonal")
        .with_columns(whole=pl.lit(WHOLE, pl.Int64), alike=pl.lit(1, pl.Int64))
        .with_columns(allocate("whole", "alike", over="product_id", order="category_id").alias("weight_ppm"))
        .drop("whole", "alike")
    )  # fmt: skip


class DimProduct(Contract):
    """Products as they are now."""

    product_id = Int("id of the product")
    product_name = Text("what people call it", nullable=True)
    brand_id = Int("its brand", nullable=True)
    brand_name = Text("name of the brand", nullable=True)
    manufacturer_id = Int("who makes it", nullable=True)
    manufacturer_name = Text("name of the manufacturer", nullable=True)
    price_cents = Money("list price", unit="USD cents", nullable=True)
    is_active = Bool("whether it is on offer", nullable=True)
    ratings = Int("how many ratings it has")
    mean_score = Float("mean of their scores", nullable=True)
    lowest_score = Int("the lowest", nullable=True)
    highest_score = Int("the highest", nullable=True)
    is_inferred = Bool("whether only ratings name the product")


@dataset(
    DimProduct,
    layer="silver",
    grain="one row per product",
    by="product_id",
    keyed={"product": list(sources.Product.columns), "clean_ratings": ["score"]},
    lookup={"brand": "brand_id", "manufacturer": "manufacturer_id"},
    key="product_id",
    checks=[expression("not_inferred", ~pl.col("is_inferred"), action="warn", dimension="consistency")],
)
def dim_product(
    product: pl.LazyFrame, clean_ratings: pl.LazyFrame, brand: pl.LazyFrame, manufacturer: pl.LazyFrame
) -> pl.LazyFrame:
    """Products with brand, manufacturer and what buyers think of them."""
    score = pl.col("score")
    rated = clean_ratings.group_by("product_id").agg(
        score.len().cast(pl.Int64).alias("ratings"), score.sum().alias("_sum"),
        score.min().alias("lowest_score"), score.max().alias("highest_score"),
    )  # fmt: skip
    once = latest(product, key=["product_id"], order=["updated_at"]).drop("updated_at")
    found = once.with_columns(is_inferred=False).join(rated, on="product_id", how="full", coalesce=True, validate="1:1")
    for table, kind in ((brand, "brand"), (manufacturer, "manufacturer")):
        names = latest(table, key=[f"{kind}_id"], order=["updated_at"]).select(f"{kind}_id", f"{kind}_name")
        found = found.join(names, on=f"{kind}_id", how="left", validate="m:1")
    mean = pl.col("_sum").cast(pl.Float64) / pl.col("ratings").cast(pl.Float64)
    return found.with_columns(
        mean.alias("mean_score"), pl.col("ratings").fill_null(0), pl.col("is_inferred").fill_null(True)
    ).drop("_sum")
