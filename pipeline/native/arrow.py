"""Arrow data from NumPy arrays and Python values, by ways that import neither pandas nor pyarrow's functions.

``pyarrow.array`` and its kin look for pandas and import it where it happens to be installed: a quarter of a second and
60 MB for each process, for nothing. ``take``, ``cast`` and Polars' way of single columns import pyarrow.compute, 25 ms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray


def to_arrow(values: NDArray[np.generic], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """The numbers as an Arrow array, without copying them where they are contiguous; null where ``missing``."""
    values = np.ascontiguousarray(values)
    valid = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [valid, pa.py_buffer(values)])


def to_numpy(values: pa.Array) -> NDArray[Any]:
    """Numbers without nulls as an array, without copying them."""
    buffer = values.buffers()[1]
    dtype = values.type.to_pandas_dtype()  # a NumPy type, whatever its name
    return np.frombuffer(buffer, dtype)[values.offset : values.offset + len(values)] if buffer else np.empty(0, dtype)


def column(table: pa.Table, name: str) -> NDArray[Any]:
    """A column of numbers, which is in one chunk, without copying it."""
    return to_numpy(table[name].chunk(0)) if len(table) else np.empty(0, np.int64)


def text_bounds(values: pa.StringArray | pa.LargeStringArray) -> NDArray[np.int64]:
    """Where the texts begin in their buffer, and where the last one ends."""
    dtype = np.int64 if isinstance(values, pa.LargeStringArray) else np.int32
    bounds = np.frombuffer(values.buffers()[1], dtype)[values.offset : values.offset + len(values) + 1]
    return bounds.astype(np.int64, copy=False)


def texts_at(
    bounds: NDArray[np.int64], texts: NDArray[np.uint8], places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """(Bounds, bytes) of some of the texts that lie between ``bounds``, one after the other."""
    starts = bounds[places]
    lengths = bounds[places + 1] - starts
    taken = np.append(0, np.cumsum(lengths))
    return taken, texts[np.arange(taken[-1]) + np.repeat(starts - taken[:-1], lengths)]


def take_texts(bounds: NDArray[np.int64], texts: NDArray[np.uint8], places: NDArray[np.int64]) -> pa.LargeStringArray:
    """The same as an Arrow array."""
    taken, gathered = texts_at(bounds, texts, places)
    return pa.LargeStringArray.from_buffers(len(places), pa.py_buffer(taken), pa.py_buffer(gathered))


def to_frame(table: pa.Table) -> pl.DataFrame:
    """The table as a frame, without copying what need not be copied."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def to_series(values: pa.Array) -> pl.Series:
    """A column, without copying what need not be copied."""
    return to_frame(pa.Table.from_arrays([values], [""])).to_series()


def to_table(columns: Mapping[str, Sequence[object]], schema: pa.Schema) -> pa.Table:
    """A table of ``schema`` from Python values by column."""
    frame = pl.DataFrame({name: list(columns[name]) for name in schema.names}, schema=pl.Schema(schema))
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
