"""What the shop's database holds: thirteen tables (``schema.sql``), and the rates that people maintain beside them."""

from dataclasses import replace
from datetime import timedelta

from pipeline.datasets import Bool, Contract, Date, Decimal, Int, Money, Source, Text, Time, csv, table

_MOMENTS = (
    "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d",
)  # fmt: skip


class Row(Contract):
    """What every table of the shop has. Of several rows with one key, the one that changed last counts."""

    updated_at = Time("last change of the row", formats=_MOMENTS, read_from=("updated_at", "last_updated_ts"))


class Member(Row):
    """What all tables of people have. Of a database, a row that is gone is followed by one that says so."""

    is_deleted = Bool("whether the shop deleted it", optional=True)


class AppUser(Member):
    """People with an account."""

    user_id = Int("id of the person", forget="row")
    user_name = Text("name", nullable=True, sensitive="name", read_from=("user_name", "username"))
    email = Text("address of electronic mail", nullable=True, sensitive="email")
    phone = Text("number of the telephone", nullable=True, sensitive="phone", optional=True)
    country = Text("country by ISO 3166", nullable=True, optional=True)
    is_active = Bool("whether the person may sign in", nullable=True, optional=True)


class Buyer(Member):
    """Accounts by which people buy."""

    buyer_id = Int("id of the buyer")
    user_id = Int("the person", nullable=True, forget="value")
    tier = Text("what the shop grants the buyer", nullable=True, optional=True)


class Seller(Member):
    """Accounts by which people sell."""

    seller_id = Int("id of the seller")
    user_id = Int("the person", nullable=True, forget="value")
    seller_name = Text("name of the business", nullable=True, optional=True)


class Category(Row):
    """Categories, which may be parts of others."""

    category_id = Int("id of the category")
    category_name = Text("name", read_from=("category_name", "name"))
    parent_id = Int("the category that it is a part of", nullable=True, optional=True)


class Brand(Row):
    """Brands."""

    brand_id = Int("id of the brand")
    brand_name = Text("name", nullable=True, read_from=("brand_name", "name"))


class Manufacturer(Row):
    """Manufacturers."""

    manufacturer_id = Int("id of the manufacturer")
    manufacturer_name = Text("name", nullable=True, read_from=("manufacturer_name", "name"))


class Product(Row):
    """What the shop offers."""

    product_id = Int("id of the product")
    product_name = Text("what people call it", nullable=True, read_from=("product_name", "name"))
    brand_id = Int("its brand", nullable=True)
    manufacturer_id = Int("who makes it", nullable=True)
    price_cents = Money("list price", unit="USD cents", nullable=True, read_from="price", rounds=True)
    is_active = Bool("whether it is on offer", nullable=True, optional=True)


class ProductCategory(Row):
    """Which categories a product is in: any number."""

    product_id = Int("the product")
    category_id = Int("a category that it is in")


class SellerProduct(Row):
    """Who offers which product."""

    seller_id = Int("who offers")
    product_id = Int("what is offered")
    stock_quantity = Int("pieces in stock", nullable=True, optional=True)


class Ratings(Row):
    """What buyers think of products."""

    rating_id = Int("id of the rating", read_from=("rating_id", "ratings_id"))
    product_id = Int("the product")
    buyer_id = Int("who rates", nullable=True, optional=True)
    score = Int("from 1 to 5", read_from=("score", "rating"))


class Orders(Row):
    """Headers of orders."""

    order_id = Int("id of the order")
    buyer_id = Int("who bought", nullable=True)
    ordered_at = Time("when", formats=_MOMENTS, read_from=("ordered_at", "order_ts"))
    status = Text("what became of it", nullable=True, optional=True)
    currency = Text("currency of all its amounts by ISO 4217; null: USD", nullable=True, optional=True)
    total = Decimal("what the buyer pays, by the header", scale=4, read_from=("total_price", "total"))


class OrderItem(Row):
    """Lines of orders."""

    order_item_id = Int("id of the line")
    order_id = Int("its order")
    product_id = Int("what was bought", nullable=True)
    seller_id = Int("of whom", nullable=True)
    quantity = Int("pieces")
    base_price = Decimal("price of one piece, with tax, in the order's currency", scale=4)
    tax = Decimal("tax in the price of one piece, in the order's currency", scale=4)


class Event(Contract):
    """What people do on the pages."""

    event_id = Text("id of the event")
    event_at = Time("when", formats=_MOMENTS, read_from=("event_at", "event_ts", "timestamp"))
    event_type = Text("view, impression, add_to_cart, checkout or purchase")
    user_id = Int("who; null: nobody who signed in", nullable=True, forget="value")
    product_id = Int("the product that it is about", nullable=True)
    order_id = Int("the order that it is about", nullable=True)


class Clickstream(Event):
    """Messages of the pages. An event may be sent again, as it was or with another content."""

    click_id = Int("id of the message")
    received_at = Time("when it came", formats=_MOMENTS)


class ExchangeRate(Contract):
    """What currencies are worth, since when."""

    currency = Text("currency by ISO 4217")
    valid_from = Date("first day of the rate")
    rate = Decimal("USD for one unit of the currency", scale=9)


def shop_table(
    name: str, contract: type[Contract], *key: str, updated: str = "updated_at",
    deletions: timedelta | None = timedelta(0), deleted: str = "",
) -> Source:  # fmt: skip
    """A table of the database, of which changed rows alone are read, or its dump: ``NAME.csv``, or parts such as
    ``NAME-2026-11-30.csv.gz``. ``deletions``: how often keys are compared; None: rows stay for ever. ``deleted``: of
    tables with history, the column that ends it."""
    found = table(
        name, contract, key=key, updated=updated, deletions=deletions, deleted=deleted, snapshots=bool(deleted)
    )
    return replace(found, path=_files_of(name))


def _files_of(name: str) -> str:
    return f"{name}[.-]*csv*"


app_user = shop_table("app_user", AppUser, "user_id", deleted="is_deleted")
buyer = shop_table("buyer", Buyer, "buyer_id", deleted="is_deleted")
seller = shop_table("seller", Seller, "seller_id", deleted="is_deleted")
category = shop_table("category", Category, "category_id")
brand = shop_table("brand", Brand, "brand_id")
manufacturer = shop_table("manufacturer", Manufacturer, "manufacturer_id")
product = shop_table("product", Product, "product_id")
product_category = shop_table("product_category", ProductCategory, "product_id", "category_id")
seller_product = shop_table("seller_product", SellerProduct, "seller_id", "product_id")
ratings = shop_table("ratings", Ratings, "rating_id")
orders = shop_table("orders", Orders, "order_id")
order_item = shop_table("order_item", OrderItem, "order_item_id")
clickstream = shop_table("clickstream", Clickstream, "click_id", updated="received_at", deletions=None)
exchange_rate = csv(_files_of("exchange_rate"), ExchangeRate, optional=True)
