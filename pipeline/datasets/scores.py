"""Quality in figures: a score for each dimension, its history, and the limits that its history lets expect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipeline.datasets.result import CheckResult

DIMENSIONS = ("completeness", "uniqueness", "validity", "accuracy", "consistency", "freshness")
_MOST_RUNS = 60
_LEAST_RUNS = 5
"""Runs from which a history has limits."""
_MOVING_RANGES = 2.66
"""Limits of an individuals chart: mean ± 2.66 × mean moving range (3 / 1.128; Shewhart, Wheeler)."""


@dataclass(frozen=True)
class Limits:
    """The mean of a score's history, and the limits between which its next value is expected."""

    low: float
    mean: float
    high: float


def score_checks(checks: Sequence[CheckResult]) -> dict[str, float]:
    """By dimension the percentage of what its checks looked at and found good; ``score``: their mean."""
    found = {}
    for dimension in DIMENSIONS:
        results = [check for check in checks if check.dimension == dimension]
        of = sum(check.of for check in results)
        if results:
            found[dimension] = round(100 - 100 * sum(check.broken for check in results) / of, 4) if of else 100.0
    return {**found, "score": round(sum(found.values()) / len(found), 4)} if found else {}


def extend_history(record: Mapping[str, Any], run_id: str, scores: Mapping[str, float]) -> list[dict[str, Any]]:
    """The history of the version before with the scores of this run at its end."""
    return [*record.get("quality_history", []), {"run": run_id, **scores}][-_MOST_RUNS:]


def control_limits(values: Sequence[float]) -> Limits | None:
    """The limits by the values of earlier runs; None where there are too few."""
    if len(values) < _LEAST_RUNS:
        return None
    mean = sum(values) / len(values)
    ranges = [abs(later - earlier) for earlier, later in pairwise(values)]
    width = _MOVING_RANGES * sum(ranges) / len(ranges)
    return Limits(max(0.0, mean - width), mean, min(100.0, mean + width))


def unusual(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each score of the last run that is below what its history lets expect."""
    found = []
    for name in (*DIMENSIONS, "score"):
        values = [float(run[name]) for run in history if name in run]
        limits = control_limits(values[:-1]) if history and name in history[-1] else None
        if limits and values[-1] < limits.low:
            found.append(f"{name} is {values[-1]:.2f}, and earlier runs let expect at least {limits.low:.2f}")
    return found
