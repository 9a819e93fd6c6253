"""Conflict losers are fetched as they stand in their file, against records that were put together by hand."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engines import no_advance
from pipeline.errors import EnvironmentFault
from pipeline.exchange.loser_places import write_places
from pipeline.exchange.row_files import PLACE_UNIT
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.publish.conflicts import fetch_conflicts
from pipeline.publish.context import PublishContext
from pipeline.publish.kept_records import part_file
from pipeline.publish.tasks import ConflictTask, QuarantineSource
from pipeline.reading.splits import Split
from tests.examples import tries
from tests.harness import library
from tests.pipeline.publish.runs import HEADER

PREAMBLE = b"log_id,user_id,ip_address,watch_time(min)\n"
LINES_BEFORE = 5
FIELD = st.sampled_from(
    [b"a", b"ann", b"", b"x" * 5000, "é".encode(), b'"q,q"', b'"two\nlines"', b'"cr\r\nlf"', b'""', b'"d""q"', b'q"u']
)
RECORD = st.lists(FIELD, min_size=4, max_size=4).map(b",".join)


def publish_context(folder: Path, keep_raw: bool = True, compiled: bool = True) -> PublishContext:
    workspace = Workspace(str(folder / "work"))
    workspace.create()
    names, path = ("Asia", "Europe"), library() if compiled else None
    return PublishContext(workspace, "v", 1000, "zstd", 30_000, keep_raw, names, library_path=path)


def make_task(context: PublishContext, path: Path, offsets: list[int], **changes: Any) -> ConflictTask:
    split = Split(7, str(path), path.stat().st_size if path.exists() else 0, len(PREAMBLE), 10**6, True, HEADER)
    fields = {"name": str(path), "start": len(PREAMBLE), "first_line": LINES_BEFORE + 1} | changes
    losers = context.workspace.path("conflicts", "bucket-0000.npy")
    others = [6 * PLACE_UNIT + 1, 8 * PLACE_UNIT]  # of other splits
    write_places(losers, np.array([*others, *(7 * PLACE_UNIT + offset for offset in offsets)], np.uint64))
    return ConflictTask(3, (QuarantineSource(split, **fields),), (losers,))


def save_chunks(context: PublishContext, chunks: list[tuple[int, int]]) -> None:
    np.save(context.workspace.path("lines", "split-000007.npy"), np.array(chunks, np.int64))


def fetched(context: PublishContext, task: ConflictTask) -> list[tuple[Any, ...]]:
    advanced: list[int] = []
    part = fetch_conflicts(context, task, advanced.append)
    assert part
    table = pq.read_table(part.path)
    assert table.schema.equals(SCHEMA)
    assert {piece.split for group in part.groups for piece in group} == {7}
    assert len(table) == part.rows == sum(advanced)
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.fixture
def context(tmp_path: Path) -> PublishContext:
    return publish_context(tmp_path)


@tries(40)
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
        context = publish_context(Path(folder), compiled=data.draw(st.booleans()))
        path = Path(folder) / "a.csv"
        path.write_bytes(PREAMBLE + b"".join(raw + end for raw, end in records))
        save_chunks(context, sorted({(0, 0), *((offset, line) for offset, line, _ in starts)}))
        task = make_task(context, path, [offset for offset, _, _ in losers])
        assert fetched(context, task) == [
            (str(path), LINES_BEFORE + 1 + line, len(PREAMBLE) + offset, "conflict", None, None, raw)
            for offset, line, raw in losers
        ]


def test_bytes_are_left_out_where_the_settings_keep_none(tmp_path: Path) -> None:
    context = publish_context(tmp_path, keep_raw=False)
    path = tmp_path / "a.csv"
    path.write_bytes(PREAMBLE + b"1,ann,8.8.8.8,2\n")
    save_chunks(context, [(0, 0)])
    assert fetched(context, make_task(context, path, [0])) == [
        (str(path), LINES_BEFORE + 1, len(PREAMBLE), "conflict", None, None, None)
    ]


def test_a_log_that_cannot_be_read_stops_the_run(context: PublishContext, tmp_path: Path) -> None:
    save_chunks(context, [(0, 0)])
    with pytest.raises(EnvironmentFault, match=r"a\.csv can no longer be read \(No such file or directory\)"):
        fetch_conflicts(context, make_task(context, tmp_path / "a.csv", [0]), no_advance)
    assert not part_file(context.workspace, "fetched", 3).exists()


def save_rows(context: PublishContext) -> None:
    rows: dict[str, list[object]] = {"offset": [9, 4, 30], "user_id": ["ann", 'b"ob', "8.8.8.8"], "region": [1, 0, 0]}
    rows |= {"micro_minutes": [2_500_000, 1, 1]}
    types = {"offset": pl.UInt32, "region": pl.UInt16}
    pl.DataFrame(rows).cast(types).write_parquet(context.workspace.path("rows", "split-000007.parquet"))


def test_a_record_whose_log_is_gone_is_told_by_its_content(context: PublishContext, tmp_path: Path) -> None:
    save_rows(context)
    task = make_task(context, tmp_path / "gone.csv", [9, 30, 4], at_hand=False)
    name, content = str(tmp_path / "gone.csv"), "user_id, region, minutes"
    assert fetched(context, task) == [
        (name, None, len(PREAMBLE) + 4, "conflict", content, '["b\\"ob", "Asia", 1e-06]', None),
        (name, None, len(PREAMBLE) + 9, "conflict", content, '["ann", "Europe", 2.5]', None),
        (name, None, len(PREAMBLE) + 30, "conflict", content, '["8.8.8.0/24", "Asia", 1e-06]', None),
    ]


@pytest.mark.parametrize("at_hand", [True, False])
def test_texts_of_a_file_that_was_read_long_ago_are_not_kept(
    context: PublishContext, tmp_path: Path, at_hand: bool
) -> None:
    save_rows(context)
    path = tmp_path / "a.csv"
    path.write_bytes(PREAMBLE + b"1,a\n2,b,8.8.8.8,2\n")
    save_chunks(context, [(0, 0)])
    ((*place, reason, column, value, raw),) = fetched(
        context, make_task(context, path, [4], at_hand=at_hand, forgotten=True)
    )
    assert place == [str(path), LINES_BEFORE + 2 if at_hand else None, len(PREAMBLE) + 4]
    assert (reason, value, raw) == ("conflict", None, None)
    assert column in (None, "user_id, region, minutes")


def test_what_the_quarantine_has_is_not_fetched_again(context: PublishContext, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(PREAMBLE + b"1,ann,8.8.8.8,2\n2,ann,8.8.8.8,2\n")
    save_chunks(context, [(0, 0)])
    kept = context.workspace.path("quarantine", "kept.npy")
    write_places(kept, np.array([7 * PLACE_UNIT], np.uint64))
    task = replace(make_task(context, path, [0, 16]), kept=(kept,))
    assert [row[6] for row in fetched(context, task)] == [b"2,ann,8.8.8.8,2"]
    assert fetch_conflicts(context, replace(task, losers=(kept,)), no_advance) is None


def test_row_groups_of_wide_records_are_small(context: PublishContext, tmp_path: Path) -> None:
    record = b"1," + b"u" * 1_000_000 + b",8.8.8.8,2"
    path = tmp_path / "a.csv"
    path.write_bytes(PREAMBLE + (record + b"\n") * 40)
    starts = [number * (len(record) + 1) for number in range(40)]
    save_chunks(context, [(start, number) for number, start in enumerate(starts)])
    context = replace(context, max_record=2**20)
    task = make_task(context, path, starts)
    assert [row[6] for row in fetched(context, task)] == [record] * 40
    file = pq.ParquetFile(part_file(context.workspace, "fetched", 3))
    assert max(file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)) <= 18
