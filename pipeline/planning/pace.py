"""How fast this machine is, learned from its own runs and kept in the cache folder."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

_FILE = "pace.json"
_REMEMBERED = 5
_START = "start"


_LEAST, _MOST = 0.02, 100.0


@dataclass(frozen=True)
class Pace:
    """``recent``: what the last runs showed of each kind of work: how many times as long as by the shipped figures it
    took; of starting, by how many seconds longer. The median counts, so that one run on a busy machine misleads little.
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
        """Of one kind of work; 1 where nothing is known."""
        return median(self.recent.get(kind, (1.0,)))

    def learn(self, kind: str, expected: float, took: float) -> "Pace":
        """With what one run took for a kind of work of which ``expected`` seconds are the shipped figure."""
        return self._with(kind, min(max(took / expected, _LEAST), _MOST)) if expected > 0 else self

    def learn_start(self, expected: float, took: float) -> "Pace":
        """With what one run took to start."""
        return self._with(_START, took - expected)

    def _with(self, kind: str, value: float) -> "Pace":
        return Pace({**self.recent, kind: (*self.recent.get(kind, ()), value)[-_REMEMBERED:]})


def load_pace(folder: Path) -> Pace:
    """What earlier runs have left; nothing where there is none, or a file that is not ours."""
    try:
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        recent = {str(kind): tuple(map(float, values)) for kind, values in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return Pace()
    usable = all(values and all(abs(value) <= _MOST for value in values) for values in recent.values())
    factors = [value for kind, values in recent.items() if kind != _START for value in values]
    return Pace(recent) if usable and all(value >= _LEAST for value in factors) else Pace()


def save_pace(pace: Pace, folder: Path) -> None:
    """Leave it for later runs. Where the cache cannot be written, these predict by the shipped figures."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{_FILE}.{os.getpid()}"
        partial.write_text(json.dumps(pace.recent) + "\n", encoding="utf-8")
        partial.replace(folder / _FILE)
