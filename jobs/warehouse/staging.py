"""What staging does to any source: one row for each id, and a declared answer to each missing value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from pipeline.datasets import Check, not_null

Strategy = Literal["keep", "fill", "drop", "quarantine"]


@dataclass(frozen=True)
class Missing:
    """What happens to a row without a value in a column.

    ``keep``: it stays null. ``fill``: it gets ``value``. ``drop``: the row goes, uncounted. ``quarantine``: the row is
    rejected, and the quarantine has it.
    """

    strategy: Strategy
    value: str | int | None = None


KEEP, DROP, QUARANTINE = Missing("keep"), Missing("drop"), Missing("quarantine")


def fill(value: str | int) -> Missing:
    """The value that stands for a missing one."""
    return Missing("fill", value)


def treat_missing(rows: pl.LazyFrame, rules: Mapping[str, Missing]) -> pl.LazyFrame:
    """Fill and drop by ``rules``: column → what happens where it has no value."""
    for column, rule in rules.items():
        if rule.strategy == "fill":
            rows = rows.with_columns(pl.col(column).fill_null(rule.value))
        if rule.strategy == "drop":
            rows = rows.filter(pl.col(column).is_not_null())
    return rows


def missing_checks(rules: Mapping[str, Missing], allowed: float | str) -> list[Check]:
    """Checks that reject the rows that ``rules`` quarantine. ``allowed``: the share above which the run fails."""
    return [not_null(name, allowed=allowed) for name, rule in rules.items() if rule.strategy == "quarantine"]


def latest(rows: pl.LazyFrame, key: Sequence[str], values: Sequence[str]) -> pl.LazyFrame:
    """One row for each key: of the latest extract; in that, the last by all values in order, with nulls first."""
    order = ["_extracted_at", *values]
    return rows.sort([*key, *order], nulls_last=False).unique(key, keep="last", maintain_order=True)


def lost_versions(rows: pl.LazyFrame, key: Sequence[str], values: Sequence[str]) -> pl.LazyFrame:
    """The other contents of keys that have several: each once, with the columns ``key`` and ``values``."""
    contents = rows.select(*key, *values).unique()
    kept = latest(rows, key, values).select(*key, *values)
    return contents.join(kept, on=[*key, *values], how="anti", nulls_equal=True)
