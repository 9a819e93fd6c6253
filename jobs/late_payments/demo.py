"""Demo books whose truth is known: how each account pays is decided first, and the files are written from that."""

import csv
import datetime as dt
import random
from pathlib import Path

_FIRST, _DAYS, _TERMS = dt.date(2024, 1, 1), 640, 30
_ACCOUNTS, _ITEMS = 60, 40
_ADDRESS = "{} Mill Lane\n2nd floor\nSpringfield"


def make(folder: Path) -> dict[str, dict[str, int]]:
    """Write all sources into ``folder``; the last invoice is due before December 2025.

    Returns the truth: by table its rows, and sums of columns; ``rejected`` where rows must be rejected.
    """
    chance = random.Random(18)
    prices = [chance.randint(1, 60_000) for _ in range(_ITEMS)]  # cents
    _write(folder / "skus.csv", ["item_id", "item_name", "item_cost_price", "item_retail_price"], [
        (f"s{at}", f"item {at}", f"{cents / 200:.9f}", f"{cents / 100:.9f}")
        for at, cents in enumerate(prices)
    ])  # fmt: skip
    delays = {f"a{at}": chance.choice((-12, -5, 0, 4, 15, 40)) for at in range(_ACCOUNTS)}
    _write(folder / "accounts.csv", ["account_id", "company_name", "company_address", "gender", "joining_date"], [
        (name, f"Company {name}", _ADDRESS.format(at), chance.choice("fmx"), _text(_FIRST - dt.timedelta(days=at)))
        for at, name in enumerate(delays)
    ])  # fmt: skip
    books = _Books(chance, prices)
    for number in range(2_000):
        books.add(f"i{number:05d}", *chance.choice(list(delays.items())))
    books.write(folder)
    return books.truth()


class _Books:
    """Collects rows of invoices and what is true of them."""

    def __init__(self, chance: random.Random, prices: list[int]) -> None:
        self._chance, self._prices = chance, prices
        self._invoices: list[tuple[object, ...]] = []
        self._lines: list[tuple[object, ...]] = []
        self._payments: list[tuple[object, ...]] = []
        self._credits: list[tuple[object, ...]] = []
        self._to_date: dict[str, int] = {}
        self._sums = dict.fromkeys(("total_cents", "item_count", "is_late", "days_to_pay", "open", "cancelled"), 0)

    def add(self, name: str, account: str, delay: int) -> None:
        """An invoice of an account that pays so many days after the due day, more or less."""
        chance, sums = self._chance, self._sums
        issued = _FIRST + dt.timedelta(days=chance.randrange(_DAYS))
        total = 0
        for item in chance.sample(range(_ITEMS), chance.randint(1, 4)):
            quantity = chance.randint(1, 9)
            self._lines.append((name, f"s{item}", quantity))
            total, sums["item_count"] = total + quantity * self._prices[item], sums["item_count"] + quantity
        sums["total_cents"] += total
        cancelled = chance.random() < 0.02
        paid = None if cancelled or chance.random() < 0.03 else max(0, _TERMS + delay + chance.randint(-10, 10))
        self._pay(name, issued, paid, total)
        status = "cancelled" if cancelled else "open" if paid is None else "paid"
        self._invoices.append((name, account, _text(issued), status))
        self._to_date[account] = self._to_date.get(account, 0) + 1
        sums["is_late"] += not cancelled and (paid is None or paid > _TERMS)
        sums["days_to_pay"] += paid or 0
        sums["open"] += total if paid is None else 0
        sums["cancelled"] += total if cancelled else 0

    def _pay(self, name: str, issued: dt.date, after: int | None, total: int) -> None:
        """Payments, of which the last one, ``after`` days, makes the invoice paid; sometimes a credit note before."""
        if after is None:
            return
        first = total // 2 if self._chance.random() < 0.3 else 0
        credited = total // 10 if self._chance.random() < 0.1 else 0
        when = issued + dt.timedelta(days=after)
        if first:
            self._payments.append((name, _text(issued + dt.timedelta(days=after // 2)), _amount(first)))
        if credited:
            self._credits.append((name, _text(issued + dt.timedelta(days=after // 3)), _amount(credited)))
        self._payments.append((name, f"{when:%Y-%m-%d}", _amount(total - first - credited)))

    def write(self, folder: Path) -> None:
        """Write the rows, with a payment of an invoice that nobody knows, and one line that is no invoice."""
        broken: tuple[object, ...] = ("broken", "a0", "31/02/2025", "open")
        _write(
            folder / "invoices.csv", ["invoice_id", "account_id", "date_issued", "status"], [*self._invoices, broken]
        )
        _write(folder / "invoice_line_items.csv", ["invoice_id", "item_id", "quantity"], self._lines)
        unknown: tuple[object, ...] = ("nobody", "1/1/2025", "1.00")
        _write(folder / "payments.csv", ["invoice_id", "paid_on", "amount"], [*self._payments, unknown])
        _write(folder / "credit_notes.csv", ["invoice_id", "issued_on", "amount"], self._credits)

    def truth(self) -> dict[str, dict[str, int]]:
        """What a run must find from December 2025 on, when all invoices are due."""
        sums, rows = self._sums, len(self._invoices)
        to_date = sum(count * (count + 1) // 2 for count in self._to_date.values())
        return {
            "invoices": {"rows": rows, "rejected": 1},
            "receipts": {"rejected": 1},
            "settlements": {"rows": rows, "total_cents": sums["total_cents"]},
            "balances": {"change_cents": sums["open"]},
            "late_payment_features": {
                "rows": rows, "item_count": sums["item_count"], "is_late": sums["is_late"],
                "days_to_pay": sums["days_to_pay"], "invoices_to_date": to_date,
            },
            "ageing": {"sales_cents": sums["total_cents"] - sums["cancelled"]},
        }  # fmt: skip


def _text(day: dt.date) -> str:
    return f"{day.day}/{day.month}/{day.year}"


def _amount(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _write(path: Path, header: list[str], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
