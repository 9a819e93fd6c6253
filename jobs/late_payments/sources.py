"""What the job reads: accounts, invoices with their lines and items, and payments and credit notes where there are any.

Dates are ISO or d/m/yyyy, with or without padding. Amounts with more than two decimals are rounded half up.
"""

from pipeline.datasets import Contract, Date, Decimal, Int, Money, Text, csv

_DATES = ("%Y-%m-%d", "%d/%m/%Y")


class Accounts(Contract):
    """Customers that get invoices. What names a person or a company goes no further than bronze."""

    account_id = Text("id of the account")
    company_name = Text("name of the company", nullable=True, optional=True, sensitive="name")
    company_address = Text("address, also of several lines", nullable=True, optional=True, sensitive="address")
    contact_person = Text("who is asked for", nullable=True, optional=True, sensitive="name")
    contact_phone = Text("phone of that person", nullable=True, optional=True, sensitive="phone")
    gender = Text("gender of that person, which is no feature", nullable=True, optional=True, sensitive="gender")
    joining_date = Date("day on which the account was opened", nullable=True, formats=_DATES)


class Invoices(Contract):
    """Invoices, a line each."""

    invoice_id = Text("id of the invoice")
    account_id = Text("who has to pay")
    issued_on = Date("day of issue", formats=_DATES, read_from="date_issued")
    due_date = Date("last day to pay; null: by the terms", nullable=True, optional=True, formats=_DATES)
    payment_date = Date(
        "day on which all of it was paid; null: not yet, or payments tell",
        nullable=True, optional=True, formats=_DATES, read_from=("payment_date", "payment_dates"),
    )  # fmt: skip
    status = Text("what the books say of it now, such as paid, disputed or cancelled", nullable=True, optional=True)


class InvoiceLineItems(Contract):
    """What was sold: one or several lines an invoice and item."""

    invoice_id = Text("id of the invoice")
    item_id = Text("what was sold")
    quantity = Int("pieces; negative where they were returned; null: not known", nullable=True)


class Skus(Contract):
    """Items that are sold."""

    item_id = Text("id of the item")
    item_name = Text("what people call it", nullable=True, optional=True)
    item_description = Text("what it is", nullable=True, optional=True)
    item_cost_price = Decimal("cost of a piece", scale=9, nullable=True, optional=True)
    item_retail_price = Decimal("price of a piece", scale=9)


class Payments(Contract):
    """Payments; an invoice may have several. Equal rows are several payments."""

    invoice_id = Text("id of the invoice")
    paid_on = Date("day of the payment", formats=_DATES)
    amount_cents = Money("what was paid; negative: given back", unit="cents", read_from="amount", rounds=True)


class CreditNotes(Contract):
    """Credit notes; an invoice may have several."""

    invoice_id = Text("id of the invoice that owes less by it")
    issued_on = Date("day of the credit note", formats=_DATES)
    amount_cents = Money("by how much", unit="cents", read_from="amount", rounds=True)


accounts = csv("accounts.csv", Accounts)
invoices = csv("invoices.csv", Invoices)
invoice_line_items = csv("invoice_line_items.csv", InvoiceLineItems)
skus = csv("skus.csv", Skus)
payments = csv("payments.csv", Payments, optional=True)
credit_notes = csv("credit_notes.csv", CreditNotes, optional=True)
