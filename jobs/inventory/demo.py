"""Demo data of a shop whose truth is known, because it counts while it writes. Its last day is yesterday."""

import csv
import datetime as dt
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

_CUSTOMERS, _PRODUCTS, _LOCATIONS, _ORDERS, _DAYS = 300, 40, 6, 2_000, 400
_COUNTED = ("Completed", "shipped", "PAID", "delivered")
_OTHER = ("cancelled", "pending")
_LINE = ("order_item_id", "order_id", "product_id", "quantity", "unit_price")


def make(folder: Path) -> dict[str, dict[str, int]]:
    """Write a CSV file for each of the six tables into ``folder``.

    Returns the truth: by table its rows, and sums of columns; ``rejected`` where rows must be rejected.
    """
    chance = random.Random(19)
    today = dt.datetime.now(dt.UTC).date()
    customers = [f"{100 + number}" for number in range(_CUSTOMERS)]
    prices = {f"{number}": chance.randint(200, 20_000) for number in range(1, _PRODUCTS + 1)}
    _write(folder, "customers", ("customer_id", "first_name", "email", "city", "country"), (
        (one, f"Person {at}", f"person{at}@example.org", chance.choice(("Oslo", "Bergen", "")), "NO")
        for at, one in enumerate(customers)
    ))  # fmt: skip
    _write(folder, "products", ("product_id", "product_name", "category", "price", "cost"), (
        (one, f"Thing {one}", chance.choice(("Home", "Garden")), _money(price), _money(price // 2) if at % 9 else "")
        for at, (one, price) in enumerate(prices.items())
    ))  # fmt: skip
    stock = _make_stock(folder, chance, list(prices), today)
    books = _Books(chance, customers, prices, today)
    for number in range(1, _ORDERS + 1):
        books.add(number)
    books.write(folder)
    truth = books.truth() | {
        "stock": stock,
        "warehouse_utilisation": {"rows": _LOCATIONS, "quantity": stock["quantity"]},
    }
    truth["inventory_analytics"] = {"rows": stock["rows"], "quantity": stock["quantity"]}
    truth["business_insights"] |= {"rows": _PRODUCTS, "stock_quantity": stock["quantity"]}
    return truth


def _make_stock(folder: Path, chance: random.Random, products: list[str], today: dt.date) -> dict[str, int]:
    """Write locations, of which one has no capacity and one the capacity 0, and what they hold. Returns the truth."""
    capacities = {f"{number}": chance.randint(150, 900) for number in range(1, _LOCATIONS - 1)}
    places: dict[str, int | str] = {**capacities, f"{_LOCATIONS - 1}": 0, f"{_LOCATIONS}": ""}
    _write(folder, "inventory_locations", ("location_id", "location_name", "capacity"), (
        (place, f"Hall {place}", capacity) for place, capacity in places.items()
    ))  # fmt: skip
    rows: list[Sequence[object]] = []
    facts = {"rows": 0, "rejected": 0, "quantity": 0}
    for product in products:
        for place in chance.sample(sorted(places), chance.randint(1, 3)):
            quantity = chance.randint(0, 60) if len(rows) % 25 else -chance.randint(1, 9)
            counted = today - dt.timedelta(days=chance.randrange(40))
            at = chance.choice((f"{counted} 07:30:00",) * 9 + ("", "1970-01-01 00:00:00", "9000-01-01 00:00:00"))
            rows.append((product, place, quantity, at))
            facts["rejected" if quantity < 0 else "rows"] += 1
            facts["quantity"] += max(0, quantity)
    _write(folder, "product_inventory", ("product_id", "location_id", "quantity", "last_updated"), rows)
    return facts


class _Books:
    """Collects orders with their lines, and what is true of them."""

    def __init__(self, chance: random.Random, customers: list[str], prices: dict[str, int], today: dt.date) -> None:
        self._chance, self._customers, self._prices, self._today = chance, customers, prices, today
        self._orders: list[Sequence[object]] = []
        self._lines: list[Sequence[object]] = []
        self._lines_read = {"rows": 0, "rejected": 0, "net_cents": 0}
        self._sums = {"orders": 0, "pieces": 0, "cents": 0}
        self._of: dict[str, list[int]] = {}
        self._days: set[dt.date] = set()

    def add(self, number: int) -> None:
        """An order of anybody, of a few who order more than others, or of nobody."""
        chance = self._chance
        customer = "" if not number % 97 else chance.choice(self._customers[: 20 if number % 3 else _CUSTOMERS])
        day = self._today - dt.timedelta(days=chance.randint(1, _DAYS))
        at = dt.datetime.combine(day, dt.time(min(23, int(chance.gauss(15, 4)) % 24), chance.randrange(60)))
        counts = chance.random() < 0.9
        pieces, cents = self._add_lines(f"{number}")
        status = chance.choice(_COUNTED if counts else _OTHER)
        order = (number, customer, f"{at}", status, _money(cents))
        self._orders += [order] * (2 if not number % 50 else 1)  # the same order again counts once
        if counts:
            self._days.add(day)
            for name, value in (("orders", 1), ("pieces", pieces), ("cents", cents)):
                self._sums[name] += value
            facts = self._of.setdefault(customer, [0, 0])
            facts[0], facts[1] = facts[0] + 1, facts[1] + cents

    def _add_lines(self, order: str) -> tuple[int, int]:
        """Add the lines of an order. Returns its pieces and cents."""
        pieces = cents = 0
        for product in self._chance.sample(sorted(self._prices), self._chance.randint(1, 4)):
            quantity = self._chance.randint(1, 3) if len(self._lines) % 200 else 0
            price = self._prices[product]
            self._lines.append((len(self._lines), order, product, quantity, _money(price)))
            self._lines_read["rows" if quantity else "rejected"] += 1
            pieces, cents = pieces + quantity, cents + quantity * price
        self._lines_read["net_cents"] += cents
        return pieces, cents

    def write(self, folder: Path) -> None:
        """Write both files; two lines are of an order that is not there."""
        strays = [(f"stray-{number}", "unheard", "1", 1, "1.00") for number in range(2)]
        _write(folder, "orders", ("order_id", "customer_id", "order_date", "status", "total_amount"), self._orders)
        _write(folder, "order_items", _LINE, [*self._lines, *strays])
        self._lines_read["rejected"] += len(strays)

    def truth(self) -> dict[str, dict[str, int]]:
        """What a run must find."""
        orders, pieces, cents = self._sums.values()
        vips = [one for one, (count, spent) in self._of.items() if one and count >= 10 and spent >= 100_000]
        return {
            "shop_orders": {"rows": _ORDERS},
            "order_lines": dict(self._lines_read),
            "counted_orders": {"rows": orders, "pieces": pieces, "value_cents": cents},
            "order_analytics": {
                "rows": _CUSTOMERS + 1, "orders": orders, "spending_cents": cents, "is_vip": len(vips),
            },
            "sales_analytics": {"rows": len(self._days), "orders": orders, "revenue_cents": cents},
            "peak_hours": {"rows": 24, "orders": orders, "revenue_cents": cents},
            "business_insights": {"pieces": pieces, "revenue_cents": cents},
        }  # fmt: skip


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _write(folder: Path, table: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
