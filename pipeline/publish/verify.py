"""The last checks before publication: the law of conservation over the run, quality gates, record rules."""

from collections.abc import Sequence

from pipeline.aggregate.driver import Totals
from pipeline.errors import BalanceError
from pipeline.preprocess.ledger import Phase1
from pipeline.quality import Gate, QualityResult, _judge
from pipeline.reading.record_rules import BoundRule


def check_balance(outcome: Phase1, totals: Totals) -> None:
    """The law of conservation over the run."""
    handed_over = outcome.handed_over
    if handed_over != totals.kept + totals.duplicates + totals.conflicts:
        raise BalanceError(
            f"the run does not balance: {handed_over} records handed over, {totals.kept} kept, {totals.duplicates} "
            f"duplicates, {totals.conflicts} conflicts. Nothing was published. This is a fault in the program; please "
            "report it."
        )


def check_quality(
    gates: Sequence[Gate], rules: Sequence[BoundRule], outcome: Phase1, totals: Totals, regions: Sequence[str]
) -> tuple[QualityResult, ...]:
    """The result of every gate and rule, in the order of the settings; ``regions``: names by region code."""
    counts = _counts(outcome, totals, regions)
    return (*(_judge(gate, *counts[gate.name]) for gate in gates), *_rule_results(rules, outcome, counts))


def _counts(outcome: Phase1, totals: Totals, regions: Sequence[str]) -> dict[str, tuple[int, int]]:
    """For each gate: the count, and of how many."""
    records = sum(ledger.records for ledger in outcome.ledgers)
    events: dict[str, int] = {}
    for bucket in totals.buckets:
        for code, (_, number, _) in bucket.regions.items():
            events[regions[code]] = events.get(regions[code], 0) + number
    duplicates = sum(ledger.duplicates for ledger in outcome.ledgers) + totals.duplicates
    return {
        "rejected": (sum(ledger.rejected_by_reason.total() for ledger in outcome.ledgers), records),
        "duplicates": (duplicates, records),
        "conflicts": (totals.conflicts, records),
        "unknown_region": (events.get("UNKNOWN", 0), totals.kept),
        "invalid_region": (events.get("INVALID", 0), totals.kept),
    }


def _rule_results(
    rules: Sequence[BoundRule], outcome: Phase1, counts: dict[str, tuple[int, int]]
) -> list[QualityResult]:
    _, records = counts["rejected"]
    results = []
    for bound in rules:
        name = bound.rule.reason
        count = sum((ledger.rejected_by_reason if bound.rejects else ledger.warned)[name] for ledger in outcome.ledgers)
        results.append(QualityResult(name, count, records, bound.rule.action if count else "ok"))
    return results
