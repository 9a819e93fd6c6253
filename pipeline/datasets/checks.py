"""Checks of a table: how a data set declares them, and which rows break them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import polars as pl

from pipeline.datasets.tasks import Setting
from pipeline.errors import ConfigError

Action = Literal["warn", "reject", "drop", "fail", "fill"]
Allowed = float | str | None
"""A share of rows from 0 to 1, or the name of the job's setting that has it."""
_ACTIONS = ("warn", "reject", "drop", "fail", "fill")
_REMOVING = ("reject", "drop")


@dataclass(frozen=True)
class ChosenAction:
    """The action of a check by the value of a setting of the job: ``actions`` has (value, action).

    With any other value the check is left out. ``fill:VALUE`` is the value ``fill``, and says what to fill in.
    """

    setting: str
    actions: tuple[tuple[str, Action], ...]

    def under(self, settings: Mapping[str, Setting]) -> tuple[Action | None, str]:
        """The action by these settings (None: the check is left out), and what to fill in."""
        chosen, _, value = str(settings[self.setting]).partition(":")
        return dict(self.actions).get(chosen), value


def chosen_by(setting: str, **actions: Action) -> ChosenAction:
    """Let a setting of the job choose the action: ``chosen_by("missing_day", quarantine="reject", drop="drop")``."""
    return ChosenAction(setting, tuple(actions.items()))


@dataclass(frozen=True)
class Check:
    """A condition of a table.

    ================  ========================================================================================
    ``name``          what it is called in results, such as ``not_null:city``
    ``kind``          ``row``: each row meets ``holds`` or breaks it; or ``unique``, ``reference``,
                      ``row_count``, ``fresh``, ``repeated``, ``conserves``
    ``columns``       that it is about; the first one is shown with rejected rows
    ``action``        for rows that break it: ``warn`` counts, ``reject`` rejects them, ``drop`` leaves them out and
                      keeps none of their values, ``fail`` stops the run, ``fill`` (of ``not_null`` alone) puts
                      ``value`` in the place of nulls and counts them; or the setting of the job that chooses
    ``allowed``       the share of rows, from 0 to 1, that may break it, or the setting of the job that has it: above
                      it a check that rejects, drops or fails stops the run; None: a failing one stops it at the first
                      row, the others never
    ``holds``         an expression that is false where a row breaks it; null counts as true
    ``dimension``     of quality: completeness, uniqueness, validity, accuracy, consistency, freshness
    ``to``            of a reference: ``(table, column)``
    ``limits``        of ``row_count`` (lowest, highest) and ``fresh`` (hours)
    ``source``        of ``conserves``: the input, and its column; of ``repeated``: the input
    ``value``         what fills a column, as its type or as text
    ================  ========================================================================================
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    action: Action | ChosenAction
    allowed: Allowed
    dimension: str
    holds: pl.Expr | None = field(default=None, compare=False)
    to: tuple[str, str] = ("", "")
    limits: tuple[float | None, float | str | None] = (None, None)
    source: tuple[str, str] = ("", "")
    value: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.action, ChosenAction) and self.action not in _ACTIONS:
            raise ConfigError(f"check {self.name} has the action {self.action!r}, expected {', '.join(_ACTIONS)}")
        if self.action == "fill" and (self.value is None or len(self.columns) != 1):
            raise ConfigError(f"check {self.name} fills: expected not_null of one column, with a value")
        if isinstance(self.allowed, int | float) and not 0 <= self.allowed <= 1:
            raise ConfigError(f"check {self.name} allows {self.allowed!r}, expected a share from 0 to 1")

    @property
    def of_rows(self) -> bool:
        """Whether it finds single rows."""
        return self.kind in ("row", "unique", "reference")

    @property
    def fills(self) -> bool:
        """Whether rows that break it get a value."""
        return self.action == "fill"

    @property
    def removes(self) -> bool:
        """Whether rows that break it are left out of the table."""
        return self.action in _REMOVING

    @property
    def may_remove(self) -> bool:
        """Whether it removes rows under some settings of the job."""
        return self.removes or any(action in _REMOVING for _, action in getattr(self.action, "actions", ()))

    @property
    def may_fill(self) -> bool:
        """Whether it fills rows under some settings of the job."""
        return self.fills or any(action == "fill" for _, action in getattr(self.action, "actions", ()))

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings of the job that it names."""
        chosen = (self.action.setting,) if isinstance(self.action, ChosenAction) else ()
        return (*chosen, *(name for name in (self.allowed, *self.limits) if isinstance(name, str)))

    def under(self, settings: Mapping[str, Setting]) -> "Check | None":
        """This check with what the settings say instead of their names; None: by the settings it is left out.

        Raises ConfigError where a setting has no share or no number of hours.
        """
        action, value = (
            self.action.under(settings) if isinstance(self.action, ChosenAction) else (self.action, self.value)
        )
        if action is None:
            return None
        allowed, (low, high) = self.allowed, self.limits
        if isinstance(allowed, str):
            allowed = self._number(allowed, settings, "a share from 0 to 1", 1.0)
        if isinstance(high, str):
            high = self._number(high, settings, "a number of hours", float("inf"))
        return replace(self, action=action, allowed=allowed, limits=(low, high), value=value)

    def _number(self, name: str, settings: Mapping[str, Setting], expected: str, most: float) -> float:
        found = settings[name]
        if isinstance(found, str | bool) or not 0 <= found <= most:
            raise ConfigError(f"check {self.name}: the setting {name} is {found!r}, expected {expected}")
        return float(found)


def not_null(
    *columns: str, action: Action | ChosenAction = "reject", allowed: Allowed = None, value: Any = None
) -> Check:
    """Every row has a value in all columns. ``value``: what one column gets with the action ``fill``."""
    holds = pl.all_horizontal(pl.col(name).is_not_null() for name in columns)
    return Check(f"not_null:{','.join(columns)}", "row", columns, action, allowed, "completeness", holds, value=value)


def between(column: str, low: Any, high: Any, *, action: Action = "reject", allowed: Allowed = None) -> Check:
    """Every value is at least ``low`` and at most ``high``."""
    holds = pl.col(column).is_between(low, high)
    return Check(f"between:{column}", "row", (column,), action, allowed, "validity", holds)


def at_least(column: str, low: Any, *, action: Action = "reject", allowed: Allowed = None) -> Check:
    """Every value is at least ``low``."""
    return Check(f"at_least:{column}", "row", (column,), action, allowed, "validity", pl.col(column) >= low)


def at_most(column: str, high: Any, *, action: Action = "reject", allowed: Allowed = None) -> Check:
    """Every value is at most ``high``."""
    return Check(f"at_most:{column}", "row", (column,), action, allowed, "validity", pl.col(column) <= high)


def one_of(column: str, values: Sequence[Any], *, action: Action = "reject", allowed: Allowed = None) -> Check:
    """Every value is one of ``values``."""
    holds = pl.col(column).is_in(list(values))
    return Check(f"one_of:{column}", "row", (column,), action, allowed, "validity", holds)


def matches(column: str, pattern: str, *, action: Action = "reject", allowed: Allowed = None) -> Check:
    """The regular expression ``pattern`` describes the whole text of every value."""
    holds = pl.col(column).str.contains(rf"^(?:{pattern})$")
    return Check(f"matches:{column}", "row", (column,), action, allowed, "validity", holds)


def expression(
    name: str,
    holds: pl.Expr,
    *,
    columns: Sequence[str] = (),
    action: Action = "reject",
    allowed: Allowed = None,
    dimension: str = "accuracy",
) -> Check:
    """``holds`` is true for every row; null counts as true. ``dimension``: of quality, which it counts for."""
    return Check(f"expression:{name}", "row", tuple(columns), action, allowed, dimension, holds)


def unique(*columns: str, action: Action = "fail", allowed: Allowed = None) -> Check:
    """No two rows have the same values in ``columns``; nulls are equal. ``reject`` rejects all rows that share them,
    and ``drop`` leaves them out: ``columns`` must have those of ``by`` then, as only such rows meet."""
    return Check(f"unique:{','.join(columns)}", "unique", columns, action, allowed, "uniqueness")


def reference(column: str, *, to: str, action: Action = "reject", allowed: Allowed = None) -> Check:
    """Every value is there in another table. ``to``: ``table.column``, or ``table`` where the column has that name."""
    table, _, other = to.partition(".")
    name = f"reference:{column}->{table}"
    return Check(name, "reference", (column,), action, allowed, "consistency", to=(table, other or column))


def row_count(low: int | None = 1, high: int | None = None, *, action: Action = "fail") -> Check:
    """The table has at least ``low`` and at most ``high`` rows."""
    return Check("row_count", "row_count", (), action, None, "completeness", limits=(low, high))


def fresh(column: str, *, hours: float | str, action: Action = "fail") -> Check:
    """The latest value (a day or a moment) is no more than ``hours`` (or a setting of the job) before the as-of."""
    return Check(f"fresh:{column}", "fresh", (column,), action, None, "freshness", limits=(None, hours))


def repeated(source: str, *, action: Action = "warn", allowed: Allowed = None) -> Check:
    """No row of the input ``source`` repeats or replaces another one: the table has as many rows, with removed ones."""
    return Check(f"repeated:{source}", "repeated", (), action, allowed, "uniqueness", source=(source, ""))


def conserves(measure: str, *, source: str, column: str = "", action: Action = "fail") -> Check:
    """The sum of ``measure``, and of what checks rejected, is the sum of ``column`` in the keyed input ``source``."""
    name = f"conserves:{measure}<-{source}"
    return Check(name, "conserves", (measure,), action, None, "consistency", source=(source, column or measure))
