"""Quality gates: what a run found, compared with the limits that its user set."""

from collections.abc import Sequence

from pipeline.ledger import Phase1
from pipeline.phase2 import Totals
from pipeline.quality_settings import Gate
from pipeline.record_rules import BoundRule
from pipeline.results import QualityResult
from pipeline.splits import display_name

_FILES_NAMED = 5


def check_quality(
    gates: Sequence[Gate], rules: Sequence[BoundRule], outcome: Phase1, totals: Totals, regions: Sequence[str]
) -> tuple[QualityResult, ...]:
    """The result of every gate and rule, in the order of the settings; ``regions``: names by region code."""
    counts = _counts(outcome, totals, regions)
    return (*(_judge(gate, *counts[gate.name]) for gate in gates), *_rule_results(rules, outcome, counts))


def failure(results: Sequence[QualityResult]) -> str | None:
    """Which gates stop publication, with limit and finding; None where none does."""
    failed = [str(result) for result in results if result.outcome == "fail"]
    if not failed:
        return None
    return (
        f"a quality gate stopped publication: {'; '.join(failed)}. Nothing was published, the previous output still "
        "stands. Mend the logs, or change QUALITY_GATES, and run again."
    )


def missing_columns(rules: Sequence[BoundRule], outcome: Phase1) -> list[str]:
    """A line for each warning rule whose column some files lack."""
    notes = []
    for bound in rules:
        files = [
            display_name(ledger.file.path)
            for ledger in outcome.ledgers
            if ledger.file.header and bound.role not in ledger.file.header.columns
        ]
        if files:
            more = f" and {len(files) - _FILES_NAMED:,} more" if len(files) > _FILES_NAMED else ""
            notes.append(
                f"{bound.rule.reason} was not applied to files without the column {bound.names[0]!r}: "
                f"{', '.join(files[:_FILES_NAMED])}{more}"
            )
    return notes


def column_layouts(outcome: Phase1) -> list[str]:
    """A line where the files' headers differ."""
    layouts = {ledger.file.header.names for ledger in outcome.ledgers if ledger.file.header}
    if len(layouts) < 2:
        return []
    return [f"the headers differ: {len(layouts):,} layouts of columns in {len(outcome.ledgers):,} files, see run.json"]


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


def _judge(gate: Gate, count: int, of: int) -> QualityResult:
    share = count / of if of else 0.0
    for action, limit in (("fail", gate.fail), ("warn", gate.warn)):
        if limit is not None and share > limit:
            return QualityResult(gate.name, count, of, action, limit)
    return QualityResult(gate.name, count, of, "ok", gate.fail if gate.warn is None else gate.warn)


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
