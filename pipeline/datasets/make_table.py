"""Makes one table: takes over what did not change, and has an engine compute the rest."""

import filecmp
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from pipeline.datasets.changes import UNCHANGED, Change, Work, changed_rows, find_work
from pipeline.datasets.dataset import DataSet
from pipeline.datasets.divide import choose, divide, fits, of_bucket
from pipeline.datasets.kernels import assemble, input_schema, replace_rows, transform
from pipeline.datasets.run import Run
from pipeline.datasets.sizes import (
    check_fits,
    choose_parts,
    exact_bytes,
    rows_of,
    threads_for,
)
from pipeline.datasets.state import TableState
from pipeline.datasets.tasks import (
    AssembleTask,
    Piece,
    ReplaceTask,
    TableFiles,
    Transformed,
    TransformTask,
)
from pipeline.datasets.units import check_partitions, key_text, scan, scan_file
from pipeline.engines import Engine, no_advance, run_all, run_tasks
from pipeline.machine import link_or_copy


@dataclass(frozen=True)
class Making:
    """A table that was made or taken over: its state, how it changed, and what its buckets found."""

    name: str
    reason: str
    change: Change
    table: TableState
    buckets: Sequence[Transformed] = field(default_factory=tuple)
    partly: bool = False

    def state(self, seconds: float) -> TableState:
        """The state with the seconds that it took."""
        return replace(self.table, seconds=seconds) if self.reason else self.table


def make_table(run: Run, one: DataSet) -> Making:
    """Make a table, as far as it has to be made."""
    inputs = {name: run.changed_in(name) for name in dict.fromkeys((*one.inputs, *one.references))}
    keyed = [(run.files(name), input_schema(run.job, name)) for name in one.keyed]
    rows = max((rows_of(files) for files, _ in keyed), default=0)
    parts = choose_parts(one, rows, max((exact_bytes(files, schema) for files, schema in keyed), default=0))
    work = _find_work(run, one, inputs, parts)
    if not work.reason:
        return take_over(run, one, inputs)
    if work.affected and not fits(run, one, work.affected):
        work = Work("more of it is affected than fits into memory at once")
    if work.affected:
        return _make_part(run, one, inputs, parts, work)
    return _make_all(run, one, inputs, parts, work)


def _find_work(run: Run, one: DataSet, inputs: Mapping[str, str], parts: int) -> Work:
    known = run.known
    before = {} if known is None else {
        name: state.changed_in for states in (known.sources, known.tables) for name, state in states.items()
    }  # fmt: skip

    def rows(name: str) -> pl.LazyFrame:
        if name != one.name:
            return scan(run.files(name), input_schema(run.job, name))
        assert known is not None, "rows of the table before are asked for where it is known"
        return scan(TableFiles(known.tables[name].paths(known.table_folder(name))), one.contract.schema())

    return find_work(
        one, known.tables.get(one.name) if known else None, run.changes, inputs,
        run.job.made_with(one, run.context.settings), run.context.as_of.isoformat(), rows, run.work, parts, before,
    )  # fmt: skip


def take_over(run: Run, one: DataSet, inputs: Mapping[str, str] | None = None) -> Making:
    """Take a table over from the version before: its files are shared.

    ``inputs``: by input the run that changed it last, where the table is what it would be if it was made again."""
    assert run.before is not None, "there is a table to take over"
    state, source = run.before.tables[one.name], run.before.table_folder(one.name)
    for unit in state.units:
        _share(source / unit, run.table_folder(one.name) / unit)
    run.rejects[one.name] = _rejects_before(run.before.folder, one.name)
    state = replace(state, recomputed=0, filled={}, place=one.place(run.day), inputs=dict(inputs or state.inputs))
    return Making(one.name, "", UNCHANGED, state)


def _make_all(run: Run, one: DataSet, inputs: Mapping[str, str], parts: int, work: Work) -> Making:
    folder = run.table_folder(one.name)
    folder.mkdir(parents=True, exist_ok=True)
    buckets, engine = choose(run, one)
    made, pieces = _transform(run, one, engine, buckets, parts, "", folder if buckets == 1 else None)
    if buckets > 1:
        by_unit = _by_unit(pieces)
        _check_partitions(run, one, by_unit)
        tasks = [
            AssembleTask(one.name, unit, tuple(sorted(piece.file for piece in found)), str(folder),
                         rows=sum(piece.rows for piece in found))
            for unit, found in by_unit.items()
        ]  # fmt: skip
        pieces = run_all(engine, assemble, run.context, tasks, no_advance)
    run.rejects[one.name] = [bucket.rejects for bucket in made if bucket.rejects]
    state = _state(run, one, {piece.unit: piece.rows for piece in pieces}, made, inputs, parts)
    return _compared(run, one, state, made, work)


def _make_part(run: Run, one: DataSet, inputs: Mapping[str, str], parts: int, work: Work) -> Making:
    """Compute only the affected values of ``by``, and put their rows in the place of those before."""
    assert run.known is not None, "something was known, or there would be no part"
    folder, before = run.table_folder(one.name), run.known.tables[one.name]
    source, gone = run.known.table_folder(one.name), run.work / "gone" / one.name
    made, pieces = _transform(run, one, run.direct, 1, parts, work.affected, None)
    come = {piece.unit: piece.file for piece in pieces if piece.rows}
    tasks = [
        ReplaceTask(one.name, unit, str(source / unit) if unit in before.units else "", work.affected,
                    come.get(unit, ""), str(folder), str(gone / f"{number:05d}.parquet"))
        for number, unit in enumerate(sorted({*before.units, *come}))
    ]  # fmt: skip
    largest = max(before.units, key=lambda unit: before.units[unit], default=None)
    size = exact_bytes(TableFiles((str(source / largest),)), one.contract.schema()) if largest else 0
    units, changed = {}, []
    for task, piece in run_tasks(
        run.threads(threads_for(size, run.memory)), replace_rows, run.context, tasks, no_advance
    ):
        if piece is None:
            _share(source / task.unit, folder / task.unit)
            units[task.unit] = before.units[task.unit]
            continue
        changed.append(task)
        if piece.file:
            units[task.unit] = piece.rows
    run.rejects[one.name] = _rejects_of_part(run, one, made, work.affected)
    state = _state(run, one, units, made, inputs, parts)
    if not changed:
        return Making(one.name, work.reason, UNCHANGED, replace(state, changed_in=before.changed_in), made, True)
    left = [task.gone for task in changed if os.path.exists(task.gone)]
    new = [task.piece for task in changed if task.piece]
    path = run.work / f"{one.name}.changed.parquet"
    change = changed_rows(left, new, tuple(one.contract.columns), path, state.rows)
    return Making(one.name, work.reason, change, state, made, True)


def _check_partitions(run: Run, one: DataSet, by_unit: Mapping[str, Sequence[Piece]]) -> None:
    """Raise EnvironmentFault where a partition cannot be sorted within the memory limit, ConfigError where a setting
    makes too many."""
    check_partitions(one, len(by_unit))
    if one.partition_by:
        schema = one.contract.schema()
        files = [TableFiles(tuple(piece.file for piece in found)) for found in by_unit.values()]
        size = max((exact_bytes(table, schema) for table in files), default=0)
        what = f"the largest partition of {one.name} ({', '.join(one.partition_by)})"
        check_fits(what, size, run.memory, "partition by more columns")


def _compared(run: Run, one: DataSet, state: TableState, made: Sequence[Transformed], work: Work) -> Making:
    """The whole table with its difference to the version before. Units with equal bytes are shared."""
    old = run.known.tables.get(one.name) if run.known else None
    if run.known is None or old is None:
        return Making(one.name, work.reason, Change(everything=f"{one.name} is new"), state, made)
    folder, source = run.table_folder(one.name), run.known.table_folder(one.name)
    same = {unit for unit in state.units if unit in old.units and _share_if_same(source / unit, folder / unit)}
    if same == set(state.units) == set(old.units):
        return Making(one.name, work.reason, UNCHANGED, replace(state, changed_in=old.changed_in), made)
    if old.made_with != state.made_with:
        change = Change(everything=f"{one.name} is made otherwise")
    else:
        path = run.work / f"{one.name}.changed.parquet"
        gone, come = (
            [str(place / unit) for unit in table.units if unit not in same]
            for place, table in ((source, old), (folder, state))
        )
        change = changed_rows(gone, come, tuple(one.contract.columns), path, state.rows)
    return Making(one.name, work.reason, change, state, made)


def _transform(
    run: Run, one: DataSet, engine: Engine, buckets: int, parts: int, affected: str, folder: Path | None
) -> tuple[list[Transformed], list[Piece]]:
    """Transform all buckets. ``folder``: of the table, where the pieces are its files already."""
    keyed = divide(run, one, engine, buckets)
    tasks = [
        TransformTask(
            one.name, bucket, buckets,
            {
                **{name: of_bucket(files, bucket, buckets) for name, files in keyed.items()},
                **{name: run.files(name, columns) for name, columns in one.whole.items()},
            },
            {name: run.files(name) for name in one.references},
            str(folder or run.work / "pieces" / one.name / f"{bucket:05d}"), affected, parts,
        )
        for bucket in range(buckets)
    ]  # fmt: skip
    made = run_all(engine, transform, run.context, tasks, no_advance)
    return made, [piece for bucket in made for piece in bucket.pieces]


def _rejects_of_part(run: Run, one: DataSet, made: Sequence[Transformed], affected: str) -> list[str]:
    assert run.known is not None
    new = [bucket.rejects for bucket in made if bucket.rejects]
    old = _rejects_before(run.known.folder, one.name)
    if not old:
        return new
    texts = scan_file(affected).select(key_text(one.by).alias("by"))
    kept = scan_file(*old).join(texts, on="by", how="anti").collect()
    if not len(kept):
        return new
    path = run.work / "rejects" / f"{one.name}-before.parquet"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept.write_parquet(path, compression="zstd")
    return [str(path), *new]


def _state(
    run: Run, one: DataSet, units: Mapping[str, int], made: Sequence[Transformed], inputs: Mapping[str, str], parts: int
) -> TableState:
    removed = sum(pq.read_metadata(path).num_rows for path in run.rejects[one.name])
    dropped = _dropped(one, run.rejects[one.name])
    return TableState(
        sum(units.values()), removed - dropped, sum(bucket.made for bucket in made), dict(sorted(units.items())), parts,
        0.0, run.watch.run_id, dict(inputs), run.job.made_with(one, run.context.settings),
        run.context.as_of.isoformat(), dropped,
        one.place(run.day), _filled(made),
    )  # fmt: skip


def _filled(made: Sequence[Transformed]) -> dict[str, int]:
    counts = Counter[str]()
    for bucket in made:
        counts.update(bucket.filled)
    return dict(sorted(counts.items()))


def _dropped(one: DataSet, rejects: Sequence[str]) -> int:
    """How many of the rows that checks removed are left out rather than rejected."""
    names = [check.name for check in one.checks if check.action == "drop"]
    if not names or not rejects:
        return 0
    return int(scan_file(*rejects).filter(pl.col("check").is_in(names)).select(pl.len()).collect().item())


def _by_unit(pieces: Sequence[Piece]) -> dict[str, list[Piece]]:
    found: dict[str, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.unit, []).append(piece)
    return found


def _rejects_before(folder: Path, name: str) -> list[str]:
    return sorted(str(path) for path in (folder / "quarantine" / name).glob("*.parquet"))


def _share(file: Path, place: Path) -> None:
    """Let ``place`` be the same file as ``file``, or a copy."""
    place.parent.mkdir(parents=True, exist_ok=True)
    link_or_copy(file, place)


def _share_if_same(file: Path, place: Path) -> bool:
    if not filecmp.cmp(file, place, shallow=False):
        return False
    if not os.path.samefile(file, place):
        place.unlink()
        _share(file, place)
    return True
