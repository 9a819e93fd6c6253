"""The digest of rows, and the text of a key."""

import datetime as dt
import random
from decimal import Decimal

import polars as pl
import pytest

from pipeline.sources.databases.extract_table import RowDigest, key_text

ROWS = pl.DataFrame(
    {
        "a": ["x", "y", None, "", "x"],
        "b": ["y", "x", "", None, "x"],
        "n": [1, 2, 2, 1, None],
        "d": [Decimal("1.5"), None, Decimal("2.5"), Decimal("2.5"), Decimal("1.5")],
        "t": [dt.datetime(2026, 1, day) for day in range(1, 6)],
        "f": [True, None, False, True, False],
        "r": [0.5, 1e300, None, -0.25, 0.5],
    }
)


def digest(*parts: pl.DataFrame) -> str:
    found = RowDigest()
    for part in parts:
        found.add(part)
    return found.text


def test_order_and_parts_do_not_matter() -> None:
    shuffled = ROWS.sample(fraction=1, shuffle=True, seed=3)
    assert digest(shuffled[:2], shuffled[2:2], shuffled[2:]) == digest(ROWS)


@pytest.mark.parametrize("column", ROWS.columns)
def test_values_belong_to_their_rows_and_columns(column: str) -> None:
    swapped = ROWS.with_columns(pl.col(column).reverse())
    assert digest(swapped) != digest(ROWS)
    assert digest(ROWS.rename({"a": "b", "b": "a"}).select(ROWS.columns)) != digest(ROWS)


def test_copies_count() -> None:
    assert digest(ROWS, ROWS[:1]) != digest(ROWS)
    assert digest(ROWS, ROWS[:1]) != digest(ROWS, ROWS[1:2])


def test_no_two_keys_have_one_text() -> None:
    chance = random.Random(5)
    keys = {tuple(chance.choice(["", "1", "1:", ",", "1:,", "é"]) for _ in range(2)) for _ in range(200)}
    rows = pl.DataFrame(sorted(keys), schema=["a", "b"], orient="row")
    assert rows.select(key_text(["a", "b"]).n_unique()).item() == len(keys)
    assert rows.select(key_text(["a"]))["a"].to_list() == rows["a"].to_list()
    assert ROWS.select(key_text(["a", "n"])).to_series().null_count() == 2
