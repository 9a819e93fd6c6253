"""What staging does about missing values of any source: what the settings choose."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.datasets import Check, ChosenAction, ConfigError, chosen_by, not_null

KEEP, FILL, DROP, QUARANTINE = "keep", "fill", "drop", "quarantine"


@dataclass(frozen=True)
class Missing:
    """What may happen to a row without a value in a column, which the setting ``setting`` of the job chooses.

    ``keep``: the value stays null. ``fill:VALUE``: the row gets the value, and is counted. ``drop``: the row is left
    out, and is counted. ``quarantine``: the row is rejected, and the quarantine has it.

    ================  =============================================
    ``choices``       which of these make sense for the column
    ``whole``         whether ``VALUE`` must be a whole number
    ================  =============================================
    """

    setting: str
    default: str
    choices: tuple[str, ...]
    whole: bool = False

    def check(self, chosen: object) -> None:
        """Raise ConfigError where the setting has no choice that makes sense."""
        strategy, colon, value = str(chosen).partition(":")
        if strategy in self.choices and (strategy == FILL) == bool(colon) and not (colon and self._is_wrong(value)):
            return
        expected = ", ".join(self._shown(one) for one in self.choices)
        raise ConfigError(f"the setting {self.setting} is {chosen!r}, expected one of {expected}")

    def _is_wrong(self, value: str) -> bool:
        return not value or (self.whole and not value.removeprefix("-").isdecimal())

    def _shown(self, choice: str) -> str:
        return choice if choice != FILL else "fill:NUMBER" if self.whole else "fill:TEXT"


def missing_checks(rules: Mapping[str, Missing], allowed: float | str | None = None) -> list[Check]:
    """Checks that reject, drop, fill or keep the rows whose value is missing, as the settings choose, by ``rules``
    (column → what may happen where it has no value).

    ``allowed``: the share of rows above which the run fails where they are rejected or dropped, and there is a warning
    where they are kept.
    """
    return [not_null(name, action=_action(rule), allowed=allowed) for name, rule in rules.items()]


def _action(rule: Missing) -> ChosenAction:
    if FILL in rule.choices:
        return chosen_by(rule.setting, quarantine="reject", drop="drop", keep="warn", fill="fill")
    return chosen_by(rule.setting, quarantine="reject", drop="drop", keep="warn")
