"""Footers of PyArrow and of Polars are decoded, and encoded to the same bytes."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange.parquet_footer import Field, decode, encode, read_footer

I32, I64, DOUBLE, BINARY, LIST, STRUCT = 5, 6, 7, 8, 9, 12


@pytest.mark.parametrize("writer", ["pyarrow", "polars"])
@pytest.mark.parametrize("groups", [0, 1, 20])
def test_a_footer_becomes_the_same_bytes_again(writer: str, groups: int, tmp_path: Path) -> None:
    path, rows = tmp_path / "a.parquet", 3 * groups
    table = pa.table(
        {"n": list(range(rows)), "text": [f"t{n}" for n in range(rows)], "no": pa.nulls(rows, pa.binary())}
    )
    if writer == "pyarrow":
        pq.write_table(table, path, row_group_size=3)
    else:
        pl.DataFrame(table).write_parquet(path, row_group_size=3)
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    assert encode(read_footer(path)) == data[-8 - length : -8]


VALUES = st.recursive(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1).map(lambda number: Field(I64, number)),
        st.integers(-(2**31), 2**31 - 1).map(lambda number: Field(I32, number)),
        st.binary(max_size=200).map(lambda text: Field(BINARY, text)),
        st.booleans().map(lambda flag: Field(1, flag)),
        st.floats(allow_nan=False).map(lambda number: Field(DOUBLE, number)),
        st.lists(st.integers(0, 2**40), max_size=40).map(lambda numbers: Field(LIST, (I64, numbers))),
    ),
    lambda values: st.dictionaries(st.integers(1, 200), values, max_size=5).map(lambda fields: Field(STRUCT, fields)),
)


@given(st.dictionaries(st.integers(1, 200), VALUES, max_size=8))
def test_what_is_encoded_is_decoded_to_the_same_values(fields: dict[int, Field]) -> None:
    def plain(value: object) -> object:
        if isinstance(value, Field):
            return plain(value.value)
        return {key: plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value

    assert plain(decode(encode(fields))) == plain(fields)


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"PAR1PAR1", b"PAR1\xff\xff\xff\x7fPAR1", b"PAR1\x18\x05\x00\x00\x00PAR1"]
)
def test_a_file_without_a_footer_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(ValueError, match="footer"):
        read_footer(tmp_path / "a.parquet")
