"""Data sets: tables that a job declares, each made by one function; see docs/jobs.md. This is what authors import."""

from pipeline.datasets.checks import (
    Check,
    at_least,
    at_most,
    between,
    chosen_by,
    conserves,
    expression,
    fresh,
    matches,
    not_null,
    one_of,
    reference,
    row_count,
    unique,
)
from pipeline.datasets.dataset import DataSet, dataset
from pipeline.datasets.helpers import (
    NOT_APPLICABLE,
    UNKNOWN,
    allocate,
    as_of_join,
    basis_points,
    calendar,
    date_key,
    history,
    surrogate_key,
)
from pipeline.datasets.job import Job
from pipeline.errors import ConfigError
from pipeline.sources.columns import Bool, Column, Date, Decimal, Float, Int, ListOf, Money, Text, Time
from pipeline.sources.contract import Contract
from pipeline.sources.source import Source, csv, parquet

__all__ = [
    "NOT_APPLICABLE",
    "UNKNOWN",
    "Bool",
    "Check",
    "Column",
    "ConfigError",
    "Contract",
    "DataSet",
    "Date",
    "Decimal",
    "Float",
    "Int",
    "Job",
    "ListOf",
    "Money",
    "Source",
    "Text",
    "Time",
    "allocate",
    "as_of_join",
    "at_least",
    "at_most",
    "basis_points",
    "between",
    "calendar",
    "chosen_by",
    "conserves",
    "csv",
    "dataset",
    "date_key",
    "expression",
    "fresh",
    "history",
    "matches",
    "not_null",
    "one_of",
    "parquet",
    "reference",
    "row_count",
    "surrogate_key",
    "unique",
]
