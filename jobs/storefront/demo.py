"""A shop that lives day by day and knows what a run must find of it, because it decides what happens."""

import csv
import datetime as dt
import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

FIRST = dt.date(2026, 6, 1)
_DAYS = 30
_UNITS = {"USD": 100, "EUR": 100, "JPY": 1, "XTS": 100}
"""Minor units of one unit. Nobody has a rate for XTS."""
_SLOTS = (dt.time(1), dt.time(12))
"""When sessions of a person begin, at most; they are shorter than the time between them."""
_EVENTS = ("view", "impression", "add_to_cart", "checkout", "purchase")
HEADERS = {
    "app_user": ("user_id", "user_name", "email", "phone", "country", "is_active", "updated_at"),
    "category": ("category_id", "category_name", "parent_id", "updated_at"),
    "brand": ("brand_id", "brand_name", "updated_at"),
    "manufacturer": ("manufacturer_id", "manufacturer_name", "updated_at"),
    "product": ("product_id", "product_name", "brand_id", "manufacturer_id", "price", "is_active", "updated_at"),
    "product_category": ("product_id", "category_id", "updated_at"),
    "buyer": ("buyer_id", "user_id", "tier", "updated_at"),
    "seller": ("seller_id", "user_id", "seller_name", "updated_at"),
    "seller_product": ("seller_id", "product_id", "stock_quantity", "updated_at"),
    "ratings": ("rating_id", "product_id", "buyer_id", "score", "updated_at"),
    "orders": ("order_id", "buyer_id", "ordered_at", "status", "currency", "total_price", "updated_at"),
    "order_item": ("order_item_id", "order_id", "product_id", "seller_id", "quantity", "base_price", "tax",
                   "updated_at"),
    "clickstream": ("click_id", "received_at", "event_id", "event_at", "event_type", "user_id", "product_id",
                    "order_id"),
    "exchange_rate": ("currency", "valid_from", "rate"),
}  # fmt: skip
Row = dict[str, object]
Truth = dict[str, dict[str, int]]


def make(folder: Path) -> Truth:
    """Write all tables as CSV into ``folder`` after a month of the shop's life.

    Returns the truth: by table its rows, and sums of columns; ``rejected`` where rows must be rejected.
    """
    shop = Shop(19, orders=40)
    for number in range(_DAYS):
        shop.live(number)
    shop.write(folder)
    return shop.truth()


class Shop:
    """The tables of a shop as they are now. ``orders``: about so many a day."""

    def __init__(self, seed: int, orders: int) -> None:
        self._chance, self._orders = random.Random(seed), orders
        self.tables: dict[str, list[Row]] = {name: [] for name in HEADERS}
        self._lines: dict[int, list[Row]] = {}
        self._categories: dict[int, list[int]] = {}
        self._sessions: dict[tuple[int, int, int], int] = {}
        self._told: dict[tuple[str, int], Row] = {}
        self._versions = {"buyer": 0, "seller": 0}
        self._number, self._bad_clicks, self._clicks = 0, 0, 0
        self._people()
        self._catalogue()

    def _people(self) -> None:
        """Thirty people: all but the last five buy, the first eight sell."""
        for user in range(30):
            self._add("app_user", user, f"Person {user}", f"person{user}@example.org", f"+1 555 {user:04d}", "US", "t",
                      _moment(-9, user))  # fmt: skip
            if user < 25:
                self._add("buyer", 100 + user, user, "basic", _moment(-8, user))
            if user < 8:
                self._add("seller", 200 + user, user, f"Shop {user}", _moment(-7, user))

    def _catalogue(self) -> None:
        """Forty products in no, one or several of nine categories."""
        chance = self._chance
        for number in range(9):
            parent = None if number < 3 else number % 3
            self._add("category", number, f"Category {number}", parent, _moment(-9))
        for number in range(4):
            self._add("brand", number, f"Brand {number}", _moment(-9))
            self._add("manufacturer", number, f"Maker {number}", _moment(-9))
        for product in range(40):
            self._add("product", product, f"Thing {product}", chance.randrange(4), chance.randrange(4), "9.99", "t",
                      _moment(-9))  # fmt: skip
            self._categories[product] = sorted(chance.sample(range(9), chance.choice((0, 1, 1, 2, 3))))
            for category in self._categories[product]:
                self._add("product_category", product, category, _moment(-9))
            self._add("seller_product", 200 + product % 8, product, chance.randrange(99), _moment(-9))
        for currency, nano in (("EUR", 1_080_000_000), ("JPY", 6_700_000)):
            for number in range(-10, 60, 5):  # sorted by day: the last one that holds counts
                rate = nano + chance.randrange(nano // 50)
                self._add("exchange_rate", currency, _day(number), f"{rate // 10**9}.{rate % 10**9:09d}")

    def _add(self, table: str, *values: object) -> Row:
        row = dict(zip(HEADERS[table], values, strict=True))
        self.tables[table].append(row)
        return row

    def live(self, number: int) -> None:
        """One more day: orders and clicks of it, late ones of days before, and corrected and deleted rows."""
        chance = self._chance
        for _ in range(self._orders):
            self._order(number if chance.random() < 0.9 else chance.randint(0, number), number)
        for order in chance.sample(self.tables["orders"], 3):
            self._correct(order, number)
        self._delete(chance.choice(self.tables["orders"]))
        for _ in range(self._orders):
            self._session(number if chance.random() < 0.9 else chance.randint(0, number), number)
        self._anonymous(number)
        mover = chance.choice(self.tables["app_user"])
        mover |= {"country": chance.choice(("DE", "FR", "JP")), "updated_at": _moment(number, 1400)}
        self._add("ratings", len(self.tables["ratings"]), chance.randrange(40), 100, chance.randint(1, 5),
                  _moment(number))  # fmt: skip

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _order(self, day: int, today: int) -> None:
        """An order of a day with one to four lines, which the shop learns of today."""
        chance = self._chance
        name = self._next()
        currency = chance.choice(("USD", "USD", "EUR", "JPY")) if name % 97 else "XTS"
        status = chance.choice(("paid", "paid", "shipped", " Cancelled"))
        self._add("orders", name, 100 + chance.randrange(25), _moment(day, chance.randrange(1440)), status, currency,
                  "", _moment(today, 1000))  # fmt: skip
        self._lines[name] = [self._line(name, currency, today) for _ in range(chance.randint(1, 4))]
        self._total(self.tables["orders"][-1], off=not name % 50)

    def _line(self, order: int, currency: str, today: int) -> Row:
        chance, number = self._chance, self._next()
        price = chance.randint(100, 50_000)
        tax = price // chance.choice((5, 7, 12))
        product, units = chance.randrange(40), _UNITS[currency]
        quantity = chance.randint(1, 5) if number % 61 else 0
        return self._add("order_item", number, order, product, 200 + product % 8, quantity, _text(price, units),
                         _text(tax, units), _moment(today, 1000))  # fmt: skip

    def _total(self, order: Row, *, off: bool) -> None:
        """Let the header be what the lines come to, or a unit more."""
        units = _UNITS[str(order["currency"])]
        total = sum(int(str(line["quantity"])) * _minor(line["base_price"], units) for line in self._lines[_id(order)])
        order["total_price"] = _text(total + off * units, units)

    def _correct(self, order: Row, today: int) -> None:
        """Let the first line of an order have another quantity, and the order another status."""
        line = self._lines[_id(order)][0]
        line |= {"quantity": self._chance.randint(1, 5), "updated_at": _moment(today, 1200)}
        order |= {"status": self._chance.choice(("shipped", "cancelled")), "updated_at": _moment(today, 1200)}
        self._total(order, off=False)

    def _delete(self, order: Row) -> None:
        gone = self._lines.pop(_id(order))
        self.tables["orders"].remove(order)
        self.tables["order_item"] = [line for line in self.tables["order_item"] if line not in gone]

    def _session(self, day: int, today: int) -> None:
        """Some events of a person, in a part of a day in which the person has no other session; they come today."""
        chance = self._chance
        user, slot = chance.randrange(30), chance.randrange(2)
        if (user, day, slot) in self._sessions:
            return
        begin = _SLOTS[slot].hour * 60 + chance.randrange(240)
        events = self._sessions[user, day, slot] = chance.randint(1, 6)
        for event in range(events):
            begin += chance.randint(1, 30) if event else 0
            self._click((day, begin), today, chance.choice(_EVENTS), user)

    def _anonymous(self, day: int) -> None:
        for _ in range(3):
            self._click((day, self._chance.randrange(1440)), day, "view", None)
        self._click((day, 0), day, "hover", None)
        self._bad_clicks += 1

    def _click(self, moment: tuple[int, int], today: int, kind: str, user: int | None) -> None:
        """An event, of which every seventh comes again: as it was, or as one of a moment later."""
        number, product = self._next(), self._chance.randrange(40)
        for second in (0, number % 2) if not number % 7 else (0,):
            self._add("clickstream", self._next(), _moment(today, 1439, second), f"e{number}", _moment(*moment, second),
                      kind, user, product, None)  # fmt: skip
        self._clicks += kind != "hover"

    def write(self, folder: Path, dump: str = "") -> None:
        """Write all tables into ``folder``. ``dump``: ends the names of the tables of people, whose dumps all stay."""
        for name, rows in self.tables.items():
            ending = f"-{dump}" if dump and name in ("app_user", "buyer", "seller") else ""
            with (folder / f"{name}{ending}.csv").open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([HEADERS[name], *(row.values() for row in rows)])
        users = {row["user_id"]: row for row in self.tables["app_user"]}
        for kind in self._versions:
            for row in self.tables[kind]:
                told = {**row, **users[row["user_id"]], "updated_at": None}
                self._versions[kind] += self._told.get((kind, _id(row))) != told
                self._told[kind, _id(row)] = told

    def truth(self) -> Truth:
        """What a run must find that read each of the written states."""
        orders = {_id(row): row for row in self.tables["orders"] if row["currency"] != "XTS"}
        lines = [(orders[name], line) for name, found in self._lines.items() if name in orders
                 for line in found if line["quantity"]]  # fmt: skip
        counted = [(order, line) for order, line in lines if not _is_cancelled(order)]
        revenue = [(int(str(line["product_id"])), self._net(order, line)) for order, line in counted]
        days = {str(order["ordered_at"])[:10] for order in orders.values()}
        wanted = [max(1, len(found)) for found in self._categories.values()]
        units = {name: _UNITS[str(order["currency"])] for name, order in orders.items()}
        totals = {name: _minor(order["total_price"], units[name]) for name, order in orders.items()}
        gross = [_minor(line["base_price"], units[_id(order)]) * int(str(line["quantity"])) for order, line in lines]
        amount = sum(cents for _, cents in revenue)
        bad = [line for found in self._lines.values() for line in found if not line["quantity"]]
        lost = [line for name, found in self._lines.items() if name not in orders for line in found if line["quantity"]]
        return {
            "clean_order_items": {"rejected": len(bad)},
            "clean_clicks": {"rows": self._clicks, "rejected": self._bad_clicks},
            "dim_buyer": {"rows": self._versions["buyer"]},
            "dim_seller": {"rows": self._versions["seller"]},
            "product_x_category": {"rows": sum(wanted), "weight_ppm": len(wanted) * 10**6},
            "fact_orders": {
                "rows": len(orders), "rejected": len(self._lines) - len(orders), "total_minor": sum(totals.values()),
                "total_usd": sum(self._usd(order, totals[name]) for name, order in orders.items()),
            },
            "fact_order_items": {"rows": len(lines), "rejected": len(lost), "gross_minor": sum(gross)},
            "fact_clickstream": {"rows": self._clicks, **self._sessions_told()},
            "wide_orders": {"rows": len(orders), "difference_minor": sum(totals.values()) - sum(gross)},
            "wide_order_items": {"rows": len(lines), "revenue_cents": amount},
            "daily_category_metrics": {
                "weighted_revenue_cents": amount,
                "impact_revenue_cents": sum(cents * max(1, len(self._categories[which])) for which, cents in revenue),
            },
            "daily_order_metrics": {
                "rows": (dt.date.fromisoformat(max(days)) - dt.date.fromisoformat(min(days))).days + 1,
                "orders": sum(not _is_cancelled(order) for order in orders.values()), "revenue_cents": amount,
            },
        }  # fmt: skip

    def _sessions_told(self) -> dict[str, int]:
        """Sums of the numbers of sessions and of events in them."""
        numbers = 0
        for user in range(30):
            mine = sorted(key for key in self._sessions if key[0] == user)
            numbers += sum(place * self._sessions[key] for place, key in enumerate(mine, 1))
        events = sum(count * (count + 1) // 2 for count in self._sessions.values())
        return {"session_number": numbers, "event_number": events}

    def _net(self, order: Row, line: Row) -> int:
        """What a line earns in cents: price less tax, each times the quantity and by the rate of the day."""
        units, quantity = _UNITS[str(order["currency"])], int(str(line["quantity"]))
        price, tax = (self._usd(order, quantity * _minor(line[name], units)) for name in ("base_price", "tax"))
        return price - tax

    def _usd(self, order: Row, minor: int) -> int:
        """Minor units of an order's currency in cents, rounded half up."""
        rate = Fraction(1)
        for row in self.tables["exchange_rate"]:
            if row["currency"] == order["currency"] and str(row["valid_from"]) <= str(order["ordered_at"])[:10]:
                rate = Fraction(str(row["rate"]))
        return int(Fraction(minor, _UNITS[str(order["currency"])]) * rate * 100 + Fraction(1, 2))


def lives(seed: int, days: int, orders: int) -> Iterator[Shop]:
    """A shop after each of its first days."""
    shop = Shop(seed, orders)
    for number in range(days):
        shop.live(number)
        yield shop


def _id(row: Row) -> int:
    """The value of the first column."""
    return int(str(next(iter(row.values()))))


def _is_cancelled(order: Row) -> bool:
    return "ancelled" in str(order["status"])


def _day(number: int) -> str:
    return f"{FIRST + dt.timedelta(days=number)}"


def _moment(day: int, minute: int = 0, second: int = 0) -> str:
    return f"{_day(day)} {minute // 60:02d}:{minute % 60:02d}:{second:02d}+00"


def _text(minor: int, units: int) -> str:
    return f"{minor}" if units == 1 else f"{minor // units}.{minor % units:02d}"


def _minor(text: object, units: int) -> int:
    return int(Fraction(str(text)) * units)
