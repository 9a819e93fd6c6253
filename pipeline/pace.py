"""How fast this machine is, learned from its own runs and kept in the cache folder."""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_FILE = "pace.json"
_WEIGHT = 0.5
"""Of the last run, once there were others."""
_RANGE = (0.05, 50.0)


@dataclass(frozen=True)
class Pace:
    """``start``: seconds that starting takes beyond the shipped figure; ``factors``: how many times as long as shipped
    a kind of work takes. Empty on a machine that has not run yet."""

    start: float = 0.0
    factors: Mapping[str, float] = field(default_factory=dict)

    def factor(self, kind: str) -> float:
        """Of one kind of work; 1 where nothing is known."""
        return self.factors.get(kind, 1.0)

    def learn(self, kind: str, expected: float, took: float) -> "Pace":
        """With what one run took for a kind of work of which ``expected`` seconds are the shipped figure."""
        if expected <= 0 or took <= 0:
            return self
        now = min(max(took / expected, _RANGE[0]), _RANGE[1])
        before = self.factors.get(kind, now)
        return Pace(self.start, {**self.factors, kind: math.exp(_mix(math.log(before), math.log(now)))})

    def learn_start(self, expected: float, took: float) -> "Pace":
        """With what one run took to start."""
        now = took - expected
        return Pace(_mix(self.start, now) if self.start else now, self.factors)


def _mix(before: float, now: float) -> float:
    return before * (1 - _WEIGHT) + now * _WEIGHT


def load_pace(folder: Path) -> Pace:
    """What earlier runs have left; nothing where there is none, or a file that is not ours."""
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        factors = {str(kind): float(value) for kind, value in content["factors"].items()}
        start = float(content["start"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Pace()
    if not all(_RANGE[0] <= value <= _RANGE[1] for value in factors.values()) or not abs(start) < _RANGE[1]:
        return Pace()
    return Pace(start, factors)


def save_pace(pace: Pace, folder: Path) -> None:
    """Leave it for later runs. Where the cache cannot be written, these predict by the shipped figures."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{_FILE}.{os.getpid()}"
        partial.write_text(json.dumps({"start": pace.start, "factors": dict(pace.factors)}) + "\n", encoding="utf-8")
        partial.replace(folder / _FILE)
