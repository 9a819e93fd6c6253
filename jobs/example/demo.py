"""Demo data whose truth is known, because it counts while it writes."""

import csv
import datetime as dt
import random
from pathlib import Path

_ORDERS, _DAYS, _PRODUCTS = 3_000, 60, 40


def make(folder: Path) -> dict[str, dict[str, int]]:
    """Write ``orders.csv`` and ``products.csv`` into ``folder``.

    Returns the truth: by table its rows, and sums of columns; ``rejected`` where rows must be rejected.
    """
    chance = random.Random(7)
    names = [f"product {number}" for number in range(_PRODUCTS)]
    with (folder / "products.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("product_id", "name"), *((f"p{at}", name) for at, name in enumerate(names))])
    days: dict[dt.date, int] = {}
    products: dict[str, int] = {}
    rows, revenue, pieces = 0, 0, 0
    with (folder / "orders.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("order_id", "product_id", "quantity", "unit_price", "order_date"))
        for order in range(_ORDERS):
            day = dt.date(2026, 1, 1) + dt.timedelta(days=chance.randrange(_DAYS))
            for product in chance.sample(range(_PRODUCTS), chance.randint(1, 4)):
                quantity, cents = chance.randint(1, 5), chance.randint(50, 20_000)
                line = f"o{order}", f"p{product}", quantity, f"{cents // 100}.{cents % 100:02d}", f"{day:%d.%m.%Y}"
                writer.writerow(line)
                if not order % 50:
                    writer.writerow(line)  # the same line again counts once
                rows, revenue, pieces = rows + 1, revenue + quantity * cents, pieces + quantity
                days[day] = days.get(day, 0) + quantity * cents
                products[line[1]] = products.get(line[1], 0) + quantity
        writer.writerow(("broken", "p1", "many", "1.00", "2026-01-01"))
    return {
        "orders": {"rejected": 1},
        "lines": {"rows": rows, "revenue_cents": revenue, "quantity": pieces},
        "daily_sales": {"rows": len(days), "revenue_cents": revenue},
        "product_sales": {"rows": len(products), "revenue_cents": revenue, "quantity": pieces},
    }
