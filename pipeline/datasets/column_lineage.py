"""Finds which columns of its inputs each column of a table depends on, by what Polars would read for that column alone.

The transform runs over inputs without rows, and the plan of one column of its result tells what it reads: also the
columns by which rows are joined, filtered and grouped. Where a transform computes on the way (``collect``), plans do
not tell, and nothing is said.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from threading import Lock, get_ident
from typing import Any

import polars as pl

from pipeline.datasets.dataset import DataSet
from pipeline.datasets.job import Job
from pipeline.datasets.kernels import facts_of, input_schema, lazy
from pipeline.datasets.tasks import JobContext
from pipeline.sources.contract import SOURCE_FACTS

_MARK = "@"
"""Begins the name of a column beside each column of an input, so that a plan tells whose it is. Plans list four columns
at most, so that each input is put together from columns of its own."""
_READ = re.compile(rf'DF \["{_MARK}(\w+)\.(\w+)", "\w+"\]; PROJECT(?: \*|\["\w)')

_ONE_AT_A_TIME = Lock()

_SOME_MOMENT = datetime(2000, 1, 1)
"""Plans do not depend on when."""

Lineage = Mapping[str, tuple[tuple[str, str], ...]]
"""Column of a table → (input, column) that it depends on, in order."""


class _ComputedError(Exception):
    """The transform computes on the way."""


def column_lineage(job: Job, one: DataSet) -> Lineage | None:
    """On which columns of its inputs each column of a data set depends; None where its plan does not tell."""
    inputs = {name: _without_rows(job, one, name) for name in one.inputs}
    context = JobContext(str(job.folder), "", _SOME_MOMENT, job.settings, "")
    try:
        with _no_computing():
            result = lazy(one.function(**inputs, **facts_of(one, context)), one)
            return {name: _read_by(result.select(name)) for name in one.contract.columns}
    except Exception:
        return None  # what a transform does with tables that have no rows is no fault of the run


def _without_rows(job: Job, one: DataSet, name: str) -> pl.LazyFrame:
    usual = input_schema(job, name)
    schema = {**SOURCE_FACTS, **usual}
    read = one.keyed.get(name) or one.whole.get(name) or tuple(usual)
    return pl.concat(
        [pl.LazyFrame(schema={f"{_MARK}{name}.{column}": pl.Boolean, column: schema[column]}) for column in read],
        how="horizontal",
    )


def _read_by(result: pl.LazyFrame) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(_READ.findall(result.explain())))


@contextmanager
def _no_computing() -> Iterator[None]:
    """Let this thread, and no other, compute no frame."""
    here = get_ident()

    def refuse(frame: pl.LazyFrame, *args: Any, **options: Any) -> Any:
        if get_ident() == here:
            raise _ComputedError
        return collect(frame, *args, **options)

    with _ONE_AT_A_TIME:
        collect = pl.LazyFrame.collect
        pl.LazyFrame.collect = refuse  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            pl.LazyFrame.collect = collect  # type: ignore[method-assign]
