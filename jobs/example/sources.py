"""What the job reads."""

from pipeline.datasets import Contract, Date, Int, Money, Text, csv


class Orders(Contract):
    """Orders as the shop writes them, a line each."""

    order_id = Text("id of the order")
    product_id = Text("what was bought")
    quantity = Int("pieces")
    unit_price_cents = Money("price of one piece", currency="EUR", unit="EUR cents", read_from="unit_price")
    day = Date("day of the order", formats=("%Y-%m-%d", "%d.%m.%Y"), read_from="order_date")


class Products(Contract):
    """Products that the shop sells."""

    product_id = Text("id of the product")
    name = Text("what people call it")


orders = csv("orders.csv", Orders)
products = csv("products.csv", Products)
