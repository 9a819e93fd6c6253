"""Arrays change their dress and not their values, and no heavy package is imported for it."""

import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.native.arrow import (
    column,
    take_texts,
    text_bounds,
    texts_at,
    to_arrow,
    to_frame,
    to_numpy,
    to_series,
    to_table,
)

DTYPES = [np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float64]
TEXTS = st.lists(st.text("aé", max_size=4), max_size=12)


def largest(dtype: type[np.generic]) -> int | float:
    return float(np.finfo(dtype).max) if np.issubdtype(dtype, np.floating) else int(np.iinfo(dtype).max)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_go_there_and_back(dtype: type[np.generic]) -> None:
    numbers = [0, 1, largest(dtype)]
    arrow = to_arrow(np.array(numbers, dtype))
    assert (arrow.type, arrow.to_pylist(), arrow.null_count) == (pa.from_numpy_dtype(dtype), numbers, 0)
    assert to_numpy(arrow).dtype == dtype
    assert to_numpy(arrow[1:]).tolist() == numbers[1:]
    assert to_numpy(arrow[:0]).tolist() == []
    assert to_arrow(np.array(numbers * 2, dtype)[::2]).to_pylist() == [numbers[0], numbers[2], numbers[1]]


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), max_size=40))
def test_missing_numbers_are_null(rows: list[tuple[int, bool]]) -> None:
    missing = np.array([gone for _, gone in rows], bool)
    arrow = to_arrow(np.array([number for number, _ in rows], np.int64), missing)
    assert arrow.to_pylist() == [None if gone else number for number, gone in rows]


def test_numbers_are_not_copied() -> None:
    numbers = np.arange(5)
    assert np.shares_memory(to_numpy(to_arrow(numbers)), numbers)
    table = pa.Table.from_arrays([to_arrow(numbers)], ["n"])
    assert np.shares_memory(column(table, "n"), numbers)
    assert to_series(to_arrow(numbers)).to_list() == numbers.tolist()


def test_a_column_of_no_rows_has_no_chunk() -> None:
    table = pa.schema([("n", pa.uint16())]).empty_table()
    assert column(table, "n").tolist() == []


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_bounds_of_texts_are_where_their_bytes_are(kind: pa.DataType) -> None:
    texts = ["a", "", "éé", "bc"]
    values = pa.array(texts, kind)
    data = values.buffers()[2].to_pybytes()
    for part, first in ((values, 0), (values[1:3], 1), (values[4:], 4)):
        bounds = text_bounds(part)
        assert (bounds.dtype, len(bounds)) == (np.int64, len(part) + 1)
        found = [data[bounds[i] : bounds[i + 1]].decode() for i in range(len(part))]
        assert found == texts[first : first + len(part)]


@given(TEXTS, st.data())
def test_texts_are_taken_in_the_order_of_their_positions(texts: list[str], data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=12)) if texts else []
    encoded = [text.encode() for text in texts]
    bounds = np.append(3, 3 + np.cumsum([len(text) for text in encoded])).astype(np.int64)
    octets = np.frombuffer(b"???" + b"".join(encoded) + b"?", np.uint8)
    new_bounds, new_octets = texts_at(bounds, octets, np.array(positions, np.int64))
    assert new_octets.tobytes() == b"".join(encoded[position] for position in positions)
    assert new_bounds.tolist() == [sum(len(encoded[p]) for p in positions[:n]) for n in range(len(positions) + 1)]
    taken = take_texts(bounds, octets, np.array(positions, np.int64))
    assert taken.to_pylist() == [texts[position] for position in positions]
    assert taken.type == pa.large_string()


def test_frames_and_series_have_the_values_of_the_table() -> None:
    table = pa.table({"a": pa.array([1, None], pa.int64()), "b": pa.array(["x", "é"], pa.large_string())})
    frame = to_frame(table)
    assert frame.schema == {"a": pl.Int64, "b": pl.String}
    assert frame.rows() == [(1, "x"), (None, "é")]
    assert to_series(pa.array(["x", None], pa.large_string())).to_list() == ["x", None]


def test_a_table_has_the_columns_of_its_schema_in_their_order() -> None:
    schema = pa.schema([("b", pa.string()), ("a", pa.uint32()), ("raw", pa.binary())])
    table = to_table({"a": (1, 2), "raw": [b"\xff", None], "b": ["x", None], "more": [0, 0]}, schema)
    assert table.schema == schema
    assert table.to_pydict() == {"b": ["x", None], "a": [1, 2], "raw": [b"\xff", None]}
    assert to_table({"a": [], "raw": [], "b": []}, schema).schema == schema


def test_neither_pandas_nor_the_functions_of_pyarrow_are_imported() -> None:
    program = """
import sys
import numpy as np, pyarrow as pa
from pipeline.native.arrow import *
numbers = np.arange(3)
to_numpy(to_arrow(numbers, numbers == 1))
texts = take_texts(numbers, np.zeros(2, np.uint8), numbers[:2])
text_bounds(texts)
table = pa.Table.from_arrays([to_arrow(numbers)], ["n"])
column(table, "n"), to_frame(table), to_series(texts)
print([name for name in ("pandas", "pyarrow.compute") if name in sys.modules])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
