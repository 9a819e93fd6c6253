"""Tries the laws of data sets: the kernel that makes a table in parts, with its rows in an order of chance."""

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import polars as pl
import polars.selectors as cs

from pipeline.datasets.dataset import DataSet
from pipeline.datasets.job import load_job
from pipeline.datasets.kernels import facts_of, input_schema, lazy
from pipeline.datasets.tasks import Digest, JobContext, LawTask
from pipeline.datasets.units import key_text, scan
from pipeline.engines import Advance
from pipeline.sources.contract import conform
from pipeline.timing import in_stage


@in_stage("group")
def try_law(context: JobContext, task: LawTask, advance: Advance) -> Digest:
    """Make a data set in parts, without writing anything. Raises what the transform raises."""
    job = load_job(context.job)
    one = job.datasets[task.table]
    inputs = {
        name: scan(files, input_schema(job, name)).collect().sample(fraction=1, shuffle=True, seed=task.seed)
        for name, files in task.inputs.items()
    }
    if task.without:
        found = _without(one, context, inputs, task.without)
    else:
        rows = _ordered(pl.concat(_parts(one, context, inputs, task.buckets)), one)
        found = Digest(len(rows), _digest(rows))
    advance(task.rows)
    return found


def _parts(one: DataSet, context: JobContext, inputs: Mapping[str, pl.DataFrame], buckets: int) -> list[pl.DataFrame]:
    """The results of all buckets. Any number of buckets will do, so that a bucket is the rest of a division."""
    if buckets == 1:
        return [_made(one, context, inputs)]
    numbers = {name: inputs[name].select(_bucket(one, buckets).alias("bucket"))["bucket"] for name in one.keyed}
    return [
        _made(one, context, {name: rows.filter(numbers[name] == bucket) if name in numbers else rows
                             for name, rows in inputs.items()})
        for bucket in range(buckets)
    ]  # fmt: skip


def _bucket(one: DataSet, buckets: int) -> pl.Expr:
    return key_text(one.by).hash(0) % buckets


def _made(one: DataSet, context: JobContext, inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    given: dict[str, Any] = {name: rows.lazy() for name, rows in inputs.items()}
    arguments = {name: given[name] for name in one.inputs} | facts_of(one, context)
    return conform(lazy(one.function(**arguments), one), one.contract, one.name).collect()


def _ordered(rows: pl.DataFrame, one: DataSet) -> pl.DataFrame:
    return rows.sort(one.order, nulls_last=False)


def _digest(rows: pl.DataFrame) -> str:
    """A hash of the values alone: how memory is laid out depends on the parts that rows came from."""
    stream = io.BytesIO()
    plain = rows.select(pl.all(), pl.all().is_null().name.suffix(" is null"))
    # Texts one after the other instead of views of buffers, and nothing below a null.
    filled = plain.with_columns(
        pl.col(pl.String).fill_null(""), (cs.numeric() | cs.boolean() | cs.temporal()).fill_null(strategy="zero")
    )
    # A column without nulls may have marks of nulls or none: a row of nulls at the end gives marks to all.
    ended = pl.concat([filled, filled.clear(1)]).rechunk()
    ended.write_ipc(stream, compat_level=pl.CompatLevel.oldest())
    return hashlib.blake2b(stream.getvalue(), digest_size=16).hexdigest()


def _without(one: DataSet, context: JobContext, inputs: Mapping[str, pl.DataFrame], lookup: str) -> Digest:
    """The rows of the values of ``by`` that do not use half of the values of a lookup, without these and with them."""
    columns = one.lookup[lookup]
    values = inputs[lookup].select(columns).unique(maintain_order=True)
    gone = values.filter(pl.int_range(pl.len()) % 2 == 0)
    users = [rows for name, rows in inputs.items() if name in one.keyed and set(columns) <= set(rows.columns)]
    used = pl.concat(
        rows.join(gone, on=columns, how="semi", nulls_equal=True).select(one.by) for rows in users
    ).unique()
    changed = {**inputs, lookup: inputs[lookup].join(gone, on=columns, how="anti", nulls_equal=True)}
    complete, partial = (
        _ordered(_made(one, context, given).join(used, on=one.by, how="anti", nulls_equal=True), one)
        for given in (inputs, changed)
    )
    return Digest(len(partial), _digest(partial), _digest(complete))
