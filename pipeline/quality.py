"""Quality gates over a run and rules for its records: how settings declare them, and how a gate is judged."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from utils.settings import Kind, SettingFault

T = TypeVar("T")
GATES = ("rejected", "duplicates", "conflicts", "unknown_region", "invalid_region", "unreadable_timestamps")
ACTIONS = ("warn", "reject")
MAX_MINUTES = 10**9
"""The longest watch time of a record."""
MICRO = 1_000_000
"""Micro-minutes in a minute: watch time is summed as an integer, so that sums are exact."""
_RULE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CONDITIONS = ("max_minutes", "allowed", "pattern")


@dataclass(frozen=True)
class Gate:
    """Limits for a share of the run, from 0 to 1: a share above ``warn`` is reported, one above ``fail`` stops the run.

    ==================================  =========================
    ``name``                            share of
    ==================================  =========================
    rejected, duplicates, conflicts     the records that were read
    unknown_region, invalid_region      the events that count
    unreadable_timestamps               the records that are not rejected; none is unreadable where DEDUPE_KEEP is
                                        longest, which reads no timestamp
    ==================================  =========================
    """

    name: str
    warn: float | None = None
    fail: float | None = None


@dataclass(frozen=True)
class Rule:
    """A condition that every record must meet.

    ===============  ========================================================================================
    ``action``       for a record that does not meet it: ``warn`` counts the record, ``reject`` rejects it
    ``column``       name in the header of the column that ``allowed`` or ``pattern`` is about
    ``max_minutes``  longest watch time
    ``allowed``      texts that the column may have
    ``pattern``      regular expression that the whole text of the column must match
    ===============  ========================================================================================

    A rule has exactly one of the last three.
    """

    name: str
    action: str
    column: str | None = None
    max_minutes: float | None = None
    allowed: tuple[str, ...] | None = None
    pattern: str | None = None

    @property
    def reason(self) -> str:
        """The reason of a record that breaks the rule, in the quarantine and in counts."""
        return f"rule:{self.name}"


def gates() -> Kind:
    """The kind of a setting that declares gates, as a table or JSON.

    ``{"rejected": {"warn": 0.001, "fail": 0.01}}``
    """
    expected = (
        f"a table of gates ({', '.join(GATES)}), each with warn, fail or both, shares from 0 to 1; in the environment "
        'as JSON, {"rejected": {"warn": 0.001, "fail": 0.01}}'
    )
    return Kind(expected, lambda raw: _read(raw, Gate, _read_gate))


def rules() -> Kind:
    """The kind of a setting that declares rules, as a table or JSON.

    ``{"device": {"column": "device_type", "allowed": ["tv"], "action": "warn"}}``
    """
    expected = (
        "a table of rules by name, each with action (warn or reject) and either max_minutes, or column and one of "
        "allowed and pattern; in the environment as JSON"
    )
    return Kind(expected, lambda raw: _read(raw, Rule, _read_rule))


def _read(raw: object, kind: type[T], read: Callable[[str, dict[str, object]], T]) -> tuple[T, ...]:
    if isinstance(raw, tuple) and all(isinstance(item, kind) for item in raw):
        return raw
    if isinstance(raw, str):
        raw = _parse(raw)
    if not isinstance(raw, Mapping):
        raise ValueError
    return tuple(read(name, _read_table(name, table)) for name, table in raw.items())


def _parse(text: str) -> object:
    if not text.strip():
        return {}
    try:
        return json.loads(text, object_pairs_hook=_refuse_repeated_names)
    except json.JSONDecodeError as fault:
        raise SettingFault(f"it is no valid JSON: {fault}") from None
    except RecursionError:
        raise SettingFault("it is nested too deeply for a table of tables") from None


def _refuse_repeated_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for name, value in pairs:
        if name in table:
            raise SettingFault(f"{name!r} is there twice")
        table[name] = value
    return table


def _read_table(name: object, table: object) -> dict[str, object]:
    if not isinstance(name, str) or not isinstance(table, Mapping):
        raise SettingFault(f"{name!r} is {table!r}, expected a table")
    return dict(table)


def _check_keys(what: str, table: dict[str, object], allowed: tuple[str, ...]) -> None:
    for key in table:
        if key not in allowed:
            raise SettingFault(f"{what} has {key!r}, expected only {', '.join(allowed)}")


def _read_gate(name: str, table: dict[str, object]) -> Gate:
    if name not in GATES:
        raise SettingFault(f"there is no gate {name!r}, expected {', '.join(GATES)}")
    _check_keys(f"the gate {name!r}", table, ("warn", "fail"))
    if not table:
        raise SettingFault(f"the gate {name!r} has no limit, expected warn, fail or both")
    limits = {key: _read_number(f"{key} of the gate {name!r}", value, 1) for key, value in table.items()}
    if "warn" in limits and "fail" in limits and limits["warn"] >= limits["fail"]:
        raise SettingFault(
            f"the gate {name!r} warns at {limits['warn']:g}, expected below {limits['fail']:g}, its fail"
        )
    return Gate(name, **limits)


def _read_rule(name: str, table: dict[str, object]) -> Rule:
    rule = f"the rule {name!r}"
    if not _RULE_NAME.fullmatch(name):
        raise SettingFault(f"a rule is named {name[:80]!r}, expected 1 to 64 of A-Z a-z 0-9 _ . -")
    _check_keys(rule, table, ("action", "column", *_CONDITIONS))
    action = table.get("action")
    if action not in ACTIONS:
        raise SettingFault(f"{rule} has the action {action!r}, expected warn or reject")
    given = [condition for condition in _CONDITIONS if condition in table]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        raise SettingFault(f"{rule} has {found}, expected exactly one of {', '.join(_CONDITIONS)}")
    if given == ["max_minutes"]:
        if "column" in table:
            raise SettingFault(f"{rule} has max_minutes, which is about the watch time: expected no column")
        minutes = _read_number(f"max_minutes of {rule}", table["max_minutes"], MAX_MINUTES)
        return Rule(name, str(action), max_minutes=minutes)
    column = table.get("column")
    if not isinstance(column, str) or not column:
        raise SettingFault(f"{rule} has the column {column!r}, expected a name in the header")
    if given == ["pattern"]:
        return Rule(name, str(action), column, pattern=_read_pattern(rule, table["pattern"]))
    return Rule(name, str(action), column, allowed=_read_allowed(rule, table["allowed"]))


def _read_pattern(rule: str, value: object) -> str:
    if not isinstance(value, str):
        raise SettingFault(f"{rule} has the pattern {value!r}, expected a regular expression")
    return value


def _read_allowed(rule: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(text, str) for text in value):
        raise SettingFault(f"{rule} allows {value!r}, expected a list of texts")
    return tuple(value)


def _read_number(what: str, value: object, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value <= high):
        raise SettingFault(f"{what} is {value!r}, expected a number from 0 to {high:,}")
    return float(value)


@dataclass(frozen=True)
class QualityResult:
    """What a quality gate or a record rule found, or a check that every run has.

    =============  ==============================================================================================
    ``name``       of the gate; ``rule:<name>`` for a rule
    ``count``      records or events that the gate counts, or that break the rule
    ``of``         all records or events
    ``outcome``    ``ok``; ``warn`` or ``fail`` for a gate whose limit is exceeded; the action of a broken rule
    ``limit``      the limit that was exceeded, or else the lower one that was not; None for a rule or check
    ``detail``     what a person needs to know besides; mostly empty
    =============  ==============================================================================================
    """

    name: str
    count: int
    of: int
    outcome: str
    limit: float | None = None
    detail: str = ""

    @property
    def share(self) -> float:
        """``count`` in ``of``, from 0 to 1; 0 where there is nothing to count."""
        return self.count / self.of if self.of else 0.0

    def __str__(self) -> str:
        kind = "events" if self.name.endswith("_region") else "records"
        found = f"{self.name}: {self.count:,} of {self.of:,} {kind} ({self.share:.4%})"
        if self.limit is not None:
            found += f", limit {self.limit:.4%}"
        return f"{found}: {self.detail}" if self.detail else found


def failure(results: Sequence[QualityResult]) -> str | None:
    """The message that gates stop publication, each with its share and limit; None where no gate does."""
    failed = [str(result) for result in results if result.outcome == "fail"]
    if not failed:
        return None
    return (
        f"a quality gate stopped publication: {'; '.join(failed)}. Nothing was published, the previous output still "
        "stands. Correct the logs, or change QUALITY_GATES, and run again."
    )


def judge_gate(gate: Gate, count: int, of: int) -> QualityResult:
    """Compare the share of ``count`` in ``of`` with the limits of a gate; an equal share is within the limit."""
    share = count / of if of else 0.0
    for action, limit in (("fail", gate.fail), ("warn", gate.warn)):
        if limit is not None and share > limit:
            return QualityResult(gate.name, count, of, action, limit)
    return QualityResult(gate.name, count, of, "ok", gate.fail if gate.warn is None else gate.warn)
