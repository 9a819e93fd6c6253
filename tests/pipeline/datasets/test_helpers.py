"""Helpers of transforms against values by hand, and against plain Python."""

import datetime as dt
from collections import defaultdict

import polars as pl
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import (
    allocate,
    as_of_join,
    basis_points,
    calendar,
    exact_difference,
    exact_product,
    exact_sum,
    history,
    latest,
    product_fits,
    surrogate_key,
)

D = dt.date


def test_surrogate_keys_are_xxh64_of_values_after_their_lengths() -> None:
    rows = pl.DataFrame({"a": ["ab", "a", None, None], "n": [7, 7, 7, None], "d": [D(1970, 1, 2), None, None, None]})
    found = rows.select(surrogate_key("a", "n", "d").alias("key"))["key"]
    texts = ["2:ab1:71:1", "1:a1:7-:", "-:1:7-:"]
    assert found.to_list() == [*(xxhash.xxh64_intdigest(text.encode()) & (2**63 - 1) for text in texts), None]


def test_history_has_no_gap_and_unchanged_rows_make_no_version() -> None:
    rows = pl.LazyFrame(
        {"k": [1, 1, 1, 1, 2], "v": ["a", "a", None, "a", "z"], "t": [D(2026, 1, n) for n in (1, 2, 3, 4, 2)]}
    )
    assert history(rows, key="k", tracked=["v"], valid_from="t").collect().rows() == [
        (1, "a", D(2026, 1, 1), D(2026, 1, 3), False),
        (1, None, D(2026, 1, 3), D(2026, 1, 4), False),
        (1, "a", D(2026, 1, 4), None, True),
        (2, "z", D(2026, 1, 2), None, True),
    ]


def test_a_deleted_key_that_returns_has_two_versions() -> None:
    rows = pl.LazyFrame(
        {"k": [1, 1, 2, 2, 2], "v": ["a", "a", "x", "x", "x"], "t": [D(2026, 1, n) for n in (1, 3, 1, 2, 3)]}
    )
    moments = rows.select("t")
    assert history(rows, key="k", tracked=["v"], valid_from="t", moments=moments).collect().rows() == [
        (1, "a", D(2026, 1, 1), D(2026, 1, 2), False),
        (1, "a", D(2026, 1, 3), None, True),
        (2, "x", D(2026, 1, 1), None, True),
    ]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6), st.sampled_from(["a", "b", None])), max_size=20),
    st.booleans(),
)
def test_history_is_what_plain_python_says(rows: list[tuple[int, int, str | None]], complete: bool) -> None:
    frame = pl.LazyFrame(rows, schema={"k": pl.Int64, "t": pl.Int64, "v": pl.String}, orient="row")
    moments = frame.select("t") if complete else None
    found = history(frame, key="k", tracked=["v"], valid_from="t", moments=moments).collect()
    state: dict[int, dict[int, str | None]] = defaultdict(dict)
    for key, moment, value in rows:
        known = state[key].get(moment, "")
        state[key][moment] = value if known == "" or (value or "") > (known or "") else known
    days = sorted({moment for _, moment, _ in rows})
    for key in (1, 2, 3):
        for day in days:
            at = [row["v"] for row in found.iter_rows(named=True) if row["k"] == key and row["valid_from"] <= day
                  and (row["valid_to"] is None or day < row["valid_to"])]  # fmt: skip
            before = [moment for moment in state[key] if moment <= day]
            if complete:
                assert at == ([state[key][day]] if day in state[key] else [])
            else:
                assert at == ([state[key][max(before)]] if before else [])


def test_facts_join_the_version_of_their_time() -> None:
    versions = pl.LazyFrame(
        {"k": [1, 1], "name": ["old", "new"], "valid_from": [D(2026, 1, 2), D(2026, 1, 4)],
         "valid_to": [D(2026, 1, 3), None], "is_current": [False, True]}
    )  # fmt: skip
    facts = pl.LazyFrame({"n": range(5), "k": [1, 1, 1, 1, 2], "on": [D(2026, 1, n) for n in (1, 2, 3, 9, 9)]})
    found = as_of_join(facts, versions, on="k", at="on").sort("n").collect()
    assert found["name"].to_list() == [None, "old", None, "new", None]
    early = as_of_join(facts, versions, on="k", at="on", early=True).sort("n").collect()
    assert early["name"].to_list() == ["old", "old", None, "new", None]
    assert found.columns == ["n", "k", "on", "name"]


def test_the_calendar_has_whole_fiscal_years() -> None:
    days = calendar(D(2026, 2, 1), D(2026, 4, 1), fiscal_start=4, holidays={D(2026, 1, 1): "New Year"}).collect()
    assert (days["day"].min(), days["day"].max(), len(days)) == (D(2025, 4, 1), D(2027, 3, 31), 730)
    year = days.filter(pl.col("day") == D(2026, 1, 1)).row(0, named=True)
    assert (year["iso_year"], year["iso_week"], year["fiscal_year"], year["fiscal_quarter"]) == (2026, 1, 2026, 4)
    assert (year["holiday"], year["date_key"], year["day_of_week"]) == ("New Year", 20260101, 4)
    assert days.filter(pl.col("day") == D(2027, 1, 3)).row(0, named=True)["iso_year"] == 2026


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 10**6)), min_size=1, max_size=15),
    st.dictionaries(st.integers(1, 3), st.integers(-(10**12), 10**12), min_size=3, max_size=3),
)
def test_parts_add_up_to_the_whole_and_differ_by_less_than_one(
    rows: list[tuple[int, int]], amounts: dict[int, int]
) -> None:
    frame = pl.DataFrame(
        [(group, weight, amounts[group], at) for at, (group, weight) in enumerate(rows)],
        schema={"g": pl.Int64, "w": pl.Int64, "cents": pl.Int64, "at": pl.Int64}, orient="row",
    )  # fmt: skip
    parts = frame.with_columns(allocate("cents", "w", over="g", order="at").alias("part"))
    for group in {group for group, _ in rows}:
        one = parts.filter(pl.col("g") == group)
        weights = one["w"].to_list() if sum(one["w"]) else [1] * len(one)
        assert sum(one["part"]) == amounts[group]
        for part, weight in zip(one["part"], weights, strict=True):
            assert abs(part * sum(weights) - amounts[group] * weight) < sum(weights)


def test_basis_points_round_half_up() -> None:
    frame = pl.DataFrame({"c": [100, 50, 149, -50, 0, 10_000], "r": [290, 100, 100, 100, 5, 340]})
    assert frame.select(basis_points("c", "r"))["c"].to_list() == [3, 1, 1, -1, 0, 340]


def test_latest_keeps_one_row_of_each_key_by_order_and_then_by_all_columns() -> None:
    rows = [("a", 1, "x"), ("a", 2, None), ("a", 2, "y"), ("b", 1, None), ("c", 3, "z"), ("c", 3, "z")]
    frame = pl.LazyFrame(rows, schema=["key", "at", "value"], orient="row")
    for chance in range(3):
        mixed = frame.collect().sample(fraction=1, shuffle=True, seed=chance).lazy()
        last = latest(mixed, key=["key"], order=["at"]).collect().sort("key")
        assert last.rows() == [("a", 2, "y"), ("b", 1, None), ("c", 3, "z")]
        first = latest(mixed, key=["key"], order=["at"], keep="first").collect().sort("key")
        assert first.rows() == [("a", 1, "x"), ("b", 1, None), ("c", 3, "z")]


WHOLE = st.sampled_from((0, 1, -1, 3, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63))) | st.integers(-(2**63), 2**63 - 1)


def is_int64(number: int) -> bool:
    return -(2**63) <= number < 2**63


@given(st.lists(WHOLE, min_size=1, max_size=4))
def test_a_sum_is_exact_or_fails(numbers: list[int]) -> None:
    rows = pl.LazyFrame({"k": ["a"] * len(numbers), "n": numbers}, schema={"k": pl.String, "n": pl.Int64})
    for made in (rows.group_by("k").agg(exact_sum("n")), rows.select(exact_sum(pl.col("n")).over("k"))):
        if is_int64(sum(numbers)):
            assert set(made.collect()["n"]) == {sum(numbers)}
            assert made.collect_schema()["n"] == pl.Int64
        else:
            with pytest.raises(pl.exceptions.InvalidOperationError):
                made.collect()


@given(WHOLE, WHOLE)
def test_a_product_is_exact_or_fails_and_a_check_finds_it_before(first: int, second: int) -> None:
    rows = pl.DataFrame({"a": [first], "b": [second]}, schema={"a": pl.Int64, "b": pl.Int64})
    fits = is_int64(first * second)
    assert rows.select(product_fits("a", "b")).item() == fits
    if fits:
        assert rows.select(exact_product("a", "b")).item() == first * second
    else:
        with pytest.raises(pl.exceptions.InvalidOperationError):
            rows.select(exact_product("a", "b"))


@given(WHOLE, WHOLE)
def test_a_difference_is_exact_or_fails(first: int, second: int) -> None:
    rows = pl.DataFrame({"a": [first], "b": [second]}, schema={"a": pl.Int64, "b": pl.Int64})
    if is_int64(first - second):
        assert rows.select(exact_difference("a", "b")).item() == first - second
    else:
        with pytest.raises(pl.exceptions.InvalidOperationError):
            rows.select(exact_difference("a", "b"))


@given(WHOLE, st.integers(0, 10_000))
def test_a_share_of_any_amount_is_rounded_half_up(cents: int, points: int) -> None:
    rows = pl.DataFrame({"a": [cents]}, schema={"a": pl.Int64})
    whole = (abs(cents) * points + 5_000) // 10_000
    assert rows.select(basis_points("a", points)).item() == (whole if cents >= 0 else -whole)


def test_a_product_with_nothing_is_nothing_and_fits() -> None:
    rows = pl.DataFrame({"a": [None, 2], "b": [2**62, None]}, schema={"a": pl.Int64, "b": pl.Int64})
    assert rows.select(exact_product("a", "b"))["a"].to_list() == [None, None]
    assert rows.select(product_fits("a", "b"))["a"].to_list() == [True, True]
