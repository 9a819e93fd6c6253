"""The last checks before publication, against sums by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate.tasks import Phase2Result
from pipeline.errors import BalanceError
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.verify import Verdict, check_balance, check_quality, verify
from pipeline.quality import GATES, Gate, QualityResult, Rule
from pipeline.reading.record_rules import BoundRule
from tests.pipeline.publish.runs import make_bucket, make_ledger

REGIONS = ("INVALID", "UNKNOWN", "Asia")
PHASE1 = Phase1Result(
    (
        make_ledger("a.csv", handed_over=60, duplicates=10, rejected_by_reason={"bad_quote": 4, "rule:tv": 6}),
        make_ledger(
            "b.csv", number=2, handed_over=15, warned={"rule:long": 3}, rejected_by_reason={"bad_quote": 5}, undated=7
        ),
    )
)
PHASE2 = Phase2Result(
    (make_bucket(0, {0: (1, 2, 10), 1: (2, 8, 10)}), make_bucket(1, {1: (1, 1, 5), 2: (9, 53, 500)})), 7, 4
)
"""75 rows: 64 events, 7 duplicates, 4 conflicts."""
COUNTS = {
    "rejected": (15, 100),
    "duplicates": (17, 100),
    "conflicts": (4, 100),
    "unknown_region": (9, 64),
    "invalid_region": (2, 64),
    "unreadable_timestamps": (7, 85),
}


@given(handed_over=st.integers(0, 9), kept=st.integers(0, 9), dropped=st.integers(0, 9), conflicts=st.integers(0, 9))
def test_every_row_that_is_handed_over_is_kept_or_dropped(
    handed_over: int, kept: int, dropped: int, conflicts: int
) -> None:
    phase1 = Phase1Result((make_ledger("a.csv", handed_over=handed_over),))
    phase2 = Phase2Result((make_bucket(0, {2: (1, kept, 0)}),), dropped, conflicts)
    if handed_over == kept + dropped + conflicts:
        check_balance(phase1, phase2)
    else:
        with pytest.raises(BalanceError, match=f"{handed_over} records handed over, {kept} kept, {dropped} duplicates"):
            check_balance(phase1, phase2)


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_has_its_count(gate: str) -> None:
    found = check_quality([Gate(gate, warn=0.0)], (), PHASE1, PHASE2, REGIONS)
    assert found == (QualityResult(gate, *COUNTS[gate], "warn", 0.0),)


def test_gates_come_before_rules_in_the_order_of_the_settings() -> None:
    rules = [
        BoundRule(Rule("tv", "reject", "device", allowed=("tv",)), "rule:device", ("device",)),
        BoundRule(Rule("long", "warn", max_minutes=5.0), "watch_time", ("watch_time(min)",)),
        BoundRule(Rule("never", "reject", max_minutes=9.0), "watch_time", ("watch_time(min)",)),
    ]
    gates = [Gate("rejected", fail=0.15), Gate("duplicates", warn=0.1, fail=0.169)]
    verdict = verify(gates, rules, PHASE1, PHASE2, REGIONS)
    assert verdict.quality == (
        QualityResult("rejected", 15, 100, "ok", 0.15),
        QualityResult("duplicates", 17, 100, "fail", 0.169),
        QualityResult("rule:tv", 6, 100, "reject"),
        QualityResult("rule:long", 3, 100, "warn"),
        QualityResult("rule:never", 0, 100, "ok"),
    )
    assert verdict.stopped
    assert "duplicates: 17 of 100 records (17.0000%), limit 16.9000%" in verdict.stopped
    assert "rejected:" not in verdict.stopped


def test_only_a_gate_stops_a_run() -> None:
    rule = BoundRule(Rule("tv", "reject", "device", allowed=("tv",)), "rule:device", ("device",))
    assert verify([Gate("rejected", warn=0.01)], [rule], PHASE1, PHASE2, REGIONS).stopped is None


def test_a_run_that_keeps_nothing_is_stopped_unless_a_setting_allows_it() -> None:
    ledger = make_ledger("a.csv", rejected_by_reason={"bad_quote": 1, "watch_time_not_a_number": 4})
    phase1, phase2 = Phase1Result((ledger,)), Phase2Result((), 0, 0)
    verdict = verify([Gate("rejected", warn=0.5, fail=0.9)], [], phase1, phase2, REGIONS)
    detail = "4 of 5 watch_time_not_a_number, see WATCH_TIME_COLUMN"
    assert verdict.quality[1:] == (QualityResult("nothing_kept", 5, 5, "fail", detail=detail),)
    assert verdict.stopped == (
        f"nothing would count: all 5 records were rejected ({detail}). Nothing was published, the previous output "
        "still stands. Correct the logs, or set ALLOW_EMPTY_RESULT = true to publish a result "
        "without rows, and run again."
    )
    allowed = verify([], [], phase1, phase2, REGIONS, allow_empty=True)
    assert (allowed.stopped, [result.outcome for result in allowed.quality]) == (None, ["warn"])


def test_files_that_were_refused_may_have_had_records() -> None:
    empty = Phase1Result((make_ledger("empty.csv"),))
    nothing = Phase2Result((), 0, 0)
    assert verify([], [], empty, nothing, REGIONS).stopped is None, "an input without records is published"
    stopped = verify([], [], empty.refusing({"b.csv": "no header"}), nothing, REGIONS).stopped
    assert stopped is not None
    assert "no file that can be read has a record (1 file was refused)" in stopped


def test_files_of_which_every_record_is_rejected_are_named_those_that_were_good_first() -> None:
    ledgers = [
        make_ledger("good.csv", handed_over=3, rejected_by_reason={"bad_quote": 4}),
        make_ledger("empty.csv", number=2),
        make_ledger("new.csv", number=3, rejected_by_reason={"rule:tv": 2}),
        make_ledger("turned.csv", number=4, rejected_by_reason={"nul_byte": 1, "blank_user_id": 1}),
    ]
    phase1 = Phase1Result((*ledgers, make_ledger("old.csv", number=5, rejected_by_reason={"nul_byte": 9})))
    phase2 = Phase2Result((make_bucket(0, {2: (1, 3, 0)}),), 0, 0)
    verdict = verify(
        [], [], phase1, phase2, REGIONS, new=ledgers, was_good=lambda ledger: ledger.file.path == "turned.csv"
    )
    assert verdict == Verdict(
        (
            QualityResult(
                *("all_rejected", 4, 11, "warn"),
                detail="every record of turned.csv (1 of 2 blank_user_id, see USER_ID_COLUMN, though it had good "
                "records before), new.csv (all rule:tv, see RECORD_RULES)",
            ),
        ),
        None,
    )


def test_many_files_of_which_every_record_is_rejected_are_counted() -> None:
    ledgers = [make_ledger(f"{number}.csv", number=number, rejected_by_reason={"nul_byte": 1}) for number in range(13)]
    verdict = verify([], [], Phase1Result(tuple(ledgers)), Phase2Result((), 0, 0), REGIONS, new=ledgers)
    assert verdict.quality[1].detail.endswith("9.csv (all nul_byte) and 3 more files")


def test_nothing_is_judged_of_a_run_that_does_not_balance() -> None:
    with pytest.raises(BalanceError, match="75 records handed over"):
        verify([], [], PHASE1, Phase2Result(PHASE2.buckets, 7, 3), REGIONS)
