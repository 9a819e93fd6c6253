"""The outcome of one check."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """What was found; ``warn`` lets a run work, but not well, ``fail`` would stop it. ``fix`` says what to do then."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    fix: str = ""
