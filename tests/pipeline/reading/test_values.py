"""Blank values against rules written apart."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.values import blank_rows
from tests import reference


def test_blank_is_empty_or_white_space_of_any_script() -> None:
    column = ["", " ", "\t", "\u00a0", "\u2003\u3000", "\u0085", "a", " a ", "\u200b", "\ufeff", "é", "0", "!", "\x7f"]
    assert blank_rows(pl.Series(column)) == [0, 1, 2, 3, 4, 5]


@given(st.lists(st.text(st.one_of(st.sampled_from(reference.WHITE_SPACE), st.characters()), max_size=3), max_size=20))
def test_blank_rows_equal_the_rule(column: list[str]) -> None:
    column = [text.encode("utf-8", "replace").decode() for text in column]
    expected = [row for row, text in enumerate(column) if not text.strip(reference.WHITE_SPACE)]
    assert blank_rows(pl.Series(column, dtype=pl.String)) == expected
