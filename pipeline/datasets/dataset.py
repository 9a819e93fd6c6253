"""A data set: a function that makes one table from its inputs, and what its author declares of it."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import polars as pl

from pipeline.datasets.checks import Check, unique
from pipeline.datasets.tasks import Setting
from pipeline.errors import ConfigError
from pipeline.sources.columns import Bool, Date, Int, Text
from pipeline.sources.contract import Contract

LAYERS = ("bronze", "silver", "gold")
RUN_FACTS = ("as_of", "settings")
"""Parameters of a transform that are facts of the run and no inputs."""
_NAMES_FOLDERS = (Text, Int, Bool, Date)
"""Columns that a setting may choose for folders."""
Transform = Callable[..., pl.LazyFrame]
Names = str | Sequence[str]


@dataclass(frozen=True)
class DataSet:
    """A table and the function that makes it.

    ================  ===========================================================================================
    ``name``          of the table and of the function
    ``function``      the transform
    ``contract``      columns of the result
    ``layer``         bronze, silver or gold
    ``grain``         what one row is, in a sentence
    ``by``            columns of every keyed input: rows with equal values meet in one call; none: one call
    ``keyed``         inputs that are divided by ``by``, each with the columns that are read (none: all)
    ``whole``         inputs that every call gets whole, each with the columns that are read (none: all)
    ``lookup``        for some whole inputs the column by whose equal value alone rows of keyed inputs use them
    ``key``           columns that identify a row
    ``partition_by``  columns of the folders, unless the setting of the job that ``partition_setting`` names has others
    ``checks``        conditions, of which the first is that ``key`` is unique
    ``zone``          time zone of its days
    ================  ===========================================================================================
    """

    name: str
    function: Transform
    contract: type[Contract]
    layer: str
    grain: str
    by: tuple[str, ...]
    keyed: Mapping[str, tuple[str, ...]]
    whole: Mapping[str, tuple[str, ...]]
    lookup: Mapping[str, tuple[str, ...]]
    key: tuple[str, ...]
    partition_by: tuple[str, ...]
    checks: tuple[Check, ...]
    zone: str
    partition_setting: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of all inputs, in the order of the function's parameters."""
        return tuple(name for name in self.parameters if name not in RUN_FACTS)

    @property
    def references(self) -> tuple[str, ...]:
        """Tables that its checks look into."""
        return tuple(dict.fromkeys(check.to[0] for check in self.checks if check.kind == "reference"))

    @property
    def read_whole(self) -> tuple[str, ...]:
        """Inputs of which any row may decide any row of the result."""
        return tuple(name for name in self.whole if name not in self.lookup)

    @property
    def outer_references(self) -> tuple[Check, ...]:
        """References into tables of which a call has not the rows of its own values of ``by`` alone."""
        return tuple(
            check
            for check in self.checks
            if check.kind == "reference"
            and not (check.to[0] in self.keyed and self.by == check.columns == check.to[1:])
        )

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        return tuple(inspect.signature(self.function).parameters)

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def order(self) -> tuple[str, ...]:
        """The columns by which rows are ordered in files: all, where no key makes the order total."""
        rest = () if self.key else tuple(name for name in self.contract.columns if name not in self.partition_by)
        return (*self.partition_by, *(name for name in (self.key or rest) if name not in self.partition_by))

    def place(self, day: str) -> str:
        """The folder of the table in a version. ``day``: that the version makes, where the job publishes by day."""
        return f"{day if self.layer == LAYERS[-1] else self.layer}/{self.name}" if day else self.name

    def under(self, settings: Mapping[str, Setting]) -> "DataSet":
        """This data set with the checks and partitions that the settings of the job make of its own. Raises ConfigError
        where a check would fill a column with what is no value of it, or columns cannot be partitions."""
        found = tuple(check for one in self.checks if (check := one.under(settings)) is not None)
        for check in found:
            if check.fills:
                _check_value(check, self.contract.columns[check.columns[0]].dtype)
        partition_by = self._chosen_partitions(settings) if self.partition_setting else self.partition_by
        return replace(self, checks=found, partition_by=partition_by)

    def _chosen_partitions(self, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        chosen = str(settings[self.partition_setting])
        names = tuple(name.strip() for name in chosen.split(","))
        usable = [
            name
            for name, column in self.contract.columns.items()
            if type(column) in _NAMES_FOLDERS
            and not column.may_be_null
            and not column.sensitive
            and (name,) != self.key
        ]
        if len(set(names)) < len(names) or not set(names) <= set(usable):
            raise ConfigError(
                f"the setting {self.partition_setting} is {chosen!r}, expected columns of {self.name} with commas "
                f"between them, of {', '.join(usable)}"
            )
        return names

    def __call__(self, **inputs: pl.LazyFrame) -> pl.LazyFrame:
        """Call the transform itself, as tests of a job do."""
        return self.function(**inputs)


def dataset(
    contract: type[Contract],
    *,
    layer: str = "gold",
    grain: str,
    by: Names = (),
    keyed: Mapping[str, Sequence[str]] | Sequence[str] = (),
    whole: Mapping[str, Sequence[str]] | Sequence[str] = (),
    lookup: Mapping[str, Names] | None = None,
    key: Names = (),
    partition_by: Names = (),
    partition_setting: str = "",
    checks: Sequence[Check] = (),
    zone: str = "UTC",
) -> Callable[[Transform], DataSet]:
    """Declare the function below as a data set; see ``DataSet`` and docs/jobs.md. Raises ConfigError where the
    declaration contradicts itself."""

    def declare(function: Transform) -> DataSet:
        found = DataSet(
            function.__name__, function, contract, layer, grain, _names(by), {}, {},
            {name: _names(column) for name, column in (lookup or {}).items()}, _names(key), _names(partition_by),
            (*((unique(*_names(key)),) if key else ()), *checks), zone, partition_setting,
        )  # fmt: skip
        found = replace(found, keyed=_keyed(found, keyed, whole))
        found = replace(found, whole=_whole(found, whole))
        _check(found, whole)
        return found

    return declare


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _keyed(
    one: DataSet, given: Mapping[str, Sequence[str]] | Sequence[str], whole: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    if not given and one.by:
        given = [name for name in one.inputs if name not in whole and name not in one.lookup]
    columns = given if isinstance(given, Mapping) else dict.fromkeys(given, ())
    return {name: _with(_names(wanted), one.by) for name, wanted in columns.items()}


def _whole(one: DataSet, given: Mapping[str, Sequence[str]] | Sequence[str]) -> dict[str, tuple[str, ...]]:
    columns = given if isinstance(given, Mapping) else {}
    return {
        name: _with(_names(columns.get(name, ())), one.lookup.get(name, ()))
        for name in one.inputs
        if name not in one.keyed
    }


def _with(columns: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return (*columns, *(name for name in others if name not in columns)) if columns else ()


def _check_value(check: Check, kind: pl.DataType) -> None:
    """Raise ConfigError where a value that fills is none of the column's type, or would be rounded to become one."""
    given = check.value
    try:
        value = pl.Series([given]).cast(kind)[0]
        exact = Decimal(given) if kind.is_decimal() and isinstance(given, str) else given
        fits = value == exact or (isinstance(exact, str) and not kind.is_decimal())
    except (pl.exceptions.PolarsError, ArithmeticError):
        fits = False
    if not fits:
        raise ConfigError(f"check {check.name} fills with {given!r}, expected a value of type {kind}")


def _check(one: DataSet, whole: Iterable[str]) -> None:
    declared = {
        "key": one.key,
        "partition_by": one.partition_by,
        "checks": tuple(name for check in one.checks for name in check.columns),
    }
    for what, names in declared.items():
        if missing := [name for name in names if name not in one.contract.columns]:
            raise ConfigError(
                f"data set {one.name}: {what} names {missing[0]}, which {one.contract.__name__} does not declare. "
                f"Its columns are {', '.join(one.contract.columns)}."
            )
    given = {"keyed": tuple(one.keyed), "whole": tuple(whole), "lookup": tuple(one.lookup)}
    for what, names in given.items():
        if missing := [name for name in names if name not in one.inputs]:
            raise ConfigError(
                f"data set {one.name}: {what} names {missing[0]}, which is no parameter of the function. "
                f"Its parameters are {', '.join(one.inputs)}."
            )
    if one.keyed and not one.by:
        raise ConfigError(f"data set {one.name}: keyed needs by, the columns by which its inputs are divided. Add by.")
    if one.by and not one.keyed:
        raise ConfigError(f"data set {one.name}: by needs at least one keyed input, and all its inputs are whole.")
    if twice := [name for name in one.lookup if name in one.keyed]:
        raise ConfigError(f"data set {one.name}: {twice[0]} is keyed and a lookup; expected one of both.")
    if one.layer not in LAYERS:
        raise ConfigError(f"data set {one.name}: layer is {one.layer!r}, expected one of {', '.join(LAYERS)}.")
    for check in one.checks:
        if check.kind in ("conserves", "repeated") and check.source[0] not in one.inputs:
            raise ConfigError(f"data set {one.name}: {check.name} names an input that the function does not have.")
        if check.may_fill and set(check.columns) & {*one.by, *one.order}:
            raise ConfigError(
                f"data set {one.name}: {check.name} fills a column of by, key or partition_by, or there is no key. "
                "Expected a key, and another column: fill this one in the function."
            )
        if check.kind == "unique" and check.may_remove and not set(one.by) <= set(check.columns):
            raise ConfigError(
                f"data set {one.name}: {check.name} removes rows by others, and only rows with the same value of "
                f"{', '.join(one.by)} meet. Expected all columns of by in it, or the action warn or fail."
            )
