"""The last checks before publication: conservation of records over the run, quality gates, record rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.aggregate.tasks import Phase2Result
from pipeline.errors import BalanceError
from pipeline.preprocess.ledger import FileLedger, Phase1Result
from pipeline.publish.nothing_kept import explain_nothing_kept, find_all_rejected, judge_kept
from pipeline.quality import Gate, QualityResult, failure, judge_gate
from pipeline.reading.record_rules import BoundRule


@dataclass(frozen=True)
class Verdict:
    """What the gates and rules found. ``stopped``: why nothing may be published; None where no gate forbids it."""

    quality: tuple[QualityResult, ...]
    stopped: str | None


def verify(
    gates: Sequence[Gate],
    rules: Sequence[BoundRule],
    phase1: Phase1Result,
    phase2: Phase2Result,
    regions: Sequence[str],
    *,
    new: Sequence[FileLedger] = (),
    was_good: Callable[[FileLedger], bool] = lambda _: False,
    allow_empty: bool = False,
) -> Verdict:
    """Check that every record is accounted for, and judge every gate and rule, and whether anything counts.

    ===============  ==========================================================================
    ``regions``      names by region code
    ``new``          the files that count for the first time
    ``was_good``     whether good records of the file at that path count in the version before
    ``allow_empty``  whether a result may be published though nothing of the input counts
    ===============  ==========================================================================

    Raises BalanceError where a record is not accounted for.
    """
    check_balance(phase1, phase2)
    quality = check_quality(gates, rules, phase1, phase2, regions)
    stopped = failure(quality)
    kept = judge_kept(phase1, phase2, allow=allow_empty)
    if kept and kept.outcome == "fail":
        stopped = explain_nothing_kept(kept)
    checks = [check for check in (kept, find_all_rejected(new, was_good)) if check]
    return Verdict((*quality, *checks), stopped)


def check_balance(phase1: Phase1Result, phase2: Phase2Result) -> None:
    """Check that Phase 2 kept or dropped every row that Phase 1 handed over; raises BalanceError where it did not."""
    handed_over = phase1.counts.handed_over
    if handed_over != phase2.kept + phase2.duplicates + phase2.conflicts:
        raise BalanceError(
            f"the run does not balance: {handed_over} records handed over, {phase2.kept} kept, {phase2.duplicates} "
            f"duplicates, {phase2.conflicts} conflicts. Nothing was published. This is a fault in the program; please "
            "report it."
        )


def check_quality(
    gates: Sequence[Gate],
    rules: Sequence[BoundRule],
    phase1: Phase1Result,
    phase2: Phase2Result,
    regions: Sequence[str],
) -> tuple[QualityResult, ...]:
    """The results of all gates, then of all rules, each in the order of the settings.

    ``regions``: names by region code.
    """
    counts = _counts_of_gates(phase1, phase2, regions)
    judged = (judge_gate(gate, *counts[gate.name]) for gate in gates)
    return (*judged, *(_judge_rule(rule, phase1) for rule in rules))


def _counts_of_gates(phase1: Phase1Result, phase2: Phase2Result, regions: Sequence[str]) -> dict[str, tuple[int, int]]:
    """For each gate: (count, of how many)."""
    found = phase1.counts
    records, rejected = found.records, found.rejected.total()
    events: dict[str, int] = {}
    for bucket in phase2.buckets:
        for code, (_, number, _) in bucket.regions.items():
            events[regions[code]] = events.get(regions[code], 0) + number
    return {
        "rejected": (rejected, records),
        "duplicates": (found.duplicates + phase2.duplicates, records),
        "conflicts": (phase2.conflicts, records),
        "unknown_region": (events.get("UNKNOWN", 0), phase2.kept),
        "invalid_region": (events.get("INVALID", 0), phase2.kept),
        "unreadable_timestamps": (found.undated, records - rejected),
    }


def _judge_rule(bound: BoundRule, phase1: Phase1Result) -> QualityResult:
    name, found = bound.rule.reason, phase1.counts
    count = (found.rejected if bound.rejects else found.warned)[name]
    return QualityResult(name, count, found.records, bound.rule.action if count else "ok")
