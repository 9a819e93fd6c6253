"""What the shop's database has: six tables (``mariadb.sql``), each of which may also be a CSV file of its name.

Columns are found by the first of their names that is there. Names, addresses and mails of people are not read.
"""

from pipeline.datasets import Contract, Int, Money, Text, Time, csv

MOST_PIECES, MOST_CENTS = 10**8, 10**10
"""The most pieces, and cents of one piece, that a row may have: their products fit into 64 bits."""


class Customers(Contract):
    """Customers as the shop knows them."""

    customer_id = Text("id of the customer", read_from=("customer_id", "id"), forget="row")
    city = Text("town", optional=True)
    country = Text("country", optional=True)
    updated_at = Time("when the row was changed last", optional=True)


class Products(Contract):
    """Products as the shop sells them."""

    product_id = Text("id of the product", read_from=("product_id", "id"))
    product_name = Text("what people call it", read_from=("product_name", "name"), optional=True)
    category = Text("category", optional=True)
    price_cents = Money("list price", unit="cents", read_from=("price", "unit_price"), optional=True, rounds=True)
    cost_cents = Money("what the shop pays", unit="cents", read_from=("cost", "cost_price"), optional=True, rounds=True)
    updated_at = Time("when the row was changed last", optional=True)


class Orders(Contract):
    """Orders; what was bought stands in their items."""

    order_id = Text("id of the order", read_from=("order_id", "id"))
    customer_id = Text("who ordered", nullable=True, forget="value")
    ordered_at = Time("when", read_from=("order_date", "ordered_at", "created_at"))
    status = Text("what became of it", read_from=("status", "order_status"), optional=True)
    total_cents = Money("amount", unit="cents", read_from=("total_amount", "total"), optional=True, rounds=True)
    updated_at = Time("when the row was changed last", optional=True)


class OrderItems(Contract):
    """Lines of orders."""

    order_item_id = Text("id of the line", read_from=("order_item_id", "id"))
    order_id = Text("id of the order")
    product_id = Text("what was bought")
    quantity = Int("pieces")
    unit_price_cents = Money("price of one piece", unit="cents", read_from=("unit_price", "price"), rounds=True)
    discount_cents = Money("discount on the line", unit="cents", read_from="discount", optional=True, rounds=True)
    updated_at = Time("when the row was changed last", optional=True)


class InventoryLocations(Contract):
    """Warehouses, shops, stations: whatever holds products."""

    location_id = Text("id of the location", read_from=("location_id", "id"))
    location_name = Text("what people call it", read_from=("location_name", "name"), optional=True)
    capacity = Int("pieces that it can hold", nullable=True)
    updated_at = Time("when the row was changed last", optional=True)


class ProductInventory(Contract):
    """Pieces of a product in a location."""

    product_id = Text("id of the product")
    location_id = Text("id of the location")
    quantity = Int("pieces")
    last_updated = Time("when they were counted last", nullable=True, read_from=("last_updated", "updated_at"))


customers = csv("customers*.csv*", Customers)
products = csv("products*.csv*", Products)
orders = csv("orders*.csv*", Orders)
order_items = csv("order_items*.csv*", OrderItems)
inventory_locations = csv("inventory_locations*.csv*", InventoryLocations)
product_inventory = csv("product_inventory*.csv*", ProductInventory)
