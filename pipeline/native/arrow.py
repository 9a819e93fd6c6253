"""Converts between Arrow data, NumPy arrays and frames, without importing pandas or pyarrow.compute.

``pyarrow.array`` and similar functions import pandas where it is installed, which costs each process a quarter of a
second and 60 MB. ``take``, ``cast`` and Polars' conversion of single columns import pyarrow.compute, which takes 25 ms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 18
"""Bytes of texts that are taken at a time."""


def to_arrow(values: NDArray[np.generic], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """Convert numbers to an Arrow array with nulls where ``missing``; contiguous numbers are not copied."""
    values = np.ascontiguousarray(values)
    valid = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [valid, pa.py_buffer(values)])


def to_numpy(values: pa.Array) -> NDArray[Any]:
    """Convert numbers without nulls to a NumPy array, without copying them."""
    buffer = values.buffers()[1]
    dtype = values.type.to_pandas_dtype()  # a NumPy type, in spite of the method's name
    return np.frombuffer(buffer, dtype)[values.offset : values.offset + len(values)] if buffer else np.empty(0, dtype)


def column(table: pa.Table, name: str) -> NDArray[Any]:
    """A column of numbers without nulls as a NumPy array, not copied; the column is in one chunk.

    The result of a table without rows is int64.
    """
    return to_numpy(table[name].chunk(0)) if len(table) else np.empty(0, np.int64)


def text_bounds(values: pa.StringArray | pa.LargeStringArray) -> NDArray[np.int64]:
    """The offsets of the texts in their buffer: text i has the bytes from entry i to entry i + 1."""
    dtype = np.int64 if isinstance(values, pa.LargeStringArray) else np.int32
    bounds = np.frombuffer(values.buffers()[1], dtype)[values.offset : values.offset + len(values) + 1]
    return bounds.astype(np.int64, copy=False)


def texts_at(
    bounds: NDArray[np.int64], texts: NDArray[np.uint8], positions: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Take the texts at ``positions``, in their order: (new bounds, new bytes).

    Text i has the bytes from ``bounds[i]`` to ``bounds[i + 1]`` of ``texts``; the new bounds begin with 0.
    """
    starts = bounds[positions]
    new_bounds = np.append(0, np.cumsum(bounds[positions + 1] - starts))
    taken = np.empty(new_bounds[-1], np.uint8)
    first = 0
    while first < len(positions):  # a block at a time, because each byte of it takes the memory of three numbers
        begin = new_bounds[first]
        last = max(first + 1, int(np.searchsorted(new_bounds, begin + _BLOCK_BYTES, "right")) - 1)
        end = new_bounds[last]
        if last == first + 1:
            taken[begin:end] = texts[starts[first] : starts[first] + end - begin]
        else:
            shifts = starts[first:last] - new_bounds[first:last]
            taken[begin:end] = texts[np.arange(begin, end) + np.repeat(shifts, np.diff(new_bounds[first : last + 1]))]
        first = last
    return new_bounds, taken


def take_texts(
    bounds: NDArray[np.int64], texts: NDArray[np.uint8], positions: NDArray[np.int64]
) -> pa.LargeStringArray:
    """Take the texts at ``positions`` as an Arrow array; arguments as for ``texts_at``."""
    new_bounds, new_texts = texts_at(bounds, texts, positions)
    return pa.LargeStringArray.from_buffers(len(positions), pa.py_buffer(new_bounds), pa.py_buffer(new_texts))


def one_text(text: str) -> pa.StringArray:
    """An array of one text."""
    data = text.encode()
    return pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, len(data)], np.int32)), pa.py_buffer(data))


def to_frame(table: pa.Table) -> pl.DataFrame:
    """Convert a table to a frame; data that both keep in the same layout is not copied."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def to_series(values: pa.Array) -> pl.Series:
    """Convert an array to a series; data that both keep in the same layout is not copied."""
    return to_frame(pa.Table.from_arrays([values], [""])).to_series()


def to_table(columns: Mapping[str, Sequence[object]], schema: pa.Schema) -> pa.Table:
    """Make a table of ``schema`` from Python values; ``columns``: name → values. Columns of no field are left out."""
    frame = pl.DataFrame({name: list(columns[name]) for name in schema.names}, schema=pl.Schema(schema))
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
