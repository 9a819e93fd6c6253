"""Demo data of a shop whose truth is known, because it counts while it writes."""

import csv
import datetime as dt
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

_CUSTOMERS, _PRODUCTS, _ORDERS = 400, 60, 2_500
_FIRST = dt.date(2025, 11, 3)
_DAYS = 400
_FORMATS = ("%Y-%m-%d", "%m/%d/%Y", "%m-%d-%Y")
_METHODS = (("cc", "Credit_Card", "VISA"), ("pp", "PayPal"), ("cod", "cash"), ("bank transfer",))
_POINTS = (290, 340, 0, 0)


def make(folder: Path) -> dict[str, dict[str, int]]:
    """Write ``customers.csv``, ``products.csv``, ``orders.csv`` and ``payments.csv`` into ``folder``.

    Returns the truth: by table its rows, and sums of columns; ``rejected`` where rows must be rejected.
    """
    chance = random.Random(11)
    customers = [f"C{number:04d}" for number in range(_CUSTOMERS)]
    products = {
        f"P{number:03d}": (price := chance.randint(300, 30_000), price * 6 // 10) for number in range(_PRODUCTS)
    }
    _write(
        folder / "customers.csv",
        ("customer_id", "customer_name", "email", "phone", "address", "city", "state", "zip_code", "age",
         "registration_date"),
        (
            (one, f"Person {at}", f"person{at}@example.org", f"+1 555 {at:04d}", f"{at} Mill Lane\nBack door",
             chance.choice(("Springfield", "Riverside", "")), "OH", f"{43000 + at}",
             chance.choice((17, 30, 52, 70, "")),
             f"{_FIRST - dt.timedelta(days=at):%m/%d/%Y}")
            for at, one in enumerate(customers)
        ),
    )  # fmt: skip
    _write(
        folder / "products.csv",
        ("product_id", "product_name", "category", "subcategory", "brand", "price", "cost", "description"),
        (
            (one, f"Thing {at}", chance.choice(("Home", "Garden")), "", "Mill", _money(price), _money(cost), "A thing.")
            for at, (one, (price, cost)) in enumerate(products.items())
        ),
    )
    lines, truth = _make_orders(chance, customers, products)
    _write(
        folder / "orders.csv",
        ("order_id", "customer_id", "product_id", "quantity", "unit_price", "order_date", "payment_type"),
        lines,
    )
    payments = _make_payments(chance, truth)
    _write(
        folder / "payments.csv",
        ("payment_id", "order_id", "payment_method", "payment_amount", "payment_date", "payment_status"),
        payments,
    )
    return {name: facts for name, facts in truth.items() if not name.startswith("_")}


def _make_orders(
    chance: random.Random, customers: Sequence[str], products: dict[str, tuple[int, int]]
) -> tuple[list[Sequence[object]], dict[str, dict[str, int]]]:
    """The lines of the file, and the truth; its entry ``_totals`` has the net amount of each order."""
    lines: list[Sequence[object]] = []
    sales = {"rows": 0, "rejected": 0, "quantity": 0, "net_cents": 0}
    totals: dict[str, int] = {}
    buyers, sold, rejected = set(), set(), 0
    for number in range(_ORDERS):
        order, day = f"O{number:05d}", _FIRST + dt.timedelta(days=chance.randrange(_DAYS))
        customer = "" if not number % 100 else "C-unheard" if not number % 77 else chance.choice(customers)
        for product in chance.sample(sorted(products), chance.randint(1, 3)):
            quantity, price = chance.randint(1, 4), products[product][0]
            told = "" if not (number + quantity) % 60 else _money(price)
            line = (order, customer, product, quantity, told, f"{day:{chance.choice(_FORMATS)}}", "cc")
            lines += [line] * (2 if not number % 40 else 1)  # the same line again counts once
            if not told:
                rejected += 1
                continue
            sales["rows"] += 1
            sales["quantity"] += quantity
            sales["net_cents"] += quantity * price
            totals[order] = totals.get(order, 0) + quantity * price
            buyers.add(customer)
            sold.add(product)
    amounts = {"quantity": sales["quantity"], "net_cents": sales["net_cents"]}
    return lines, {
        "order_lines": {"rows": sales["rows"], "rejected": rejected, "quantity": sales["quantity"]},
        "fact_sales": sales,
        "monthly_sales": dict(amounts),
        "customer_metrics": {"rows": len(buyers), **amounts},
        "product_performance": {"rows": len(sold), **amounts},
        "_totals": totals,
    }


def _make_payments(chance: random.Random, truth: dict[str, dict[str, int]]) -> list[Sequence[object]]:
    """The lines of the file; adds what becomes of them to ``truth``."""
    lines: list[Sequence[object]] = []
    facts = {"rows": 0, "rejected": 0, "amount_cents": 0, "fee_cents": 0}
    for order, total in truth["_totals"].items():
        parts = [total] if chance.random() < 0.7 else [total // 2, total - total // 2]
        for part in parts:
            kind, fails = chance.randrange(len(_METHODS)), chance.random() < 0.1
            day = _FIRST + dt.timedelta(days=chance.randrange(_DAYS))
            method, status = chance.choice(_METHODS[kind]), "failed" if fails else chance.choice(("Completed", "paid"))
            lines.append((f"PAY{len(lines)}", order, method, _money(part), f"{day:%Y-%m-%d}", status))
            facts["rows"] += 1
            facts["amount_cents"] += part
            facts["fee_cents"] += 0 if fails else (part * _POINTS[kind] + 5_000) // 10_000
    lines.append(("PAY-zero", "O00001", "cc", "0.00", f"{_FIRST}", "paid"))
    truth["clean_payments"] = {"rows": facts["rows"], "rejected": 1, "amount_cents": facts["amount_cents"]}
    truth["fact_payments"] = facts
    return lines


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
