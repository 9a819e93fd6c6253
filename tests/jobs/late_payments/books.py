"""Books of invoices for tests: rows by hand, by chance or by hypothesis, as frames, as files, and through the job."""

import csv
import datetime as dt
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import strategies as st

from pipeline.datasets.dataset import RUN_FACTS
from pipeline.datasets.job import JOBS, Job, load_job
from pipeline.sources.contract import conform

FIRST = dt.date(2024, 1, 1)
TODAY = dt.date(2025, 6, 30)
SETTINGS: dict[str, Any] = {"terms_days": 30, "validation_from": "2025-01-01"}
STATUSES = (None, None, None, "open", "Paid", " DISPUTED", "cancelled", "Void")
PRICES = ("0.005", "1.234567891", "9.999999999", "10", "33.333333333", "100.0", "0")
COLUMNS = {
    "accounts": ("account_id", "joining_date"),
    "invoices": ("invoice_id", "account_id", "issued_on", "due_date", "payment_date", "status"),
    "invoice_line_items": ("invoice_id", "item_id", "quantity"),
    "skus": ("item_id", "item_retail_price"),
    "payments": ("invoice_id", "paid_on", "amount_cents"),
    "credit_notes": ("invoice_id", "issued_on", "amount_cents"),
}
Row = tuple[Any, ...]
ADDRESS = 'Main Street 1\n"Old Mill", 2nd floor\r\nSpringfield'


def day(number: int) -> dt.date:
    """A day of the books by its number."""
    return FIRST + dt.timedelta(days=number)


@dataclass
class Book:
    """Rows of all sources, as ``COLUMNS`` says; amounts in cents, prices as text."""

    accounts: list[Row] = field(default_factory=list)
    invoices: list[Row] = field(default_factory=list)
    invoice_line_items: list[Row] = field(default_factory=list)
    skus: list[Row] = field(default_factory=lambda: [(f"s{at}", price) for at, price in enumerate(PRICES)])
    payments: list[Row] = field(default_factory=list)
    credit_notes: list[Row] = field(default_factory=list)

    def frames(self, job: Job) -> dict[str, pl.LazyFrame]:
        """The rows as extraction types them."""
        return {name: _frame(job, name, getattr(self, name)) for name in COLUMNS}

    def write(self, folder: Path) -> None:
        """Write all sources as files, with what a book of a company has: padded and short dates, addresses of several
        lines."""
        folder.mkdir(exist_ok=True)
        _write(folder / "accounts.csv", "account_id,company_address,joining_date", [
            (who, ADDRESS, _short(since)) for who, since in self.accounts
        ])  # fmt: skip
        _write(folder / "invoices.csv", "invoice_id,account_id,date_issued,due_date,payment_dates,status", [
            (*row[:2], _short(row[2]), *row[3:]) for row in self.invoices
        ])  # fmt: skip
        _write(folder / "invoice_line_items.csv", "invoice_id,item_id,quantity", self.invoice_line_items)
        _write(folder / "skus.csv", "item_id,item_retail_price", self.skus)
        for name, when_named in {"payments": "paid_on", "credit_notes": "issued_on"}.items():
            rows = [(which, when, f"{cents / 100:.2f}") for which, when, cents in getattr(self, name)]
            _write(folder / f"{name}.csv", f"invoice_id,{when_named},amount", rows)


def _short(when: dt.date | None) -> str:
    return f"{when.day}/{when.month}/{when.year}" if when else ""


def _write(path: Path, header: str, rows: list[Row]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header.split(","), *rows])


def _frame(job: Job, name: str, rows: list[Row]) -> pl.LazyFrame:
    kinds = job.sources[name].contract.schema()
    texts = {column: pl.String if isinstance(kinds[column], pl.Decimal) else kinds[column] for column in COLUMNS[name]}
    found = pl.DataFrame(rows, schema=texts, orient="row").cast({column: kinds[column] for column in COLUMNS[name]})
    return found.lazy().with_columns(pl.lit(None, kind).alias(c) for c, kind in kinds.items() if c not in COLUMNS[name])


def late_payments() -> Job:
    """The job."""
    return load_job(str(JOBS / "late_payments"))


def make_tables(book: Book, today: dt.date = TODAY, only: tuple[str, ...] = ()) -> dict[str, pl.DataFrame]:
    """The tables of the job (``only``: those, and what they are made of), by calling its transforms in order.

    Rows are in the order of the key.
    """
    job = late_payments()
    frames = book.frames(job)
    facts = {"as_of": dt.datetime.combine(today, dt.time(12)), "settings": SETTINGS}
    made: dict[str, pl.DataFrame] = {}
    for name, one in job.needed(only).items():
        read = {
            given: frames[given].select(columns or pl.all()) for given, columns in {**one.keyed, **one.whole}.items()
        }
        result = one.function(**read, **{given: facts[given] for given in RUN_FACTS if given in one.parameters})
        made[name] = conform(result, one.contract, name).collect().sort(one.key)
        frames[name] = made[name].lazy()
    return made


def random_book(seed: int, invoices: int = 120) -> Book:
    """A book by chance in which days coincide, and payments are partial, early, late, too much or given back. Some
    lines are of an item that nobody knows, and some accounts, items and invoices have several rows."""
    chance = random.Random(seed)
    pieces, amounts = (1, 2, 7, 40, -1), (1, 500, 1_000, 33_333, 500_000, -700)
    book = Book(accounts=[(f"a{at}", day(chance.randint(-300, 100))) for at in range(6)] + [("a6", None)])
    for number in range(invoices):
        name, issued = f"i{number}", day(chance.choice((chance.randrange(540), chance.randrange(60) * 9)))
        due = chance.choice((None, None, issued + dt.timedelta(days=chance.randint(-2, 60))))
        paid = chance.choice((None, None, None, issued + dt.timedelta(days=chance.randint(-3, 120))))
        book.invoices.append((name, f"a{chance.randrange(8)}", issued, due, paid, chance.choice(STATUSES)))
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            item = f"s{chance.randrange(len(PRICES))}" if chance.randrange(12) else "nothing"
            book.invoice_line_items.append((name, item, chance.choice(pieces)))
        for _ in range(chance.choice((0, 0, 1, 2, 3))):
            when = issued + dt.timedelta(days=chance.randint(-2, 150))
            book.payments.append((name, when, chance.choice(amounts)))
        if not chance.randrange(6):
            book.credit_notes.append(
                (name, issued + dt.timedelta(days=chance.randint(0, 40)), chance.choice((100, 99_999)))
            )
    book.payments.append(("nobody", FIRST, 5))
    book.invoices.append(book.invoices[0])
    for number in range(1, 20):
        which, who, issued, *_ = book.invoices[number]
        book.invoices.insert(0, (which, who, issued, day(number * 20), chance.choice((None, TODAY)), None))
    book.accounts += [("a1", day(7)), ("a6", day(8))]
    book.skus.insert(0, ("s3", "1.5"))
    return book


def days_from(first: int, last: int = 400) -> st.SearchStrategy[dt.date]:
    """Days of the books. The first and the last one come often, so that days coincide."""
    return st.one_of(st.just(first), st.just(last), st.integers(first, last)).map(day)


def receipts_from(first: int, names: list[str]) -> st.SearchStrategy[list[Row]]:
    """Payments or credit notes of some invoices from a day on."""
    cents = st.sampled_from((1, 500, 1_000, 10_000, -700, 10**6))
    return st.lists(st.tuples(st.sampled_from(names), days_from(first), cents), max_size=8)


def invoices_from(first: int, names: list[str], last: int = 400) -> st.SearchStrategy[list[Row]]:
    """Invoices with some of these names, issued from a day on."""

    def rows(chosen: list[str]) -> st.SearchStrategy[list[Row]]:
        maybe = st.none() | days_from(0)
        who, status = st.sampled_from(("a0", "a1")), st.sampled_from(STATUSES)
        each = (st.tuples(st.just(name), who, days_from(first, last), maybe, maybe, status) for name in chosen)
        return st.tuples(*each).map(list)

    return st.lists(st.sampled_from(names), min_size=1, unique=True).flatmap(rows)


def lines_of(names: list[str]) -> list[Row]:
    """A line or two for each invoice but the first, by its name; some are of an item that nobody knows."""
    return [
        (name, f"s{(2 * at + more) % (len(PRICES) + 1)}", 1 + at % 4)
        for at, name in enumerate(names)
        for more in range(1 + at % 2)
        if at
    ]
