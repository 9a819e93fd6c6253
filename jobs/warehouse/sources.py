"""What the shop hands over: orders, customers, products and payments, and the tables that people maintain."""

from pipeline.datasets import Contract, Date, Int, Money, Text, csv

DATES = ("%Y-%m-%d", "%m/%d/%Y", "%m-%d-%Y")
"""The formats of the shop's dates. One source has one meaning: 03/04 is the fourth of March everywhere."""


class Orders(Contract):
    """Order lines as the shop writes them."""

    order_id = Text("id of the order")
    line_number = Int("tells lines of the same product in one order apart", optional=True)
    customer_id = Text("who bought", nullable=True, forget="value")
    product_id = Text("what was bought", nullable=True)
    quantity = Int("pieces", nullable=True)
    unit_price_cents = Money("price of one piece", unit="cents", nullable=True, read_from="unit_price", rounds=True)
    discount_cents = Money("discount on the line", unit="cents", optional=True, read_from="discount", rounds=True)
    day = Date("day of the order", formats=DATES, nullable=True, read_from="order_date")
    payment_type = Text("how the customer means to pay", nullable=True)


class Customers(Contract):
    """Customers as the shop knows them at each extract."""

    customer_id = Text("id of the customer", forget="row")
    customer_name = Text("name", nullable=True, sensitive="name")
    email = Text("address of electronic mail", nullable=True, sensitive="email")
    phone = Text("number of the telephone", nullable=True, sensitive="phone")
    address = Text("street and house", nullable=True, sensitive="address")
    city = Text("town", nullable=True)
    state = Text("state", nullable=True)
    zip_code = Text("postal code", nullable=True)
    age = Int("age in years", nullable=True)
    registered_on = Date("day of the registration", formats=DATES, nullable=True, read_from="registration_date")


class Products(Contract):
    """Products as the shop offers them at each extract."""

    product_id = Text("id of the product")
    product_name = Text("what people call it", nullable=True)
    category = Text("category", nullable=True)
    subcategory = Text("part of the category", nullable=True)
    brand = Text("who makes it", nullable=True)
    price_cents = Money("list price", unit="cents", nullable=True, read_from="price", rounds=True)
    cost_cents = Money("what the shop pays for it", unit="cents", nullable=True, read_from="cost", rounds=True)
    description = Text("what people read of it", nullable=True)


class Payments(Contract):
    """Payments as the provider reports them."""

    payment_id = Text("id of the payment")
    order_id = Text("the order that is paid", nullable=True)
    payment_method = Text("how it was paid", nullable=True)
    amount_cents = Money("amount", unit="cents", nullable=True, read_from="payment_amount", rounds=True)
    day = Date("day of the payment", formats=DATES, nullable=True, read_from="payment_date")
    payment_status = Text("what became of it", nullable=True)


class FeeRates(Contract):
    """What providers take of a payment, since when. Without this table: see ``methods.FEES``."""

    method = Text("method of payment, as this job writes it")
    valid_from = Date("first day of the rate")
    fee_points = Int("hundredths of a percent")


class Holidays(Contract):
    """Days on which the shop's country does not work."""

    day = Date("the day")
    holiday = Text("its name")


orders = csv("orders*.csv*", Orders)
customers = csv("customers*.csv*", Customers, snapshots=True)
products = csv("products*.csv*", Products, snapshots=True)
payments = csv("payments*.csv*", Payments)
fee_rates = csv("fee_rates.csv", FeeRates, optional=True)
holidays = csv("holidays.csv", Holidays, optional=True)
