"""Tables of names and counts on terminals of any width."""

import pytest

from cli.counts_table import counts_table

ROWS = [
    ("table", "rows", "rejected", "dropped", "seconds"), ("orders", "1,234,567", "0", "12", "0.50"),
    ("lines", "7", "3", "0", "12.25"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (None, ["table        rows  rejected  dropped  seconds", "orders  1,234,567         0       12     0.50",
                "lines           7         3        0    12.25"]),
        (45, ["table        rows  rejected  dropped  seconds", "orders  1,234,567         0       12     0.50",
              "lines           7         3        0    12.25"]),
        (44, ["table        rows  rejected  seconds", "orders  1,234,567         0     0.50",
              "lines           7         3    12.25"]),
        (30, ["table        rows  rejected", "orders  1,234,567         0", "lines           7         3"]),
        (3, ["table        rows  rejected", "orders  1,234,567         0", "lines           7         3"]),
    ],
)  # fmt: skip
def test_columns_are_left_out_until_the_table_fits(width: int | None, expected: list[str]) -> None:
    assert counts_table(ROWS, least=("dropped", "seconds"), width=width) == expected


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    assert counts_table(ROWS, least=("dropped", "seconds"))[0] == "table        rows  rejected"
