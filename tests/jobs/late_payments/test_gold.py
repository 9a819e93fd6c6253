"""Features and receivables, row by row, against plain SQL (``oracle.sql``) over books by chance."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import duckdb
import hypothesis
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.late_payments.gold import LABELS
from pipeline.datasets.failures import TransformError
from pipeline.errors import ConfigError
from tests.jobs.late_payments.books import (
    FIRST,
    SETTINGS,
    STATUSES,
    TODAY,
    Book,
    day,
    days_from,
    invoices_from,
    late_payments,
    lines_of,
    make_tables,
    random_book,
    receipts_from,
)
from tests.pipeline.datasets.jobs_for_tests import read, run

ORACLE = Path(__file__).with_name("oracle.sql").read_text()


def ask_oracle(book: Book, today: dt.date = TODAY) -> duckdb.DuckDBPyConnection:
    """A database with the tables that the job must make of a book."""
    database = duckdb.connect(":memory:", config={"threads": 1})
    for name, rows in book.frames(late_payments()).items():
        database.register("given", rows.collect().to_arrow())
        database.execute(f"create table {name} as from given")
        database.unregister("given")
    database.execute(f"set variable today = date '{today}'; set variable terms = {SETTINGS['terms_days']}")
    database.execute(ORACLE)
    return database


@pytest.mark.slow
@pytest.mark.parametrize("today", [TODAY, day(200), day(800)])
@pytest.mark.parametrize("seed", [1, 2])
def test_tables_are_what_plain_sql_makes(seed: int, today: dt.date) -> None:
    book = random_book(seed)
    made, database = make_tables(book, today), ask_oracle(book, today)
    for name in ("late_payment_features", "ageing", "dso"):
        keys = late_payments().datasets[name].key
        for column in made[name].columns:
            found = dict(zip(made[name].select(keys).rows(), made[name][column], strict=True))
            rows = database.execute(f"select {', '.join(keys)}, {column} from {name}").fetchall()
            expected = {row[:-1]: _near(row[-1]) for row in rows}
            assert len(rows) == len(expected) > 3
            assert found == expected, f"{name}.{column}"


def _near(value: object) -> object:
    """Floats are compared with what differs by a few units in the last place, everything else exactly."""
    return pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value


def features(book: Book, today: dt.date = TODAY) -> dict[str, dict[str, object]]:
    """The features of each invoice, without its labels."""
    return {
        row["invoice_id"]: {name: value for name, value in row.items() if name not in LABELS}
        for row in make_tables(book, today, only=("late_payment_features",))["late_payment_features"].rows(named=True)
    }


NAMES, LATER = [f"i{at}" for at in range(6)], [f"a-later{at}" for at in range(3)]
"""Names of later invoices come first in their order, so that a rank by name alone would be found out."""


@st.composite
def two_books(draw: st.DrawFn) -> tuple[dt.date, Book, Book]:
    """A day, and two books that say the same of all that happened before its end, but receipts of the day itself."""
    cut = draw(st.integers(20, 200))
    known, future = [], []
    for row in draw(invoices_from(0, NAMES, cut)):
        paid = draw(st.none() | days_from(cut))
        known.append(row)
        if row[4] is None or row[4] >= day(cut):
            future.append((*row[:4], paid, draw(st.sampled_from(STATUSES))))
        else:
            future.append((*row[:5], draw(st.sampled_from(STATUSES))))
    names = [row[0] for row in known]
    accounts = [("a0", FIRST), ("a1", None)]
    receipts = {name: draw(receipts_from(0, names)) for name in ("payments", "credit_notes")}
    one = Book(accounts, known, lines_of(names), payments=receipts["payments"], credit_notes=receipts["credit_notes"])
    later = draw(invoices_from(cut + 1, LATER))
    repeated = draw(st.sets(st.sampled_from(names))) if names else set()
    again = [(name, "a1", day(cut + 9), None, None, "cancelled") for name in sorted(repeated)]
    opened = [*accounts, ("a0", day(cut + 9))]
    other = Book(opened, [*future, *later, *again], lines_of([*names, *(row[0] for row in later)]))
    for name, rows in receipts.items():
        before = [row for row in rows if row[1] < day(cut)]
        setattr(other, name, before + draw(receipts_from(cut, [*names, *(row[0] for row in later)])))
    return day(cut), one, other


@pytest.mark.slow
@hypothesis.settings(max_examples=25, deadline=None)
@given(two_books(), st.booleans())
def test_nothing_of_the_future_changes_a_feature_by_a_bit(books: tuple[dt.date, Book, Book], at_once: bool) -> None:
    """Invoices, payments, credit notes and payment dates from day d on, statuses, and as-of are free."""
    d, one, other = books
    before, after = features(one, d if at_once else TODAY), features(other)
    assert before
    assert {name: after[name] for name in before} == before


def test_labels_do_depend_on_the_future() -> None:
    """The property above would find a leak: it holds for features, not for labels."""
    invoice = ("i1", "a0", day(0), None, None, None)
    line = ("i1", "s3", 1)
    open_book = Book([("a0", FIRST)], [invoice], [line])
    paid_book = Book([("a0", FIRST)], [invoice], [line], payments=[("i1", day(10), 1_000)])
    labels = [make_tables(book)["late_payment_features"].select(LABELS[:2]).row(0) for book in (open_book, paid_book)]
    assert labels == [(1, None), (0, 10)]


def test_an_invoice_that_is_not_yet_due_has_no_label() -> None:
    book = Book([("a0", FIRST)], [("i1", "a0", day(0), None, None, None)], [("i1", "s3", 1)])
    found = {at: make_tables(book, day(at))["late_payment_features"]["is_late"].to_list() for at in (0, 30, 31)}
    assert found == {0: [None], 30: [None], 31: [1]}


def test_partial_payments_and_credit_notes_pay_an_invoice_on_the_day_they_reach_its_total() -> None:
    book = Book([("a0", FIRST)], [("i1", "a0", day(0), None, None, None)], [("i1", "s3", 3)])
    book.payments = [("i1", day(5), 1_000), ("i1", day(7), 999), ("i1", day(9), 500)]
    book.credit_notes = [("i1", day(8), 1_000)]
    made = make_tables(book)
    assert made["settlements"]["paid_on"].to_list() == [day(9)]
    assert made["balances"].select("day", "change_cents", "open_cents").rows() == [
        (day(0), 3_000, 3_000), (day(5), -1_000, 2_000), (day(7), -999, 1_001), (day(8), -1_000, 1), (day(9), -1, 0),
    ]  # fmt: skip


def test_prices_of_nine_decimals_are_added_exactly_and_rounded_once_half_up() -> None:
    lines = [("i1", "s0", 1), ("i2", "s0", 3), ("i3", "s1", 7), ("i3", "s4", 1), ("i4", "s0", -1)]
    book = Book([("a0", FIRST)], [(f"i{at}", "a0", day(at), None, None, None) for at in (1, 2, 3, 4)], lines)
    totals = make_tables(book)["late_payment_features"]["invoice_total"]
    # 0.005; 0.015; 7 × 1.234567891 + 33.333333333 = 41.97530857; -0.005
    assert [str(total) for total in totals] == ["0.01", "0.02", "41.98", "-0.01"]


def row_of(table: pl.DataFrame, *columns: str) -> dict[str, object]:
    """By invoice or account the values of some columns; a single one as it is."""
    found = table.select(table.columns[0], *columns).rows()
    return {row[0]: row[1] if len(row) == 2 else row[1:] for row in found}


def test_an_invoice_whose_total_is_not_known_has_no_label_until_its_own_day_of_payment() -> None:
    """i1 has no lines, i2 an unknown item of two, i3 is known; i4 to i6 are as these, with a day of payment."""
    issued = [(f"i{at}", "a0", day(0), None, None, None) for at in (1, 2, 3)]
    paid = [(f"i{at}", "a0", day(0), None, day(when), None) for at, when in ((4, 40), (5, 20), (6, 40))]
    later = ("i9", "a0", day(45), None, None, None)
    book = Book([("a0", FIRST)], [*issued, *paid, later], [("i3", "s3", 1), ("i6", "s3", 1), ("i9", "s3", 1)])
    book.invoice_line_items += [(name, item, 2) for name in ("i2", "i5") for item in ("s3", "nothing")]
    book.payments = [("i2", day(3), 100_000)]
    made = make_tables(book, day(60))
    features = made["late_payment_features"]
    assert row_of(features, "invoice_total", "item_count", "unknown_items", "pieces_10_to_100") == {
        "i1": (None, 0, 0, 0), "i2": (None, 4, 1, None), "i3": (Decimal(10), 1, 0, 1),
        "i4": (None, 0, 0, 0), "i5": (None, 4, 1, None), "i6": (Decimal(10), 1, 0, 1), "i9": (Decimal(10), 1, 0, 1),
    }  # fmt: skip
    assert row_of(features, "is_late", "days_to_pay", "outcome_on") == {
        "i1": (None, None, None), "i2": (None, None, None), "i3": (1, None, day(31)),
        "i4": (1, 40, day(40)), "i5": (0, 20, day(20)), "i6": (1, 40, day(31)), "i9": (None, None, None),
    }  # fmt: skip
    # Before day 45: i3 to i6 are known, i3 is open, and i3 and i6 have a total.
    prior = ("prior_known", "prior_late", "open_invoices", "overdue_invoices", "open_total", "total_to_mean")
    assert row_of(features, *prior)["i9"] == (4, 3, 1, 1, Decimal(10), 1.0)
    assert made["dso"].select("month", "sales_cents", "unknown_total_invoices").rows()[:2] == [
        ("2024-01", 2_000, 4), ("2024-02", 1_000, 0),
    ]  # fmt: skip


def test_nothing_is_owed_of_an_invoice_that_is_called_paid_without_a_day() -> None:
    statuses = ("Paid", "disputed", "cancelled", "open")
    book = Book([("a0", FIRST)], [(name, "a0", day(0), None, None, name) for name in statuses])
    book.invoice_line_items = [(name, "s3", at + 1) for at, name in enumerate(statuses)]
    made = make_tables(book, day(20))
    assert row_of(made["late_payment_features"], "is_late", "days_to_pay")["Paid"] == (None, None)
    amounts = ("current_cents", "disputed_cents", "open_cents", "sales_cents", "paid_some_day_invoices")
    assert row_of(made["ageing"], *amounts) == {"a0": (4_000, 2_000, 6_000, 7_000, 1)}
    assert made["dso"].select(amounts[2:]).rows() == [(6_000, 7_000, 1)]


MOST = 2**63 - 1


@pytest.mark.parametrize(
    ("items", "unknown"), [(("s3", "s3"), 1), (("s3", "s4"), 1), (("s6", "s6"), 1), (("s6", "s0"), 2)]
)
def test_pieces_that_64_bits_do_not_hold_are_unknown_and_never_wrap(items: tuple[str, str], unknown: int) -> None:
    """Over lines of one item, and over items; s6 costs nothing, so that both items of the last book have an amount."""
    book = Book([("a0", FIRST)], [(f"i{at}", "a0", day(at), None, None, None) for at in (1, 2)])
    book.invoice_line_items = [("i1", items[0], MOST), ("i1", items[1], 9), ("i2", "s3", 1)]
    made = make_tables(book)["late_payment_features"]
    assert row_of(made, "invoice_total", "item_count", "pieces_10_to_100")["i1"] == (None, None, None)
    assert row_of(made, "unknown_items") == {"i1": unknown, "i2": 0}
    assert row_of(made, "invoice_total", "item_count", "is_late")["i2"] == (Decimal(10), 1, 1)


@pytest.mark.parametrize(("quantity", "fits"), [(MOST // 1_000, True), (MOST // 1_000 + 1, False), (-MOST, False)])
def test_an_amount_that_64_bits_do_not_hold_is_unknown(quantity: int, fits: bool) -> None:
    book = Book([("a0", FIRST)], [("i1", "a0", day(1), None, None, None)], [("i1", "s3", quantity)])
    found = make_tables(book, only=("settlements",))["settlements"]
    expected = (quantity * 1_000, quantity, 0) if fits else (None, quantity, 1)
    assert row_of(found, "total_cents", "item_count", "unknown_items")["i1"] == expected


def test_a_line_that_does_not_say_its_pieces_leaves_the_total_unknown(tmp_path: Path) -> None:
    book = Book([("a0", FIRST)], [(f"i{at}", "a0", day(at), None, None, None) for at in (1, 2)])
    book.invoice_line_items = [("i1", "s3", 1), ("i1", "s3", None), ("i1", "s4", 1), ("i2", "s3", 1)]
    book.payments = [("i1", day(5), 10_000)]
    book.write(tmp_path / "source")
    found = read(run(late_payments(), tmp_path), "late_payment_features")
    assert row_of(found, "invoice_total", "item_count", "unknown_items", "is_late") == {
        "i1": (None, None, 1, None), "i2": (Decimal(10), 1, 0, 1),
    }  # fmt: skip


def test_sums_over_invoices_are_exact_or_told(tmp_path: Path) -> None:
    """Two totals of an account, of which 64 bits hold each: features have their sum, and the ageing cannot."""
    book = Book([("a0", FIRST)], [(f"i{at}", "a0", day(at), None, None, None) for at in (1, 2, 3)])
    book.invoice_line_items = [("i1", "s3", MOST // 1_000), ("i2", "s3", MOST // 1_000), ("i3", "s3", 1)]
    made = make_tables(book, only=("late_payment_features",))["late_payment_features"]
    total = Decimal(MOST // 1_000 * 10)
    assert row_of(made, "open_total", "total_to_mean")["i3"] == (2 * total, pytest.approx(10 / float(total)))
    book.write(tmp_path / "source")
    with pytest.raises(TransformError, match=r"ageing failed .* account_id = a0: a sum or product does not fit into"):
        run(late_payments(), tmp_path)


def test_of_several_rows_of_one_id_the_earliest_counts_and_the_others_are_a_finding(tmp_path: Path) -> None:
    """Equal rows are none."""
    book = Book([("a0", FIRST), ("a0", day(-9)), ("a0", None), ("a1", None), ("a1", None)])
    book.skus += [("s3", "9.5"), ("s3", "10")]
    book.invoices = [("i1", "a0", day(at), None, day(at + 1), None) for at in (5, 7, 6)]
    book.invoices += [("i2", "a1", day(1), None, paid, None) for paid in (day(3), None)] * 2
    book.invoice_line_items = [("i1", "s3", 2), ("i2", "s3", 1)]
    book.write(tmp_path / "source")
    result = run(late_payments(), tmp_path)
    rows = read(result, "late_payment_features")
    assert row_of(rows, "account_id", "issued_on", "invoice_total", "days_to_pay", "account_age_days") == {
        "i1": ("a0", day(5), Decimal(20), 1, 14), "i2": ("a1", day(1), Decimal(10), 2, None),
    }  # fmt: skip
    assert {one.table: (one.broken, one.outcome) for one in result.checks if one.check == "expression:one_content"} == {
        "customers": (1, "warn"), "items": (1, "warn"), "invoice_headers": (2, "warn"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("validation_from", "1/6/2025"), ("validation_from", "2025-13-01"), ("validation_from", "20250601"),
        ("validation_from", "soon"), ("terms_days", -1), ("terms_days", 10**9),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_before_anything_is_read(tmp_path: Path, name: str, value: str | int) -> None:
    """There is no source, which would be told otherwise."""
    with pytest.raises(ConfigError, match=rf"the setting {name} is '?{value}'?, expected"):
        run(late_payments(), tmp_path, settings={name: value})
