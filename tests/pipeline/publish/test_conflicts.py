"""Conflict losers are fetched as they stand in their file, against records that were put together by hand."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engines import no_advance
from pipeline.errors import EnvironmentFault
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.publish.conflicts import conflict_file, fetch_conflicts
from pipeline.publish.context import PublishContext
from pipeline.publish.tasks import ConflictTask
from pipeline.reading.splits import Split
from tests.pipeline.publish.runs import HEADER

PREAMBLE = b"log_id,user_id,ip_address,watch_time(min)\n"
LINES_BEFORE = 5
FIELD = st.sampled_from([b"a", b"ann", b"", b"x" * 5000, "é".encode(), b'"q,q"', b'"two\nlines"', b'"cr\r\nlf"', b'""'])
RECORD = st.lists(FIELD, min_size=4, max_size=4).map(b",".join)


def publish_context(folder: Path, keep_raw: bool = True) -> PublishContext:
    workspace = Workspace(str(folder / "work"))
    workspace.create()
    return PublishContext(workspace, "v", 1000, "zstd", 30_000, keep_raw, ("Asia", "Europe"))


def make_task(path: Path, offsets: list[int], **changes: Any) -> ConflictTask:
    split = Split(7, str(path), path.stat().st_size if path.exists() else 0, len(PREAMBLE), 10**6, True, HEADER)
    fields = {"number": 3, "start": len(PREAMBLE), "first_line": LINES_BEFORE + 1, "offsets": tuple(offsets)}
    return ConflictTask(split=split, **(fields | changes))


def save_chunks(context: PublishContext, chunks: list[tuple[int, int]]) -> None:
    np.save(context.workspace.path("lines", "split-000007.npy"), np.array(chunks, np.int64))


def fetched(context: PublishContext) -> list[tuple[Any, ...]]:
    table = pq.read_table(conflict_file(context.workspace, 3))
    assert table.schema.equals(SCHEMA)
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.fixture
def context(tmp_path: Path) -> PublishContext:
    return publish_context(tmp_path)


@settings(max_examples=40)
@given(
    records=st.lists(st.tuples(RECORD, st.sampled_from([b"\n", b"\r\n", b"\n\n"])), min_size=1, max_size=12),
    data=st.data(),
)
def test_records_have_their_line_offset_and_bytes(records: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    offset, line = 0, 0
    expected = []
    for raw, end in records:
        expected.append((offset, line, raw))
        offset, line = offset + len(raw + end), line + (raw + end).count(b"\n")
    losers = data.draw(st.lists(st.sampled_from(expected), unique=True, min_size=1))
    losers.sort()
    starts = data.draw(st.lists(st.sampled_from(expected), unique=True))
    with TemporaryDirectory() as folder:
        context = publish_context(Path(folder))
        path = Path(folder) / "a.csv"
        path.write_bytes(PREAMBLE + b"".join(raw + end for raw, end in records))
        save_chunks(context, sorted({(0, 0), *((offset, line) for offset, line, _ in starts)}))
        advanced: list[int] = []
        found = fetch_conflicts(context, make_task(path, [offset for offset, _, _ in losers]), advanced.append)
        assert found == len(losers) == sum(advanced)
        assert fetched(context) == [
            (str(path), LINES_BEFORE + 1 + line, len(PREAMBLE) + offset, "conflict", None, None, raw)
            for offset, line, raw in losers
        ]


def test_bytes_are_left_out_where_the_settings_keep_none(tmp_path: Path) -> None:
    context = publish_context(tmp_path, keep_raw=False)
    path = tmp_path / "a.csv"
    path.write_bytes(PREAMBLE + b"1,ann,8.8.8.8,2\n")
    save_chunks(context, [(0, 0)])
    fetch_conflicts(context, make_task(path, [0]), no_advance)
    assert fetched(context) == [(str(path), LINES_BEFORE + 1, len(PREAMBLE), "conflict", None, None, None)]


def test_a_log_that_cannot_be_read_stops_the_run(context: PublishContext, tmp_path: Path) -> None:
    save_chunks(context, [(0, 0)])
    with pytest.raises(EnvironmentFault, match=r"a\.csv can no longer be read \(No such file or directory\)"):
        fetch_conflicts(context, make_task(tmp_path / "a.csv", [0]), no_advance)
    assert not conflict_file(context.workspace, 3).exists()


EARLIER = [
    {"file": "old.csv", "line": 12, "byte_offset": len(PREAMBLE) + 4, "reason": "conflict", "raw": b"9,bob,1.1.1.1,2"},
    {"file": "old.csv", "line": 13, "byte_offset": len(PREAMBLE) + 9, "reason": "bad_quote", "raw": b"no loser"},
    {"file": "other.csv", "line": 1, "byte_offset": len(PREAMBLE) + 9, "reason": "conflict", "raw": b"of another file"},
]


def write_earlier(folder: Path) -> str:
    folder.mkdir()
    rows = [dict.fromkeys(SCHEMA.names) | row for row in EARLIER]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "conflicts.parquet")
    return str(folder)


def test_a_record_of_the_previous_quarantine_is_taken_from_there_and_the_rest_from_its_content(
    context: PublishContext, tmp_path: Path
) -> None:
    rows = {"offset": [9, 4, 30], "user_id": ["ann", "bob", "8.8.8.8"], "region": [1, 0, 0]}
    rows |= {"micro_minutes": [2_500_000, 1, 1]}
    pl.DataFrame(rows).write_parquet(context.workspace.path("rows", "split-000007.parquet"))
    task = make_task(
        tmp_path / "gone.csv", [4, 9, 30], at_hand=False, previous=write_earlier(tmp_path / "q"), listed_as="old.csv"
    )
    assert fetch_conflicts(context, task, no_advance) == 3
    name, content = str(tmp_path / "gone.csv"), "user_id, region, minutes"
    assert fetched(context) == [
        (name, 12, len(PREAMBLE) + 4, "conflict", None, None, b"9,bob,1.1.1.1,2"),
        (name, None, len(PREAMBLE) + 9, "conflict", content, '["ann", "Europe", 2.5]', None),
        (name, None, len(PREAMBLE) + 30, "conflict", content, '["8.8.8.0/24", "Asia", 1e-06]', None),
    ]


def test_texts_of_a_file_that_was_read_long_ago_are_not_kept(context: PublishContext, tmp_path: Path) -> None:
    task = make_task(
        tmp_path / "gone.csv",
        [4],
        at_hand=False,
        previous=write_earlier(tmp_path / "q"),
        listed_as="old.csv",
        forgotten=True,
    )
    fetch_conflicts(context, task, no_advance)
    assert fetched(context) == [(str(tmp_path / "gone.csv"), 12, len(PREAMBLE) + 4, "conflict", None, None, None)]


def test_a_quarantine_that_was_removed_meanwhile_has_no_records(context: PublishContext, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(PREAMBLE + b"1,ann,8.8.8.8,2\n")
    save_chunks(context, [(0, 0)])
    fetch_conflicts(context, make_task(path, [0], previous=str(tmp_path / "none"), listed_as="a.csv"), no_advance)
    assert [row[6] for row in fetched(context)] == [b"1,ann,8.8.8.8,2"]
