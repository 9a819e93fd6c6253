"""The pace of this machine, learned from its own runs and kept in the cache folder."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

_FILE = "pace.json"
_RUNS = 5
"""How many runs are remembered."""
_START = "start"
"""The kind of work whose values are seconds; those of every other kind are ratios."""
_MIN_RATIO, _MAX_RATIO = 0.02, 100.0


@dataclass(frozen=True)
class Pace:
    """Ratio of measured to shipped seconds for each kind of work, in the last runs.

    ``recent``: by kind of work (``compiled`` or ``plain``: Phase 1 with and without the compiled parser; ``polars``,
    ``spark`` or ``sql``: Phase 2; ``publish``), the latest run last. For ``start`` the values are measured less shipped
    seconds. The median decides, so that one run on a busy machine has little effect.
    """

    recent: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def start(self) -> float:
        """Seconds that starting takes beyond the shipped figure."""
        return median(self.recent.get(_START, (0.0,)))

    @property
    def learned(self) -> bool:
        """Whether any work was measured here."""
        return bool(self.recent.keys() - {_START})

    def factor(self, kind: str) -> float:
        """The ratio for one kind of work; 1 where no run has measured it."""
        return median(self.recent.get(kind, (1.0,)))

    def learn(self, kind: str, expected: float, took: float) -> "Pace":
        """The pace after a run that ``took`` so many seconds; ``expected``: by the shipped figures."""
        return self._with(kind, min(max(took / expected, _MIN_RATIO), _MAX_RATIO)) if expected > 0 else self

    def learn_start(self, expected: float, took: float) -> "Pace":
        """The pace after a run that ``took`` so many seconds to start; ``expected``: by the shipped figures."""
        return self._with(_START, took - expected)

    def _with(self, kind: str, value: float) -> "Pace":
        return Pace({**self.recent, kind: (*self.recent.get(kind, ()), value)[-_RUNS:]})


def load_pace(folder: Path) -> Pace:
    """The pace that earlier runs saved in ``folder``; an empty one where none did, or where the file makes no sense."""
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        recent = {str(kind): tuple(map(float, values)) for kind, values in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return Pace()
    usable = all(values and all(abs(value) <= _MAX_RATIO for value in values) for values in recent.values())
    ratios = [value for kind, values in recent.items() if kind != _START for value in values]
    return Pace(recent) if usable and all(value >= _MIN_RATIO for value in ratios) else Pace()


def save_pace(pace: Pace, folder: Path) -> None:
    """Save the pace for later runs. Where the folder cannot be written, they predict by the shipped figures."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{_FILE}.{os.getpid()}"
        partial.write_text(json.dumps(pace.recent) + "\n", encoding="utf-8")
        partial.replace(folder / _FILE)
