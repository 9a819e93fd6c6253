"""Rows as CSV and JSON."""

import csv
import io
import json
from decimal import Decimal

import pytest

from cli.answers import as_csv, as_json
from pipeline.inspection.query import Found, Value


def found(*rows: tuple[Value, ...], columns: tuple[str, ...] = ("a",), nested: tuple[bool, ...] = ()) -> Found:
    return Found(columns, nested or (False,) * len(columns), rows, cut=False)


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_no_text_of_a_csv_begins_a_formula(start: str) -> None:
    attack = f"{start}cmd|' /C calc'!A0"
    assert cells(as_csv(found((attack,), columns=(f"{start}1",)))) == [[f"'{start}1"], [f"'{attack}"]]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-5, "-5"),
        (-0.5, "-0.5"),
        (Decimal("-1.50"), "-1.50"),
        (2**100, str(2**100)),
        ("-5", "'-5"),  # text: an id, not a number
        (float("-inf"), "'-inf"),
        (True, "true"),
        ("plain", "plain"),
        ('a,"b"\nc', 'a,"b"\nc'),
    ],
)
def test_numbers_stay_numbers_in_csv(value: Value, shown: str) -> None:
    assert cells(as_csv(found((value, None), columns=("a", "b"))))[1] == [shown, ""]


def test_json_keeps_types_and_lists() -> None:
    answer = found((1, "=x", '{"r":2}', None), (float("nan"), "é", "[1]", Decimal("0.5")), columns=tuple("abcd"),
                   nested=(False, False, True, False))  # fmt: skip
    assert json.loads(as_json(answer)) == [
        {"a": 1, "b": "=x", "c": {"r": 2}, "d": None},
        {"a": None, "b": "é", "c": [1], "d": 0.5},
    ]
    assert json.loads(as_json(found())) == []
