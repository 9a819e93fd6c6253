"""The kernels of a job, which any engine runs: extract files, scatter inputs, transform buckets, assemble units."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.datasets.checks import Check
from pipeline.datasets.dataset import DataSet
from pipeline.datasets.failures import explained
from pipeline.datasets.job import Job, load_job
from pipeline.datasets.judge import fill, judge_rows
from pipeline.datasets.tasks import (
    AssembleTask,
    ExtractTask,
    JobContext,
    Piece,
    ReplaceTask,
    ScatterTask,
    TableFiles,
    Transformed,
    TransformTask,
)
from pipeline.datasets.units import (
    ONLY_UNIT,
    bucket_of,
    in_order,
    scan,
    scan_file,
    unit_in_order,
    write_changed,
    write_unit,
    write_units,
)
from pipeline.engines import Advance
from pipeline.machine import writing
from pipeline.sources.contract import SOURCE_FACTS, conform
from pipeline.sources.csv_file import extract_csv
from pipeline.sources.extracted import Extracted, Stamp, open_writer, text_bytes
from pipeline.sources.parquet_file import extract_parquet
from pipeline.sources.protection import Protection
from pipeline.staging import staged
from pipeline.timing import in_stage, stage

_MOST_CHANGED = 0.6
"""Of more columns than this share, it is as fast to write all."""


@in_stage("read")
def extract(context: JobContext, task: ExtractTask, advance: Advance) -> Extracted:
    """Read one file of a source into typed rows. Raises InputError where the file lacks a column."""
    source = load_job(context.job).named(context.names).sources[task.source]
    stamp = Stamp(task.name, context.as_of, context.run_id)
    protection = context.protections.get(task.source, Protection())
    writer = open_writer(Path(task.folder), task.source, source.contract, protection)
    if source.kind == "csv":
        found = extract_csv(source, task.file, stamp, writer, task.threads)
    else:
        found = extract_parquet(source, task.file, stamp, writer)
    advance(task.rows)
    return found


@in_stage("scatter")
def scatter(_: JobContext, task: ScatterTask, advance: Advance) -> tuple[int, ...]:
    """Write some rows of an input in the order of their buckets. Returns how many rows each bucket has."""
    rows = scan_file(task.file).slice(task.begin, task.rows).select(task.columns)
    number = bucket_of(task.by, rows.collect_schema(), task.buckets)
    divided = rows.with_columns(number.alias("_bucket")).sort("_bucket", maintain_order=True).collect()
    counts = dict(divided.group_by("_bucket").len().iter_rows())
    with writing(task.output):
        divided.drop("_bucket").write_parquet(
            staged(Path(task.output)), compression="lz4", statistics=False, row_group_size=32_768
        )
    advance(task.rows)
    return tuple(counts.get(bucket, 0) for bucket in range(task.buckets))


@in_stage("group")
def transform(context: JobContext, task: TransformTask, advance: Advance) -> Transformed:
    """Make the rows of one bucket of a data set, judge them, and write the good ones by unit and the rejected ones.

    Raises TransformError where the transform fails or its result does not fit the contract.
    """
    job = load_job(context.job).under(context.settings)
    one = job.datasets[task.table]
    inputs = _open_inputs(job, one, task)
    arguments = {name: inputs[name] for name in one.inputs} | facts_of(one, context)
    with explained(one, task, arguments):
        result = one.function(**arguments)
        made, filled = fill(conform(lazy(result, one), one.contract, one.name).collect(), one)
        rows = in_order(made, one)
        del made  # of which rows may be a copy
    judged = judge_rows(rows, one, missing_values(job, one.checks, task.references, rows.lazy()))
    sums = {
        check.name: (_sum(rows.lazy(), check.columns[0]), _sum(inputs[check.source[0]], check.source[1]))
        for check in one.checks
        if check.kind == "conserves"
    }
    with stage("write", len(judged.good)):
        folder = Path(task.output)
        pieces = write_units(judged.good, one, folder, task.parts)
        rejects = _write_rejects(judged.rejects, context, task)
    advance(task.rows)
    return Transformed(len(rows), pieces, judged.broken, len(rows) - len(judged.good), rejects, sums, filled)


@in_stage("write")
def assemble(context: JobContext, task: AssembleTask, advance: Advance) -> Piece:
    """Join the pieces of a unit into one file in order."""
    one = load_job(context.job).under(context.settings).datasets[task.table]
    rows = unit_in_order(scan_file(*task.pieces).collect(), one)
    advance(task.rows)
    return write_unit(rows, Path(task.output), task.unit)


@in_stage("write")
def replace_rows(context: JobContext, task: ReplaceTask, advance: Advance) -> Piece | None:
    """Let rows of a unit that were computed again take the place of those before. None: nothing in it changes.

    A partition or part that became empty has no file.
    """
    one = load_job(context.job).under(context.settings).datasets[task.table]
    before = scan_file(task.before) if task.before else pl.LazyFrame(schema=one.contract.schema())
    places = before.select(one.by).with_row_index("_place")
    left = places.join(scan_file(task.affected), on=one.by, how="semi", nulls_equal=True).collect()["_place"].sort()
    advance(task.rows)
    if not len(left) and not task.piece:
        return None
    rows = before.collect()
    gone = rows[left]
    come = scan_file(task.piece).collect() if task.piece else rows.clear()
    if task.before and gone.equals(come):
        return None
    if len(gone):
        path = Path(task.gone)
        path.parent.mkdir(parents=True, exist_ok=True)
        gone.write_parquet(path, compression="lz4")
    if piece := _in_place(one, task, rows, left, gone, come):
        return piece
    stay = rows.filter(~pl.int_range(pl.len()).is_in(left.implode()))
    merged = unit_in_order(pl.concat([stay, come], rechunk=True), one)
    if not len(merged) and task.unit != ONLY_UNIT:
        return Piece(task.unit, "", 0)
    return write_unit(merged, Path(task.output), task.unit)


def _in_place(
    one: DataSet, task: ReplaceTask, rows: pl.DataFrame, left: pl.Series, gone: pl.DataFrame, come: pl.DataFrame
) -> Piece | None:
    """Write a unit in which the rows ``come`` take the places ``left`` of the rows ``gone``, so that only the columns
    that change have to be written. None: places change, or most columns do."""
    if not task.before or not gone.select(one.order).equals(come.select(one.order)):
        return None
    # 0.0 and -0.0 are equal, and other bytes.
    names = [name for name, kind in rows.schema.items() if kind.is_float() or not gone[name].equals(come[name])]
    if len(names) > _MOST_CHANGED * rows.width:
        return None
    places = pl.int_range(len(rows), dtype=pl.UInt32, eager=True)
    places = places.scatter(left, pl.int_range(len(rows), len(rows) + len(come), dtype=pl.UInt32, eager=True))
    changed = pl.concat([rows.select(names), come.select(names)], rechunk=True)[places]
    more_text = text_bytes(come) - text_bytes(gone)
    return write_changed(Path(task.before), changed, more_text, Path(task.output), task.unit)


def missing_values(
    job: Job, checks: Sequence[Check], references: Mapping[str, TableFiles], rows: pl.LazyFrame
) -> dict[str, pl.Series]:
    """By check of a reference, the values of its column in ``rows`` that the other table does not have."""
    found = {}
    for check in checks:
        if check.kind == "reference":
            (name, *_), (table, column) = check.columns, check.to
            there = scan(references[table], input_schema(job, table)).select(column)
            here = rows.select(name).drop_nulls()
            ours, theirs = _comparable(name, here.collect_schema()[name], column, there.collect_schema()[column])
            missing = here.join(there, left_on=ours, right_on=theirs, how="anti", coalesce=False).unique()
            found[check.name] = missing.collect().to_series()
    return found


def _comparable(ours: str, here: pl.DataType, theirs: str, there: pl.DataType) -> tuple[pl.Expr, pl.Expr]:
    """Two columns of types ``here`` and ``there`` as values of one type: exact numbers may differ in theirs."""
    if here == there:
        return pl.col(ours), pl.col(theirs)
    scale = max(getattr(kind, "scale", 0) or 0 for kind in (here, there))
    common = pl.Decimal(38, scale)
    return pl.col(ours).cast(common, strict=False), pl.col(theirs).cast(common, strict=False)


def _open_inputs(job: Job, one: DataSet, task: TransformTask) -> dict[str, pl.LazyFrame]:
    found = {name: scan(files, input_schema(job, name)) for name, files in task.inputs.items()}
    if task.affected:
        affected = scan_file(task.affected)
        for name in one.keyed:
            few = found[name].join(affected, on=one.by, how="semi", nulls_equal=True)
            found[name] = few.collect().lazy()  # once: the transform and the sums of checks read them
    return found


def input_schema(job: Job, name: str) -> dict[str, pl.DataType]:
    """The columns of a table that a transform gets where it names none."""
    if name in job.datasets:
        return job.datasets[name].contract.schema()
    source = job.sources[name]
    added = {"_extracted_at": SOURCE_FACTS["_extracted_at"]} if source.snapshots else {}
    return {**source.contract.schema(), **added}


def facts_of(one: DataSet, context: JobContext) -> dict[str, Any]:
    """The facts of the run that a transform asks for by its parameters."""
    facts = {"as_of": context.as_of, "settings": context.settings}
    return {name: fact for name, fact in facts.items() if name in one.parameters}


def lazy(result: object, one: DataSet) -> pl.LazyFrame:
    """What a transform returned, as a lazy frame. Raises TypeError where it is no frame."""
    if isinstance(result, pl.DataFrame):
        return result.lazy()
    if isinstance(result, pl.LazyFrame):
        return result
    raise TypeError(f"{one.name} returns {type(result).__name__}, expected a LazyFrame")


def _sum(rows: pl.LazyFrame, column: str) -> int:
    return int(rows.select(pl.col(column).cast(pl.Int128).sum()).collect().item() or 0)


def _write_rejects(rejects: pl.DataFrame | None, context: JobContext, task: TransformTask) -> str:
    if rejects is None:
        return ""
    path = Path(context.work) / "rejects" / f"{task.table}-{task.bucket:05d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with writing(path):
        rejects.write_parquet(staged(path), compression="zstd")
    return str(path)
