"""Tables of the dashboard, as people read them."""

from datetime import datetime

import pytest

pytest.importorskip("streamlit")

from cli.web import tables
from pipeline.inspection.query import Found


def test_numbers_are_rounded_and_moments_are_moments() -> None:
    found = Found(("minutes", "started", "users"), (False,) * 3, ((1234.5678, "2026-11-07 09:03:05", 7),), cut=False)
    table = tables.for_people(tables.as_table(found))
    assert table.to_pylist() == [{"minutes": 1235.0, "started": datetime(2026, 11, 7, 9, 3, 5), "users": 7}]
    assert tables.for_people(tables.as_table(Found(("minutes",), (False,), (), cut=False))).num_rows == 0


def test_a_missing_text_is_an_empty_cell() -> None:
    found = Found(("column", "line"), (False, False), ((None, 7), ("user_id", None)), cut=False)
    table = tables.for_people(tables.as_table(found))
    assert table.to_pylist() == [{"column": "", "line": 7}, {"column": "user_id", "line": None}]


def test_columns_of_one_name_and_wide_numbers_are_shown() -> None:
    found = Found(("a", "a"), (False, False), ((10**30, 1), (None, 2)), cut=False)
    assert tables.as_table(found).to_pylist() == [{"a": str(10**30), "a_1": 1}, {"a": None, "a_1": 2}]


def test_text_is_no_markdown() -> None:
    assert tables.plain("![x](http://a) $b$ :red[c] <i>") == (r"\!\[x\]\(http\:\/\/a\) \$b\$ \:red\[c\] \<i\>")
