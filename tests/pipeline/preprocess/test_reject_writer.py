"""Rejected records on disk: all of them, in order, masked, and no file where there are none."""

from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange.workspace import Workspace
from pipeline.preprocess import reject_writer
from pipeline.preprocess.reject_writer import SCHEMA, RejectWriter, reject_file
from pipeline.reading.text_parser import REJECTED

RECORD = st.tuples(
    st.integers(0, 10**6), st.integers(0, 10**9), st.sampled_from(("bad_quote", "invalid_ip")),
    st.none() | st.just("ip"), st.none() | st.sampled_from(("x", "", "\u00e9")), st.binary(max_size=9),
)  # fmt: skip


@pytest.mark.parametrize("keep_raw", [True, False])
@pytest.mark.parametrize("at_once", [0, 100, 1 << 22])
def test_all_records_are_written_in_order(tmp_path: Path, keep_raw: bool, at_once: int) -> None:
    @given(st.lists(st.lists(RECORD, max_size=5), max_size=4))
    def check(batches: list[list[tuple]]) -> None:
        path = tmp_path / "split-000001.parquet"
        path.write_bytes(b"of a reading that was interrupted")
        with pytest.MonkeyPatch.context() as patch, RejectWriter(path, keep_raw) as writer:
            patch.setattr(reject_writer, "_FLUSH_BYTES", at_once)
            for batch in batches:
                writer.add(pl.DataFrame(batch, REJECTED, orient="row"))
        records = [record for batch in batches for record in batch]
        assert writer.counts == Counter(record[2] for record in records)
        assert path.exists() == bool(records)
        if records:
            table = pq.read_table(path)
            assert table.schema.equals(SCHEMA)
            assert table.to_pylist() == [
                {"file": None, "line": line, "byte_offset": offset, "reason": reason, "column": column, "value": value,
                 "raw": raw if keep_raw else None}
                for line, offset, reason, column, value, raw in records
            ]  # fmt: skip

    check()


def test_no_ip_address_of_a_value_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    values = ["1.2.3.4.5", "u 203.0.113.77 x", None]
    records = [(n, n, "invalid", "ip_address", value, b"") for n, value in enumerate(values)]
    with RejectWriter(path, True) as writer:
        writer.add(pl.DataFrame(records, REJECTED, orient="row"))
    found = pq.read_table(path)["value"].to_pylist()
    assert "203.0.113.77" not in str(found)
    assert "203.0.113" in str(found), "the network may be seen"
    assert found[2] is None


def test_the_file_of_a_split_is_in_the_store(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "run"), str(tmp_path / "store"))
    assert reject_file(workspace, 12) == tmp_path / "store" / "rejects" / "split-000012.parquet"
