"""A file with some columns replaced is what Polars writes of all columns, to the byte."""

import io
from datetime import date, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.parquet_columns import key_values_in, replace_columns

VALUES = {
    "number": st.integers(-(2**63), 2**63 - 1),
    "few": st.integers(0, 3),
    "text": st.text(max_size=5),
    "word": st.sampled_from(["paid", "unpaid"]),
    "flag": st.booleans(),
    "share": st.floats(allow_nan=False),
    "day": st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    "moment": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    "parts": st.lists(st.integers(0, 9), max_size=3),
}
SCHEMA = {
    "number": pl.Int64(), "few": pl.Int64(), "text": pl.String(), "word": pl.String(), "flag": pl.Boolean(),
    "share": pl.Float64(), "day": pl.Date(), "moment": pl.Datetime("us"), "parts": pl.List(pl.Int64()),
}  # fmt: skip


def write(rows: pl.DataFrame, **facts: str) -> bytes:
    stream = io.BytesIO()
    rows.write_parquet(stream, compression="zstd", compression_level=1, row_group_size=10, metadata=facts)
    return stream.getvalue()


@st.composite
def frames(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    rows = draw(st.integers(1, 35))
    lists = [st.lists(st.none() | values, min_size=rows, max_size=rows) for values in VALUES.values()]
    first, second = (
        pl.DataFrame({name: draw(values) for name, values in zip(VALUES, lists, strict=True)}, SCHEMA) for _ in range(2)
    )
    changed = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, unique=True))
    return first, first.with_columns(second[name] for name in changed).select(first.columns), second.select(changed)


@given(frames=frames())
def test_the_bytes_are_those_of_a_file_that_is_written_whole(
    frames: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
) -> None:
    before, after, changed = frames
    made = replace_columns(write(before, size="1", other="x"), write(changed), {b"size": b"22"})
    assert made == write(after, size="22", other="x")
    assert key_values_in(made)[b"size"] == b"22"


def test_files_that_are_not_alike_are_not_put_together() -> None:
    rows = pl.DataFrame({"a": range(30), "b": range(30)})
    whole, changed = write(rows), write(rows.select("b"))
    assert replace_columns(whole, changed, {}) == whole
    assert replace_columns(whole, write(rows.select("b").head(29)), {}) is None
    assert replace_columns(whole, changed.replace(b"Polars (python)", b"Polars (others)"), {}) is None
    stream = io.BytesIO()
    rows.write_parquet(stream, use_pyarrow=True, row_group_size=10)
    assert replace_columns(stream.getvalue(), changed, {}) is None
