"""Finds what a run has to compute again: which rows of an input changed, and which values of ``by`` they affect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.datasets.dataset import DataSet
from pipeline.datasets.state import SourceState, TableState
from pipeline.datasets.units import scan_file

_FULL_SHARE = 0.4
"""Where a larger share of the rows of an input changed, all is computed again, because this is faster then."""


@dataclass(frozen=True)
class Change:
    """How an input differs from the version before.

    ``rows``: a file with all rows that are new or are gone, in the columns that both versions have; empty: none.
    ``everything``: why all of it counts as changed; empty: ``rows`` tells. ``share``: of the rows that changed.
    """

    rows: str = ""
    everything: str = ""
    share: float = 0.0

    @property
    def is_none(self) -> bool:
        """Whether nothing changed."""
        return not self.rows and not self.everything


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


def table_change(
    one: DataSet,
    old: tuple[Path, TableState],
    new: tuple[Path, TableState],
    same: frozenset[str],
    work: Path,
    affected: str = "",
) -> Change:
    """How a table changed. ``same``: its units whose files are those of the version before. ``affected``: file with the
    values of ``by`` that alone were computed again; empty: all were."""
    gone, come = ([str(folder / unit) for unit in state.units if unit not in same] for folder, state in (old, new))
    only = (scan_file(affected), one.by) if affected else None
    return changed_rows(
        gone, come, tuple(one.contract.columns), work / f"{one.name}.changed.parquet", new[1].rows, only
    )


def changed_rows(
    gone: Sequence[str],
    come: Sequence[str],
    columns: Sequence[str],
    path: Path,
    total: int,
    only: tuple[pl.LazyFrame, Sequence[str]] | None = None,
) -> Change:
    """Write the rows of some files that other files do not have, and the other way round, to ``path``.

    ``only``: values, and the columns that have them, to which the difference is known to be limited. Rows are compared
    as a multiset by 128 bits of hashes, in memory for 20 bytes a row.
    """
    sides = [(_rows(files, columns, only), sign) for files, sign in ((gone, -1), (come, 1)) if files]
    if not sides:
        return UNCHANGED
    if len(sides) == 1:
        found = sides[0][0]
    else:
        marked = [_hashed(rows, columns).with_columns(pl.lit(sign, pl.Int32).alias("_sign")) for rows, sign in sides]
        differing = (
            pl.concat(rows.select("_low", "_high", "_sign") for rows in marked)
            .group_by("_low", "_high").agg(pl.col("_sign").sum()).filter(pl.col("_sign") != 0)
            .select("_low", "_high").collect()
        )  # fmt: skip
        found = pl.concat(
            rows.drop("_sign").join(differing.lazy(), on=["_low", "_high"], how="semi") for rows in marked
        ).drop("_low", "_high")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = found.collect()
    if not len(rows):
        return UNCHANGED
    rows.write_parquet(path, compression="lz4")
    return Change(str(path), share=len(rows) / max(1, total))


def _rows(
    files: Sequence[str], columns: Sequence[str], only: tuple[pl.LazyFrame, Sequence[str]] | None
) -> pl.LazyFrame:
    found = scan_file(*files).select(columns)
    if only is None:
        return found
    return found.join(only[0], on=only[1], how="semi", nulls_equal=True).collect().lazy()


def _hashed(rows: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    """Rows with two hashes of 64 bits. They are compared within one process alone."""
    row = pl.struct(columns)
    return rows.select(*columns, row.hash(1).alias("_low"), row.hash(2).alias("_high"))


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
    keyed: Mapping[str, pl.LazyFrame],
    work: Path,
    parts: int,
    before: Mapping[str, str],
) -> Work:
    """What of a table has to be computed again.

    ``changes``: of its inputs and references since the version before. ``inputs``: by input the run that changed it
    last, now; ``before``: the same in the version before. ``keyed``: the rows of keyed inputs now.
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
    if all(changes[name].is_none for name in inputs):
        return Work()
    if why := next((changes[name].everything for name in inputs if changes[name].everything), ""):
        return Work(why)
    if changed := next((name for name in one.read_whole if not changes[name].is_none), None):
        return Work(f"{changed} changed, which is read whole")
    if not one.by or not set(one.by) <= set(one.contract.columns) or parts != old.parts:
        return Work("an input changed")
    found = [scan_file(changes[name].rows).select(one.by) for name in one.keyed if changes[name].rows]
    for name, columns in one.lookup.items():
        if changes[name].rows:
            found += _looked_up(one, columns, changes[name], keyed)
    if not found:
        return Work("a reference changed")
    if max(changes[name].share for name in inputs) > _FULL_SHARE:
        return Work("most of an input changed")
    affected = pl.concat(found).unique().collect()
    path = work / f"{one.name}.affected.parquet"
    affected.write_parquet(path)
    return Work("some rows changed", str(path))


def _looked_up(
    one: DataSet, columns: tuple[str, ...], change: Change, keyed: Mapping[str, pl.LazyFrame]
) -> list[pl.LazyFrame]:
    """The values of ``by`` of rows that use a changed row of a lookup. Rows that are gone count as changed anyway."""
    values = scan_file(change.rows).select(columns).unique()
    users = [rows for rows in keyed.values() if set(columns) <= set(rows.collect_schema())]
    return [rows.join(values, on=columns, how="semi", nulls_equal=True).select(one.by) for rows in users]
