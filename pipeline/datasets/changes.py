"""Finds what a run has to compute again: which rows of an input changed, and which values of ``by`` they affect."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.datasets.checks import Check
from pipeline.datasets.dataset import DataSet
from pipeline.datasets.state import SourceState, TableState
from pipeline.datasets.units import scan_file

_FULL_SHARE = 0.4
"""Where a larger share of the rows of an input changed, or of the rows of a table is affected, all is computed again,
because this is faster then."""
_SIGN = "_sign"


@dataclass(frozen=True)
class Change:
    """How an input differs from the version before.

    ``rows``: a file with all rows that are new or are gone, in the columns that both versions have, and ``_sign``
    (Int32): 1 or -1; empty: none. ``everything``: why all of it counts as changed; empty: ``rows`` tells.
    """

    rows: str = ""
    everything: str = ""

    @property
    def is_none(self) -> bool:
        """Whether nothing changed."""
        return not self.rows and not self.everything

    def seen_in(self, columns: Sequence[str]) -> pl.DataFrame:
        """The changed rows as who reads some columns (none: all) sees them: none where all look as before there."""
        if not self.rows:
            return pl.DataFrame()
        rows = scan_file(self.rows)
        if not columns:
            return rows.drop(_SIGN).collect()
        return rows.group_by(columns).agg(pl.col(_SIGN).sum()).filter(pl.col(_SIGN) != 0).drop(_SIGN).collect()

    def moved_values(self, column: str, rows: pl.LazyFrame) -> pl.DataFrame:
        """The values of a column that none of its rows had before, or none has now. ``rows``: of the input now."""
        if not self.rows:
            return pl.DataFrame(schema={column: pl.Null()})
        more = scan_file(self.rows).group_by(column).agg(pl.col(_SIGN).sum()).filter(pl.col(_SIGN) != 0)
        now = rows.select(column).join(more, on=column, how="semi").group_by(column).agg(pl.len().alias("_now"))
        counted = more.join(now, on=column, how="left").with_columns(pl.col("_now").cast(pl.Int64).fill_null(0))
        moved = (pl.col("_now") == 0) | (pl.col("_now") == pl.col(_SIGN))
        return counted.filter(moved).select(column).drop_nulls().collect()

    def loses_values(self, column: str, rows: pl.LazyFrame) -> bool:
        """Whether none of its rows has a value of a column that one had before. ``rows``: of the input now."""
        if not self.rows:
            return bool(self.everything)
        fewer = scan_file(self.rows).group_by(column).agg(pl.col(_SIGN).sum()).filter(pl.col(_SIGN) < 0).drop_nulls()
        if not len(found := fewer.collect()):
            return False
        return bool(len(found.lazy().join(rows.select(column), on=column, how="anti").collect()))


UNCHANGED = Change()


def source_change(
    name: str, old: SourceState | None, new: SourceState, bronze: Path, columns: Sequence[str], work: Path
) -> Change:
    """How a source changed. ``columns``: those that its data sets read."""
    if old is None:
        return Change(everything=f"{name} is new")
    if old.fingerprint != new.fingerprint:
        return Change(everything=f"the declaration of {name} changed")
    before, now = (dict.fromkeys(state.paths(bronze)) for state in (old, new))
    gone, come = ([path for path in some if path not in others] for some, others in ((before, now), (now, before)))
    return changed_rows(gone, come, columns, work / f"{name}.changed.parquet", new.rows)


def changed_rows(gone: Sequence[str], come: Sequence[str], columns: Sequence[str], path: Path, total: int) -> Change:
    """Write the rows of some files that other files do not have, and the other way round, to ``path``.

    Rows are compared as a multiset by 128 bits of hashes, in memory for 20 bytes a row, and written as they are read.
    Where they are most of an input they are not written: all is computed again then. ``total``: rows of the input.
    """
    sides = [
        scan_file(*files).select(*columns, pl.lit(sign, pl.Int32).alias(_SIGN))
        for files, sign in ((gone, -1), (come, 1))
        if files
    ]
    if not sides:
        return UNCHANGED
    if len(sides) == 1:
        rows, number = sides[0], sides[0].select(pl.len()).collect().item()
    else:
        rows, number = _differing(sides, columns)
    if not number:
        return UNCHANGED
    if number > _FULL_SHARE * max(1, total):
        return Change(everything="most of an input changed")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.sink_parquet(path, compression="lz4")
    return Change(str(path))


def _differing(sides: Sequence[pl.LazyFrame], columns: Sequence[str]) -> tuple[pl.LazyFrame, int]:
    """The rows of each side that the other one has not as often, and how many these are.

    Hashes are compared within one process alone."""
    row = pl.struct(columns)
    marked = [rows.with_columns(row.hash(1).alias("_low"), row.hash(2).alias("_high")) for rows in sides]
    differing = (
        pl.concat(rows.select("_low", "_high", _SIGN) for rows in marked)
        .group_by("_low", "_high").agg(pl.col(_SIGN).sum()).filter(pl.col(_SIGN) != 0)
        .collect()
    )  # fmt: skip
    found = (rows.join(differing.lazy(), on=["_low", "_high"], how="semi") for rows in marked)
    return pl.concat(found).drop("_low", "_high"), int(differing[_SIGN].abs().sum())


@dataclass(frozen=True)
class Work:
    """What of a table has to be computed.

    ``reason``: why; empty: nothing. ``affected``: file with the values of ``by`` to compute again; empty: all.
    """

    reason: str = ""
    affected: str = ""


def find_work(
    one: DataSet,
    old: TableState | None,
    changes: Mapping[str, Change],
    inputs: Mapping[str, str],
    made_with: str,
    as_of: str,
    rows: Callable[[str], pl.LazyFrame],
    work: Path,
    parts: int,
    before: Mapping[str, str],
) -> Work:
    """What of a table has to be computed again.

    ``changes``: of its inputs and references since the version before. ``inputs``: by input the run that changed it
    last, now; ``before``: the same in the version before. ``rows``: of an input or reference now, and of the table
    itself in the version before, by name.
    """
    if old is None:
        return Work("new")
    if old.made_with != made_with:
        return Work("the code or the settings changed")
    if "as_of" in one.parameters and old.as_of != as_of:
        return Work("it depends on as-of")
    if dict(old.inputs) == dict(inputs):
        return Work()
    if any(before.get(name) != run for name, run in old.inputs.items()) or set(old.inputs) != set(inputs):
        return Work("it was left out of the run before")
    if why := next((changes[name].everything for name in inputs if changes[name].everything), ""):
        return Work(why)
    seen = {name: changes[name].seen_in(columns) for name, columns in {**one.keyed, **one.whole}.items()}
    seen = {name: found for name, found in seen.items() if len(found)}
    if changed := next((name for name in one.read_whole if name in seen), None):
        return Work(f"{changed} changed, which is read whole")
    moved = {check: values for check in one.outer_references if len(values := _moved(check, changes, rows))}
    if not seen and not moved:
        return Work()
    if old.rejected + old.dropped and any(check.removes for check in moved):
        return Work("a reference changed, and rows are rejected that it may let in")
    if not one.by or not set(one.by) <= set(one.contract.columns) or parts != old.parts:
        return Work("an input changed")
    found = [pl.LazyFrame(schema={name: one.contract.schema()[name] for name in one.by})]
    found += [seen[name].lazy().select(one.by) for name in one.keyed if name in seen]
    for name, columns in one.lookup.items():
        if name in seen:
            users = [used for used in map(rows, one.keyed) if set(columns) <= set(used.collect_schema())]
            found += [_with_values(used, seen[name], columns, one) for used in users]
    found += [
        _with_values(rows(one.name), values, check.columns, one) for check, values in moved.items() if check.removes
    ]
    affected = pl.concat(found).unique().collect()
    if set(one.key) == set(one.by) and len(affected) > _FULL_SHARE * old.rows:
        return Work("most of it is affected")
    path = work / f"{one.name}.affected.parquet"
    affected.write_parquet(path)
    return Work("some rows changed" if len(affected) else "a reference changed", str(path))


def _moved(check: Check, changes: Mapping[str, Change], rows: Callable[[str], pl.LazyFrame]) -> pl.DataFrame:
    """The values that a reference may find now and did not find before, or the other way round."""
    table, column = check.to
    return changes[table].moved_values(column, rows(table)).rename({column: check.columns[0]})


def _with_values(rows: pl.LazyFrame, values: pl.DataFrame, columns: Sequence[str], one: DataSet) -> pl.LazyFrame:
    """The values of ``by`` of rows that have some values."""
    wanted = values.lazy().select(columns).unique()
    return rows.join(wanted, on=columns, how="semi", nulls_equal=True).select(one.by)
