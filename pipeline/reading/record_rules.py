"""The user's rules for records (RECORD_RULES): bound to columns, and applied to the text columns of a chunk."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.quality import Rule
from pipeline.reading.column_names import RULE_COLUMN, Names
from pipeline.reading.watch_times import exact_micro_minutes


@dataclass(frozen=True)
class BoundRule:
    """A rule and its column: the role, and the header names that are accepted for the role."""

    rule: Rule
    role: str
    names: tuple[str, ...]

    @property
    def rejects(self) -> bool:
        """Whether a record that breaks the rule is rejected. Otherwise the record counts and is reported."""
        return self.rule.action == "reject"


def bind_rules(rules: Iterable[Rule], accepted: Names, read: Names) -> tuple[BoundRule, ...]:
    """Find the column of each rule.

    ``accepted``: the header names of every role; ``read``: those of the roles that every run reads. A rule for one name
    of a role holds for all names of the role. Raises ConfigError for a pattern that is no regular expression.
    """
    bound = []
    for rule in rules:
        if rule.pattern is not None:
            _check_pattern(rule, rule.pattern)
        if rule.column is None:
            bound.append(BoundRule(rule, "watch_time", accepted["watch_time"]))
            continue
        role = next((role for role, names in accepted.items() if rule.column in names), None)
        names = accepted[role] if role else (rule.column,)
        bound.append(BoundRule(rule, role if role in read and role else f"{RULE_COLUMN}{names[0]}", names))
    return tuple(bound)


def rule_columns(rules: Iterable[BoundRule], read: Names) -> tuple[dict[str, tuple[str, ...]], Names]:
    """(columns that a file must have, columns that a file may lack), both role → accepted header names.

    A file without the column of a rejecting rule is refused, because the rule cannot judge its records.
    """
    required = dict(read) | {bound.role: bound.names for bound in rules if bound.rejects}
    return required, {bound.role: bound.names for bound in rules if bound.role not in required}


@dataclass(frozen=True)
class RuleFindings:
    """What the rules found in a chunk.

    ==========  ===================================================================================================
    ``broken``  row → (reason, role of the column), of the first rejecting rule that the row breaks
    ``warned``  reason of a warning rule → number of rows that break it and are not rejected, by no rule and for no
                other reason
    ==========  ===================================================================================================
    """

    broken: dict[int, tuple[str, str]]
    warned: Counter[str]


def apply_rules(
    rules: Iterable[BoundRule],
    texts: Mapping[str, pl.Series],
    micro_minutes: NDArray[np.int64],
    rejected: Collection[int],
) -> RuleFindings:
    """Judge the rows of a chunk by all rules, except the rows that are ``rejected`` already.

    ``texts``: role → String column. A rule whose column the file lacks finds nothing.
    """
    accepted = np.ones(len(micro_minutes), bool)
    accepted[list(rejected)] = False
    broken: dict[int, tuple[str, str]] = {}
    warnings: dict[str, NDArray[np.bool_]] = {}
    for bound in rules:
        text = texts.get(bound.role)
        if text is None:
            continue
        breaks = _find_broken(bound.rule, text, micro_minutes)
        if not bound.rejects:
            warnings[bound.rule.reason] = breaks
            continue
        rows = np.flatnonzero(breaks & accepted)
        accepted[rows] = False
        broken.update(dict.fromkeys(rows.tolist(), (bound.rule.reason, bound.role)))
    warned = Counter({reason: int((breaks & accepted).sum()) for reason, breaks in warnings.items()})
    return RuleFindings(broken, warned)


def _find_broken(rule: Rule, text: pl.Series, micro_minutes: NDArray[np.int64]) -> NDArray[np.bool_]:
    if rule.max_minutes is not None:
        limit, _ = exact_micro_minutes(repr(rule.max_minutes))
        return micro_minutes > limit
    if rule.allowed is not None:
        return ~text.is_in(list(rule.allowed)).to_numpy()
    assert rule.pattern is not None, "a rule has one of the three"
    return ~text.str.contains(_whole(rule.pattern)).to_numpy()


@lru_cache(maxsize=64)
def _whole(pattern: str) -> str:
    """The pattern, anchored to match a whole text. Raises PolarsError where it is no regular expression.

    The pattern is compiled alone, too, because ``a)|(b`` is a regular expression only within brackets. A comment at the
    end of a verbose pattern would hide the closing bracket; then a line end is put between the two.
    """
    _compile(pattern)
    whole = rf"\A(?:{pattern})\z"
    try:
        _compile(whole)
    except pl.exceptions.PolarsError:
        whole = f"\\A(?:{pattern}\n)\\z"
        _compile(whole)
    return whole


def _compile(pattern: str) -> None:
    pl.Series([""]).str.contains(pattern)


def _check_pattern(rule: Rule, pattern: str) -> None:
    try:
        _whole(pattern)
    except pl.exceptions.PolarsError as fault:
        reason = next((line[7:] for line in str(fault).splitlines() if line.startswith("error:")), "refused")
        raise ConfigError(
            f"RECORD_RULES: the pattern {pattern!r} of rule {rule.name!r} is no regular expression: {reason}. "
            "Expected the syntax of https://docs.rs/regex, which has no look-around. Correct it there."
        ) from None
