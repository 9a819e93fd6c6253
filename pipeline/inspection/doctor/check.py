"""The result that every check of ``doctor`` returns, and that the command prints."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        status: ``ok``; ``warn`` where a run works, but not well; ``fail`` where a run would stop.
        found: what the check found.
        fix: what to do; empty for ``ok``.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    fix: str = ""
