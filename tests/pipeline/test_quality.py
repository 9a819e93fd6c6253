"""Gates and rules as settings declare them, and how a gate is judged, against fractions."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quality import Gate, QualityResult, Rule, failure, gates, judge_gate, rules
from utils.settings import SettingFault

LIMIT = st.one_of(st.none(), st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0]))


@given(count=st.integers(0, 400), of=st.integers(0, 400), warn=LIMIT, fail=LIMIT)
def test_a_share_above_a_limit_is_judged_by_the_severer_one(
    count: int, of: int, warn: float | None, fail: float | None
) -> None:
    count = min(count, of)
    share = Fraction(count, of) if of else Fraction(0)
    found = judge_gate(Gate("rejected", warn, fail), count, of)
    # Limits as they are written: 0.1 is a tenth, and a tenth is not above it.
    above = [limit is not None and share > Fraction(str(limit)) for limit in (fail, warn)]
    expected = "fail" if above[0] else "warn" if above[1] else "ok"
    assert (found.name, found.count, found.of, found.outcome) == ("rejected", count, of, expected)
    assert found.limit == {"fail": fail, "warn": warn, "ok": fail if warn is None else warn}[expected]


def test_the_message_names_every_gate_that_stops_the_run_and_no_other() -> None:
    results = [
        QualityResult("rejected", 1, 8, "fail", 0.1),
        QualityResult("duplicates", 1, 8, "warn", 0.1),
        QualityResult("unknown_region", 1_000, 4_000, "fail", 0.2),
        QualityResult("rule:tv", 3, 8, "reject"),
    ]
    message = failure(results)
    assert message
    assert "rejected: 1 of 8 records (12.5000%), limit 10.0000%" in message
    assert "unknown_region: 1,000 of 4,000 events (25.0000%), limit 20.0000%" in message
    assert "duplicates" not in message
    assert "rule:tv" not in message
    assert failure(results[1:2] + results[3:]) is None


def test_a_rule_has_no_limit_to_name() -> None:
    assert str(QualityResult("rule:tv", 3, 8, "reject")) == "rule:tv: 3 of 8 records (37.5000%)"
    assert str(QualityResult("rule:tv", 0, 0, "ok")) == "rule:tv: 0 of 0 records (0.0000%)"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", ()),
        (" ", ()),
        ("{}", ()),
        ({"rejected": {"warn": 0}}, (Gate("rejected", 0.0, None),)),
        ('{"conflicts": {"fail": 0.5}, "rejected": {"warn": 0.1, "fail": 1}}',
         (Gate("conflicts", None, 0.5), Gate("rejected", 0.1, 1.0))),
        ((Gate("rejected", 0.5),), (Gate("rejected", 0.5),)),
    ],
)  # fmt: skip
def test_gates_are_read_from_tables_and_from_json(raw: Any, expected: tuple[Gate, ...]) -> None:
    assert gates().read(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"tv": {"column": "device", "allowed": ["tv", ""], "action": "warn"}}',
         (Rule("tv", "warn", "device", allowed=("tv", "")),)),
        ({"a.b": {"column": "x", "pattern": "[0-9]+", "action": "reject"}},
         (Rule("a.b", "reject", "x", pattern="[0-9]+"),)),
        ({"long": {"max_minutes": 600, "action": "reject"}}, (Rule("long", "reject", max_minutes=600.0),)),
    ],
)  # fmt: skip
def test_rules_are_read_from_tables_and_from_json(raw: Any, expected: tuple[Rule, ...]) -> None:
    assert rules().read(raw) == expected
    assert [rule.reason for rule in expected] == [f"rule:{rule.name}" for rule in expected]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"rejected": {}}', "has no limit, expected warn, fail or both"),
        ('{"rejected": {"warn": 0.1}, "rejected": {"warn": 0.2}}', "'rejected' is there twice"),
        ('{"rejected": {"warn": 0.1, "warn": 0.2}}', "'warn' is there twice"),
        ('{"rejects": {"warn": 0.1}}', "no gate 'rejects', expected rejected, duplicates"),
        ('{"rejected": {"limit": 0.1}}', "has 'limit', expected only warn, fail"),
        ('{"rejected": {"warn": 0.2, "fail": 0.2}}', "warns at 0.2, expected below 0.2"),
        ('{"rejected": {"warn": 2}}', "warn of the gate 'rejected' is 2, expected a number from 0 to 1"),
        ('{"rejected": {"warn": true}}', "is True, expected a number"),
        ('{"rejected": {"warn": NaN}}', "is nan, expected a number"),
        ('{"rejected": 1}', "'rejected' is 1, expected a table"),
        ("{", "no valid JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: value[:40],
)
def test_a_mistake_in_gates_is_named(raw: str, message: str) -> None:
    with pytest.raises(SettingFault, match=message):
        gates().read(raw)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"action": "drop", "max_minutes": 1}, "has the action 'drop', expected warn or reject"),
        ({"max_minutes": 1}, "has the action None"),
        ({"action": "warn"}, "has none, expected exactly one of max_minutes, allowed, pattern"),
        ({"action": "warn", "column": "x", "allowed": ["a"], "pattern": "b"}, "has allowed, pattern, expected exactly"),
        ({"action": "warn", "column": "x", "max_minutes": 1}, "expected no column"),
        ({"action": "warn", "max_minutes": -1}, "max_minutes of the rule 'r' is -1"),
        ({"action": "warn", "pattern": "b"}, "has the column None, expected a name"),
        ({"action": "warn", "column": "", "pattern": "b"}, "has the column '', expected a name"),
        ({"action": "warn", "column": "x", "pattern": 1}, "has the pattern 1, expected a regular expression"),
        ({"action": "warn", "column": "x", "allowed": []}, r"allows \[\], expected a list of texts"),
        ({"action": "warn", "column": "x", "allowed": "tv"}, "allows 'tv', expected a list of texts"),
        ({"action": "warn", "column": "x", "allowed": [1]}, r"allows \[1\], expected a list of texts"),
        ({"action": "warn", "column": "x", "allow": ["a"]}, "has 'allow', expected only"),
    ],
)
def test_a_mistake_in_a_rule_is_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingFault, match=message):
        rules().read({"r": table})


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "ü"])
def test_a_rule_has_a_name_that_a_reason_may_hold(name: str) -> None:
    with pytest.raises(SettingFault, match="expected 1 to 64 of"):
        rules().read({name: {"action": "warn", "max_minutes": 1}})


@pytest.mark.parametrize("raw", [1, ["rejected"], "[1]", None])
def test_what_is_no_table_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        gates().read(raw)
