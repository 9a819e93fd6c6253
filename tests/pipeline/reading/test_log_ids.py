"""Ids of several columns: no two differ by luck, and what explain is given is the same id."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.log_ids import id_roles, join_columns, join_values, longest_value, split_id

VALUES = st.lists(st.text('0123:aé\n["', max_size=6), min_size=3, max_size=3)


@given(st.lists(VALUES, min_size=1, max_size=20))
def test_ids_are_equal_only_where_all_values_are(records: list[list[str]]) -> None:
    columns = [pl.Series([record[number] for record in records], dtype=pl.String) for number in range(3)]
    ids = join_columns(columns).to_list()
    assert ids == [join_values(record) for record in records]
    assert len(set(ids)) == len(set(map(tuple, records)))


@given(VALUES)
def test_an_id_is_taken_apart_again(values: list[str]) -> None:
    assert split_id(join_values(values), 3) == values
    assert split_id(json.dumps(values), 3) == values
    assert longest_value(join_values(values), 3) == max(values, key=len)


def test_an_id_by_hand() -> None:
    assert join_values(["ann", "é", ""]) == "3:ann2:é0:"
    assert join_columns([pl.Series(["ann"]), pl.Series(["é"]), pl.Series([""])]).to_list() == ["3:ann2:é0:"]
    assert join_columns([pl.Series(["x:1"])]).to_list() == [join_values(["x:1"])] == ["x:1"]


@pytest.mark.parametrize(
    "text", ["", "3:ann", "3:ann2:é", "3:ann1:é0:", "ann,é,", '["ann", "é"]', "[1, 2, 3]", "[", "9:ann"]
)
def test_what_is_no_id_of_three_values(text: str) -> None:
    assert split_id(text, 3) is None


def test_roles_of_an_id() -> None:
    assert id_roles({"log_id": 0, "user_id": 1}) == ("log_id",)
    assert id_roles({"log_id 1": 1, "user_id": 1, "log_id 2": 0}) == ("log_id 1", "log_id 2")
