"""Rules for records: which rows break them, by rules of Python, and which columns a file must have."""

import re
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.quality import Rule
from pipeline.reading.record_rules import RuleFindings, apply_rules, bind_rules, rule_columns

ACCEPTED = {
    "user_id": ("user_id", "uid"),
    "watch_time": ("watch_time(min)",),
    "timestamp": ("timestamp", "ts"),
}
READ = {role: ACCEPTED[role] for role in ("user_id", "watch_time")}
texts = st.lists(st.text(st.sampled_from("ab1\n é"), max_size=4), max_size=20)


def bind(*rules: Rule):
    return bind_rules(rules, ACCEPTED, READ)


def test_a_rule_finds_its_column_by_any_of_its_names() -> None:
    bound = bind(
        Rule("u", "warn", "uid", pattern="."),
        Rule("t", "warn", "ts", pattern="."),
        Rule("d", "reject", "device_type", allowed=("tv",)),
        Rule("e", "warn", "device_type", allowed=("tv",)),
        Rule("m", "reject", max_minutes=1.0),
    )
    assert [b.role for b in bound] == [
        "user_id", "column timestamp", "column device_type", "column device_type", "watch_time",
    ]  # fmt: skip
    required, optional = rule_columns(bound, READ)
    assert required == READ | {"column device_type": ("device_type",)}
    assert optional == {"column timestamp": ("timestamp", "ts")}
    assert rule_columns((), READ) == (READ, {})


@pytest.mark.parametrize("pattern", ["(", "a)|(b", "(?=a)", "(?x)a # b)|(c\n)"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"'odd'.*look-around"):
        bind(Rule("odd", "warn", "uid", pattern=pattern))


@pytest.mark.parametrize(
    "pattern",
    ["(?x)a | b # either", "(?x)\n a # one\n | b # or the other\n", "(?x) a # )\n|b # |c)(", "(?-x)a|b", "[ab]"],
)
def test_a_pattern_may_have_comments(pattern: str) -> None:
    (rule,) = bind(Rule("p", "reject", "uid", pattern=pattern))
    values = ["a", "b", "c", "ab", "a\n", "", "a # either", "a ", "|c)("]
    found = apply_rules([rule], {"user_id": pl.Series(values)}, np.zeros(len(values), np.int64), ())
    assert sorted(found.broken) == [row for row, value in enumerate(values) if value not in ("a", "b")]


@given(texts)
def test_patterns_hold_for_the_whole_text_and_lists_for_equal_ones(values: list[str]) -> None:
    rules = bind(
        Rule("pattern", "reject", "uid", pattern="a|b1*"),
        Rule("list", "reject", "uid", allowed=("a", "", "é")),
    )
    column = {"user_id": pl.Series(values, dtype=pl.String)}
    found = apply_rules(rules, column, np.zeros(len(values), np.int64), ())
    expected = {}
    for row, value in enumerate(values):
        if not re.fullmatch("a|b1*", value):
            expected[row] = ("rule:pattern", "user_id")
        elif value not in ("a", "", "é"):
            expected[row] = ("rule:list", "user_id")
    assert found == RuleFindings(expected, Counter())


def test_the_limit_of_minutes_is_exact() -> None:
    (rule,) = bind(Rule("m", "reject", max_minutes=0.1))
    found = apply_rules([rule], {"watch_time": pl.Series(["?"] * 3)}, np.array([99_999, 100_000, 100_001]), ())
    assert found.broken == {2: ("rule:m", "watch_time")}


def test_a_warning_counts_only_rows_that_are_kept_and_an_earlier_reason_stays() -> None:
    rules = bind(
        Rule("w", "warn", "uid", allowed=("a",)),
        Rule("r", "reject", "uid", allowed=("a", "b")),
        Rule("absent", "warn", "elsewhere", allowed=("a",)),
    )
    found = apply_rules(rules, {"user_id": pl.Series(["x", "b", "a", "x"])}, np.zeros(4, np.int64), {0})
    assert found == RuleFindings({3: ("rule:r", "user_id")}, Counter({"rule:w": 1}))
