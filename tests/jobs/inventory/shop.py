"""A small and dirty shop by chance, as CSV files, and its tables as plain SQL on DuckDB makes them (``oracle.sql``)."""

import csv
import datetime as dt
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

Row = tuple[Any, ...]
AS_OF = dt.datetime(2026, 6, 15, 12)
"""Some orders are later, and some stock was counted later."""
COLUMNS = {
    "customers": ("id", "first_name", "city", "country", "updated_at"),
    "products": ("product_id", "name", "category", "price", "cost", "updated_at"),
    "orders": ("order_id", "customer_id", "order_date", "status", "total_amount", "updated_at"),
    "order_items": ("order_item_id", "order_id", "product_id", "quantity", "unit_price", "discount", "updated_at"),
    "inventory_locations": ("location_id", "name", "capacity"),
    "product_inventory": ("product_id", "location_id", "quantity", "last_updated"),
}
_STATUSES = ("completed", "Shipped ", "PAID", "delivered", "cancelled", "weird", "")
_COUNTED_AT = ("1970-01-01 00:00:00", "2026-06-15 11:59:59", "2026-06-15 12:00:01", "2031-01-01 00:00:00", "")


@dataclass
class Shop:
    """Rows of all six tables."""

    customers: list[Row] = field(default_factory=list)
    products: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    order_items: list[Row] = field(default_factory=list)
    inventory_locations: list[Row] = field(default_factory=list)
    product_inventory: list[Row] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write a CSV file for each table."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, header in COLUMNS.items():
            with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([header, *getattr(self, name)])


def random_shop(seed: int, orders: int = 300) -> Shop:
    """Ties, copies, contradictions, missing and impossible values, and members that nobody described."""
    dice = random.Random(seed)
    people = [f"c{number}" for number in range(14)]
    things = [f"p{number}" for number in range(9)]
    halls = [f"h{number}" for number in range(7)]
    shop = Shop()
    shop.customers = [
        (one, one.upper(), dice.choice(("Oslo", "")), "NO", changed(dice)) for one in people for _ in "ab"
    ]
    shop.products = [
        (one, one.upper(), "Home", "12.00", dice.choice(("7.31", "0.005", "")), changed(dice))
        for one in (*things, "never-sold", "p1")
    ]
    shop.inventory_locations = [
        (hall, hall.upper(), capacity)
        for hall, capacity in zip(halls, (10, 500, 1_000, 0, "", -4, 100_000), strict=True)
    ]
    shop.orders = [random_order(dice, f"o{dice.randrange(orders)}", people) for _ in range(orders)]
    shop.order_items = [
        random_line(dice, f"i{at}", f"o{dice.randrange(orders + 5)}", things) for at in range(orders * 3)
    ]
    shop.orders += shop.orders[:9]
    shop.order_items += shop.order_items[:9]
    shop.order_items += [(*row[:3], 2, "1.00", "", row[6]) for row in shop.order_items[20:30]]  # another content
    shop.order_items += [(row[0], f"o{at}", *row[2:6], changed(dice)) for at, row in enumerate(shop.order_items[30:60])]
    shop.product_inventory = [
        random_stock(dice, dice.choice((*things, "unheard")), dice.choice((*halls, "nowhere"))) for _ in range(70)
    ]
    return shop


def changed(dice: random.Random) -> str:
    """When a row was changed last, or nothing."""
    return dice.choice(("", "2026-01-01 00:00:00", "2026-02-01 00:00:00"))


def random_order(dice: random.Random, order: str, people: Sequence[str]) -> Row:
    """An order near midnight in many zones, of few hours, so that hours tie; some are not dated, or dated wrongly."""
    moment = dt.datetime(2026, 1, 1) + dt.timedelta(days=dice.randrange(200), hours=dice.choice((2, 3, 11, 12, 20, 23)))
    told = dice.choice((str(moment),) * 12 + (f"{moment}.250001", "", "2026-02-31 00:00:00"))
    customer = dice.choice((*people[:8], *people[:3] * 3, "heard-of", ""))
    return (order, customer, told, dice.choice(_STATUSES), dice.choice(("19.98", "", "1.00")), changed(dice))


def random_line(dice: random.Random, line: str, order: str, things: Sequence[str]) -> Row:
    """A line, of which some cannot be right."""
    return (
        line, order, dice.choice((*things, "unseen")), dice.choice((1, 2, 3, 40, 0, -1, "", "two")),
        dice.choice(("9.99", "10.005", "0", "1200", "-1", "")), dice.choice(("", "", "0.50", "9999", "-0.01")),
        changed(dice),
    )  # fmt: skip


def random_stock(dice: random.Random, product: str, hall: str) -> Row:
    """Pieces in a location, counted today, half a century ago, in the future, or nobody knows when."""
    days = dice.randrange(60)
    counted = dice.choice(
        (str(dt.datetime(2026, 6, 15, dice.choice((0, 11, 13))) - dt.timedelta(days=days)), *_COUNTED_AT)
    )
    return (product, hall, dice.choice((0, 3, 5, 10, 250, 600, -1, "")), counted)


def oracle(folder: Path, zone: str, as_of: dt.datetime = AS_OF) -> duckdb.DuckDBPyConnection:
    """A database with the expected rows of each table, as views of its name."""
    base = duckdb.connect()
    for name in COLUMNS:
        read = f"read_csv('{folder / name}.csv', header = true, all_varchar = true, nullstr = '')"
        base.execute(f"create table in_{name} as from {read}")
    base.execute("set variable zone = $zone", {"zone": zone})
    base.execute("set variable as_of = $at::timestamp", {"at": str(as_of)})
    base.execute(Path(__file__).with_name("oracle.sql").read_text(encoding="utf-8"))
    return base
