"""Quality gates over a run and rules for its records: how settings declare them, how a gate is judged."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from utils.settings import Kind, SettingFault

T = TypeVar("T")


GATES = ("rejected", "duplicates", "conflicts", "unknown_region", "invalid_region")


ACTIONS = ("warn", "reject")


MAX_MINUTES = 10**9
"""The longest watch time of a record."""
MICRO = 1_000_000
"""Micro-minutes in a minute: watch time is an integer until it is shown."""
_RULE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


_CONDITIONS = ("max_minutes", "allowed", "pattern")


@dataclass(frozen=True)
class Gate:
    """A limit for a share of the run: above ``warn`` the user is told, above ``fail`` nothing is published.

    ``rejected``, ``duplicates`` and ``conflicts`` are shares of the records read, the regions of the events kept.
    """

    name: str
    warn: float | None = None
    fail: float | None = None


@dataclass(frozen=True)
class Rule:
    """What every record must be; ``action`` says what becomes of one that is not: ``warn`` counts, ``reject`` rejects.

    Either ``max_minutes`` (the longest watch time that is believed), or a ``column`` (a name in the header) whose text
    is one of ``allowed`` or matches the regular expression ``pattern`` as a whole.
    """

    name: str
    action: str
    column: str | None = None
    max_minutes: float | None = None
    allowed: tuple[str, ...] | None = None
    pattern: str | None = None

    @property
    def reason(self) -> str:
        """What the quarantine and the counts call a record that breaks the rule."""
        return f"rule:{self.name}"


def gates() -> Kind:
    """Gates by name: ``{"rejected": {"warn": 0.001, "fail": 0.01}}`` as a table or as JSON text."""
    expected = (
        f"a table of gates ({', '.join(GATES)}), each with warn, fail or both, shares from 0 to 1; in the environment "
        'as JSON, {"rejected": {"warn": 0.001, "fail": 0.01}}'
    )
    return Kind(expected, lambda raw: _read(raw, Gate, _gate))


def rules() -> Kind:
    """Rules by name: ``{"device": {"column": "device_type", "allowed": ["tv"], "action": "warn"}}``, or JSON text."""
    expected = (
        "a table of rules by name, each with action (warn or reject) and either max_minutes, or column and one of "
        "allowed and pattern; in the environment as JSON"
    )
    return Kind(expected, lambda raw: _read(raw, Rule, _rule))


def _read(raw: object, kind: type[T], read: Callable[[str, dict[str, object]], T]) -> tuple[T, ...]:
    if isinstance(raw, tuple) and all(isinstance(item, kind) for item in raw):
        return raw
    if isinstance(raw, str):
        raw = _parse(raw)
    if not isinstance(raw, Mapping):
        raise ValueError
    return tuple(read(name, _table(name, table)) for name, table in raw.items())


def _parse(text: str) -> object:
    if not text.strip():
        return {}
    try:
        return json.loads(text, object_pairs_hook=_pairs)
    except json.JSONDecodeError as fault:
        raise SettingFault(f"it is no valid JSON: {fault}") from None
    except RecursionError:
        raise SettingFault("it is nested too deeply for a table of tables") from None


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    for place, (name, _) in enumerate(pairs):
        if name in (earlier for earlier, _ in pairs[:place]):
            raise SettingFault(f"{name!r} is there twice")
    return dict(pairs)


def _table(name: object, table: object) -> dict[str, object]:
    if not isinstance(name, str) or not isinstance(table, Mapping):
        raise SettingFault(f"{name!r} is {table!r}, expected a table")
    return dict(table)


def _known(what: str, table: dict[str, object], allowed: tuple[str, ...]) -> None:
    for key in table:
        if key not in allowed:
            raise SettingFault(f"{what} has {key!r}, expected only {', '.join(allowed)}")


def _gate(name: str, table: dict[str, object]) -> Gate:
    if name not in GATES:
        raise SettingFault(f"there is no gate {name!r}, expected {', '.join(GATES)}")
    _known(f"the gate {name!r}", table, ("warn", "fail"))
    if not table:
        raise SettingFault(f"the gate {name!r} has no limit, expected warn, fail or both")
    limits = {key: _number(f"{key} of the gate {name!r}", value, 1) for key, value in table.items()}
    if "warn" in limits and "fail" in limits and limits["warn"] >= limits["fail"]:
        raise SettingFault(
            f"the gate {name!r} warns at {limits['warn']:g}, expected below {limits['fail']:g}, its fail"
        )
    return Gate(name, **limits)


def _rule(name: str, table: dict[str, object]) -> Rule:
    what = f"the rule {name!r}"
    if not _RULE_NAME.fullmatch(name):
        raise SettingFault(f"a rule is named {name[:80]!r}, expected 1 to 64 of A-Z a-z 0-9 _ . -")
    _known(what, table, ("action", "column", *_CONDITIONS))
    if table.get("action") not in ACTIONS:
        raise SettingFault(f"{what} has the action {table.get('action')!r}, expected warn or reject")
    given = [condition for condition in _CONDITIONS if condition in table]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        raise SettingFault(f"{what} has {found}, expected exactly one of {', '.join(_CONDITIONS)}")
    if given == ["max_minutes"]:
        if "column" in table:
            raise SettingFault(f"{what} has max_minutes, which is about the watch time: expected no column")
        minutes = _number(f"max_minutes of {what}", table["max_minutes"], MAX_MINUTES)
        return Rule(name, str(table["action"]), max_minutes=minutes)
    column, condition = table.get("column"), table[given[0]]
    if not isinstance(column, str) or not column:
        raise SettingFault(f"{what} has the column {column!r}, expected a name in the header")
    if given == ["pattern"]:
        if not isinstance(condition, str):
            raise SettingFault(f"{what} has the pattern {condition!r}, expected a regular expression")
        return Rule(name, str(table["action"]), column, pattern=condition)
    if not isinstance(condition, list | tuple) or not condition or not all(isinstance(v, str) for v in condition):
        raise SettingFault(f"{what} allows {condition!r}, expected a list of texts")
    return Rule(name, str(table["action"]), column, allowed=tuple(condition))


def _number(what: str, value: object, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value <= high):
        raise SettingFault(f"{what} is {value!r}, expected a number from 0 to {high:,}")
    return float(value)


@dataclass(frozen=True)
class QualityResult:
    """What a quality gate or a record rule (``rule:<name>``) found: ``count`` of ``of`` records or events.

    ``outcome``: ``ok``; of a gate ``warn`` or ``fail``, with the limit that was passed; of a rule that some records
    break its action, ``warn`` or ``reject``.
    """

    name: str
    count: int
    of: int
    outcome: str
    limit: float | None = None

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.count / self.of if self.of else 0.0

    def __str__(self) -> str:
        kind = "events" if self.name.endswith("_region") else "records"
        found = f"{self.name}: {self.count:,} of {self.of:,} {kind} ({self.share:.4%})"
        if self.limit is None:
            return found
        return f"{found}, limit {self.limit:.4%}"


def failure(results: Sequence[QualityResult]) -> str | None:
    """Which gates stop publication, with limit and finding; None where none does."""
    failed = [str(result) for result in results if result.outcome == "fail"]
    if not failed:
        return None
    return (
        f"a quality gate stopped publication: {'; '.join(failed)}. Nothing was published, the previous output still "
        "stands. Mend the logs, or change QUALITY_GATES, and run again."
    )


def judge_gate(gate: Gate, count: int, of: int) -> QualityResult:
    """Compare the share of ``count`` in ``of`` with the limits of a gate."""
    share = count / of if of else 0.0
    for action, limit in (("fail", gate.fail), ("warn", gate.warn)):
        if limit is not None and share > limit:
            return QualityResult(gate.name, count, of, action, limit)
    return QualityResult(gate.name, count, of, "ok", gate.fail if gate.warn is None else gate.warn)
