"""Makes one table: takes over what did not change, and has an engine compute the rest."""

import filecmp
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from pipeline.datasets.changes import UNCHANGED, Change, Work, find_work, table_change
from pipeline.datasets.dataset import DataSet
from pipeline.datasets.kernels import assemble, input_schema, scatter, transform
from pipeline.datasets.run import Run
from pipeline.datasets.sizes import (
    bytes_of,
    check_fits,
    choose_buckets,
    choose_parts,
    exact_bytes,
    most_rows,
    rows_of,
    sum_bytes,
)
from pipeline.datasets.state import TableState
from pipeline.datasets.tasks import AssembleTask, Piece, ScatterTask, TableFiles, Transformed, TransformTask
from pipeline.datasets.units import key_text, scan, scan_file
from pipeline.engines import Engine, no_advance, run_all, run_tasks
from pipeline.machine import link_or_copy

_SCATTER_ROWS = 2_000_000
"""Most rows that a worker divides at a time."""


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
        return take_over(run, one)
    if work.affected:
        return _make_part(run, one, inputs, parts, work)
    return _make_all(run, one, inputs, parts, work)


def _find_work(run: Run, one: DataSet, inputs: Mapping[str, str], parts: int) -> Work:
    known = run.known
    before = {} if known is None else {
        name: state.changed_in for states in (known.sources, known.tables) for name, state in states.items()
    }  # fmt: skip
    keyed = {name: _scan(run, name) for name in one.keyed} if one.lookup else {}
    return find_work(
        one, known.tables.get(one.name) if known else None, run.changes, inputs, _made_with(run, one),
        run.context.as_of.isoformat(), keyed, run.work, parts, before,
    )  # fmt: skip


def _made_with(run: Run, one: DataSet) -> str:
    settings = repr(sorted(run.context.settings.items())) if "settings" in one.parameters else ""
    removes = {check.name: check.action for check in one.checks if check.removes}
    return f"{run.job.fingerprint} {settings} {removes}"


def take_over(run: Run, one: DataSet) -> Making:
    """Take a table over from the version before: its files are shared."""
    assert run.before is not None, "there is a table to take over"
    state, source = run.before.tables[one.name], run.before.table_folder(one.name)
    for unit in state.units:
        _share(source / unit, run.table_folder(one.name) / unit)
    run.rejects[one.name] = _rejects_before(run.before.folder, one.name)
    return Making(one.name, "", UNCHANGED, replace(state, recomputed=0, place=one.place(run.day)))


def _make_all(run: Run, one: DataSet, inputs: Mapping[str, str], parts: int, work: Work) -> Making:
    folder = run.table_folder(one.name)
    folder.mkdir(parents=True, exist_ok=True)
    buckets, engine = _choose(run, one)
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
    source = run.known.table_folder(one.name)
    made, pieces = _transform(run, one, run.direct, 1, parts, work.affected, None)
    by_unit = _by_unit(pieces)
    touched = set(by_unit) | _units_with(before, source, one, work.affected)
    tasks = [
        AssembleTask(one.name, unit, tuple(piece.file for piece in by_unit.get(unit, ()) if piece.rows), str(folder),
                     str(source / unit) if unit in before.units else "", work.affected)
        for unit in sorted(touched)
    ]  # fmt: skip
    written = run_all(run.direct, assemble, run.context, tasks, no_advance)
    assembled = {piece.unit: piece.rows for piece in written if piece.file}
    for unit in before.units.keys() - touched:
        _share(source / unit, folder / unit)
    units = {**{unit: rows for unit, rows in before.units.items() if unit not in touched}, **assembled}
    run.rejects[one.name] = _rejects_of_part(run, one, made, work.affected)
    state = _state(run, one, units, made, inputs, parts)
    return replace(_compared(run, one, state, made, work), partly=True)


def _check_partitions(run: Run, one: DataSet, by_unit: Mapping[str, Sequence[Piece]]) -> None:
    """Raise EnvironmentFault where a partition cannot be sorted within the memory limit."""
    if one.partition_by:
        schema = one.contract.schema()
        files = [TableFiles(tuple(piece.file for piece in found)) for found in by_unit.values()]
        size = max((exact_bytes(table, schema) for table in files), default=0)
        what = f"the largest partition of {one.name} ({', '.join(one.partition_by)})"
        check_fits(what, size, run.memory, "partition by more columns")


def _compared(run: Run, one: DataSet, state: TableState, made: Sequence[Transformed], work: Work) -> Making:
    """The table with its difference to the version before. Units with equal bytes are shared."""
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
        change = table_change(one, (source, old), (folder, state), frozenset(same), run.work, work.affected)
    return Making(one.name, work.reason, change, state, made)


def _choose(run: Run, one: DataSet) -> tuple[int, Engine]:
    """In how many buckets the table is made, and by which engine."""
    keyed, whole = (
        sum_bytes([(run.files(name, columns), input_schema(run.job, name)) for name, columns in found])
        for found in (one.keyed.items(), one.whole.items())
    )
    if run.uses_spark:
        engine = run.engine  # first: when a cluster has started, it tells what its workers have
        return choose_buckets(one, keyed, whole, run.memory, alone=False), engine
    buckets = choose_buckets(one, keyed, whole, run.memory, alone=True)
    if buckets == 1 or not run.memory.has_room_for_workers:
        return buckets, run.direct
    return choose_buckets(one, keyed, whole, run.memory, alone=False), run.engine


def _transform(
    run: Run, one: DataSet, engine: Engine, buckets: int, parts: int, affected: str, folder: Path | None
) -> tuple[list[Transformed], list[Piece]]:
    """Transform all buckets. ``folder``: of the table, where the pieces are its files already."""
    keyed = {name: _divided(run, one, name, engine, buckets) for name in one.keyed}
    _check_buckets(run, one, keyed, buckets)
    tasks = [
        TransformTask(
            one.name, bucket, buckets,
            {
                **{name: _of_bucket(files, bucket, buckets) for name, files in keyed.items()},
                **{name: run.files(name, columns) for name, columns in one.whole.items()},
            },
            {name: run.files(name) for name in one.references},
            str(folder or run.work / "pieces" / one.name / f"{bucket:05d}"), affected, parts,
        )
        for bucket in range(buckets)
    ]  # fmt: skip
    made = run_all(engine, transform, run.context, tasks, no_advance)
    return made, [piece for bucket in made for piece in bucket.pieces]


def _check_buckets(run: Run, one: DataSet, keyed: Mapping[str, TableFiles], buckets: int) -> None:
    """Raise EnvironmentFault where a value of ``by`` has too many rows for any bucket."""
    if buckets == 1:
        return
    sizes = [0.0] * buckets
    for name, files in keyed.items():
        rows = sum(count for _, count in files.ranges)
        each = bytes_of(files, input_schema(run.job, name)) / max(1, rows)
        for bucket in range(buckets):
            sizes[bucket] += each * sum(count for _, count in files.ranges[bucket::buckets])
    what = f"the largest bucket of {one.name}, where one value of {', '.join(one.by)} may have most of the rows"
    check_fits(what, int(max(sizes)), run.memory, "let by have more columns")


def _divided(run: Run, one: DataSet, name: str, engine: Engine, buckets: int) -> TableFiles:
    """The rows of a keyed input in the order of their buckets. Data sets that divide alike share them."""
    columns = one.keyed[name]
    if buckets == 1:
        return run.files(name, columns)
    shared = (name, one.by, buckets)
    if shared not in run.scattered:
        run.scattered[shared] = _scatter(run, one.by, name, engine, buckets)
    return replace(run.scattered[shared], columns=columns)


def _scatter(run: Run, by: tuple[str, ...], name: str, engine: Engine, buckets: int) -> TableFiles:
    users = [one.keyed[name] for one in run.wanted.values() if one.by == by and name in one.keyed]
    columns = tuple(input_schema(run.job, name))
    if all(users):
        columns = tuple(dict.fromkeys(column for wanted in users for column in wanted))
    folder = run.work / "scattered" / f"{name}-{'-'.join(by)}-{buckets}"
    folder.mkdir(parents=True)
    files = run.files(name, columns)
    size, rows_in_all = bytes_of(files, input_schema(run.job, name)), max(1, rows_of(files))
    room = run.memory.alone if engine is run.direct else run.memory.shared
    most = most_rows(size / rows_in_all, room, _SCATTER_ROWS)
    tasks = [
        ScatterTask(file, begin, min(most, rows - begin), columns, by, buckets,
                    str(folder / f"{number:05d}-{begin}.parquet"))
        for number, file in enumerate(files.files)
        for rows in [pq.read_metadata(file).num_rows]
        for begin in range(0, rows, most)
    ]  # fmt: skip
    counts = sorted((task.output, found) for task, found in run_tasks(engine, scatter, run.context, tasks, no_advance))
    # One range for each file and bucket: file by file, the ranges of all buckets.
    ranges = tuple(part for _, found in counts for part in _ranges(found))
    return TableFiles(tuple(output for output, _ in counts), columns, ranges)


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


def _scan(run: Run, name: str) -> pl.LazyFrame:
    return scan(run.files(name), input_schema(run.job, name))


def _state(
    run: Run, one: DataSet, units: Mapping[str, int], made: Sequence[Transformed], inputs: Mapping[str, str], parts: int
) -> TableState:
    removed = sum(pq.read_metadata(path).num_rows for path in run.rejects[one.name])
    dropped = _dropped(one, run.rejects[one.name])
    return TableState(
        sum(units.values()), removed - dropped, sum(bucket.made for bucket in made), dict(sorted(units.items())), parts,
        0.0, run.watch.run_id, dict(inputs), _made_with(run, one), run.context.as_of.isoformat(), dropped,
        one.place(run.day),
    )  # fmt: skip


def _dropped(one: DataSet, rejects: Sequence[str]) -> int:
    """How many of the rows that checks removed are left out rather than rejected."""
    names = [check.name for check in one.checks if check.action == "drop"]
    if not names or not rejects:
        return 0
    return int(scan_file(*rejects).filter(pl.col("check").is_in(names)).select(pl.len()).collect().item())


def _ranges(counts: Sequence[int]) -> list[tuple[int, int]]:
    begin = 0
    found: list[tuple[int, int]] = []
    for count in counts:
        found.append((begin, count))
        begin += count
    return found


def _of_bucket(files: TableFiles, bucket: int, buckets: int) -> TableFiles:
    return replace(files, ranges=files.ranges[bucket::buckets]) if files.ranges else files


def _by_unit(pieces: Sequence[Piece]) -> dict[str, list[Piece]]:
    found: dict[str, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.unit, []).append(piece)
    return found


def _units_with(state: TableState, folder: Path, one: DataSet, affected: str) -> set[str]:
    """The units that have rows of affected values."""
    paths = {str(folder / unit): unit for unit in state.units}
    if not paths:
        return set()
    rows = pl.scan_parquet(list(paths), glob=False, hive_partitioning=False, include_file_paths="_file")
    found = rows.select(*one.by, "_file").join(scan_file(affected), on=one.by, how="semi", nulls_equal=True)
    return {paths[path] for path in found.select("_file").unique().collect()["_file"]}


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
