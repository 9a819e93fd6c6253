"""Row groups: what compiled code writes is what pyarrow, Polars, DuckDB and itself read; damage is found."""

import io
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import EnvironmentFault
from pipeline.exchange import bucket_rows, row_groups
from pipeline.exchange.bucket_rows import read_buckets, read_columns, read_together
from pipeline.exchange.row_files import write_rows
from pipeline.exchange.row_memory import memory_of
from pipeline.exchange.split_rows import NO_TIMESTAMP, SplitRows
from pipeline.native.pages import decode_groups, encode_groups
from tests.harness import library

LIBRARY = Path(library())
WHOLE = np.iinfo(np.int64)
TEXTS = st.text(max_size=40).map(str.encode)


def draw_numbers(data: st.DataObject, count: int, low: int, high: int) -> np.ndarray:
    """Numbers of one range, which may be narrow, so that every width of differences occurs."""
    bounds = sorted((data.draw(st.integers(low, high)), data.draw(st.integers(low, high))))
    dice = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    return dice.integers(bounds[0], bounds[1], count, endpoint=True, dtype=np.int64 if low < 0 else np.uint64)


def draw_rows(data: st.DataObject, count: int, timestamps: bool) -> SplitRows:
    texts = data.draw(st.lists(TEXTS, min_size=1, max_size=8))
    dice = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    users = [texts[number] for number in dice.integers(0, len(texts), count)]
    columns = {name: draw_numbers(data, count, 0, 2**64 - 1) for name in ("id_hi", "id_lo", "user_hash")}
    columns["region"] = draw_numbers(data, count, 0, 2**14 - 1).astype(np.uint16)
    columns["micro_minutes"] = draw_numbers(data, count, 0, 10**15).astype(np.int64)
    columns["offset"] = draw_numbers(data, count, 0, 2**32 - 1).astype(np.uint32)
    if timestamps:
        moments = draw_numbers(data, count, WHOLE.min + 1, WHOLE.max)
        columns["timestamp"] = np.where(dice.random(count) < data.draw(st.floats(0, 1)), NO_TIMESTAMP, moments)
    bounds = np.cumsum([0, *map(len, users)]).astype(np.int64)
    return SplitRows.of(columns, bounds, np.frombuffer(b"".join(users) or b"\0", np.uint8))


def expected_columns(rows: SplitRows) -> dict[str, list]:
    """The columns of the file in plain Python."""
    found = {name: rows[name].view(np.int64).tolist() for name in ("id_hi", "id_lo")}
    ends = [0, *rows["user_end"].tolist()]
    texts = rows.users.tobytes()
    found["user_id"] = [texts[begin:end].decode() for begin, end in pairwise(ends)]
    found |= {name: rows[name].tolist() for name in ("region", "micro_minutes", "offset")}
    if "timestamp" in rows.columns:
        found["timestamp"] = [None if moment == NO_TIMESTAMP else moment for moment in rows["timestamp"].tolist()]
    parts = zip(*(rows[name].tolist() for name in ("micro_minutes", "region", "id_lo", "user_hash")), strict=True)
    marks = [(micro * 2**14 + region + id_lo + user) % 2**64 for micro, region, id_lo, user in parts]
    found["content"] = [mark - 2**64 if mark >= 2**63 else mark for mark in marks]
    return found


@given(
    counts=st.lists(st.sampled_from([0, 1, 2, 31, 32, 33, 128, 129, 161, 300]), min_size=4, max_size=4).filter(any),
    timestamps=st.booleans(),
    data=st.data(),
)
def test_every_reader_finds_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], timestamps: bool, data: st.DataObject
) -> None:
    rows = draw_rows(data, sum(counts), timestamps)
    expected = expected_columns(rows)
    path = tmp_path_factory.mktemp("rows") / "split-000007.parquet"
    write_rows(path, rows, np.array(counts), LIBRARY)
    assert pq.read_table(path).to_pydict() == expected
    assert pl.read_parquet(path).to_dict(as_series=False) == expected
    columns = ", ".join(f'"{name}"' for name in expected)
    assert duckdb.sql(f"select {columns} from '{path}'").fetchall() == list(zip(*expected.values(), strict=True))

    content = expected.pop("content")
    for buckets in (1, 2, 4):
        for bucket in range(buckets):
            step = 4 // buckets
            first, stop = (sum(counts[: number * step]) for number in (bucket, bucket + 1))
            wanted = {name: values[first:stop] for name, values in expected.items()}
            found, sizes = read_buckets(path, bucket, 1, buckets, library=LIBRARY)
            assert sizes == ({bucket: stop - first} if stop > first else {})
            tables = read_together([(7, path)], bucket, buckets, 10**9, LIBRARY)
            if stop > first:
                assert found.to_pydict() == wanted
                (table,) = tables
                offsets = wanted.pop("offset")
                places = [7 * 2**32 + offset for offset in offsets]
                assert table.to_pydict() == wanted | {"place": places}
            else:
                assert tables == []
    ids, marks = read_columns(path, ["id_hi", "content"], LIBRARY)
    assert ids.view(np.int64).tolist() == expected["id_hi"]
    assert marks.view(np.int64).tolist() == content


def some_rows(count: int, timestamps: bool = False) -> SplitRows:
    dice = np.random.default_rng(count)
    columns = {name: dice.integers(0, 2**64, count, dtype=np.uint64) for name in ("id_hi", "id_lo", "user_hash")}
    columns |= {"region": dice.integers(0, 7, count).astype(np.uint16)}
    columns |= {"micro_minutes": dice.integers(0, 10**8, count), "offset": np.arange(count, dtype=np.uint32) * 90}
    if timestamps:
        columns["timestamp"] = dice.integers(-(2**40), 2**40, count)
    return SplitRows.of(columns, np.arange(count + 1) * 3, np.full(3 * count, ord("u"), np.uint8))


@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 10**6),
    timestamps=st.booleans(),
)
def test_damaged_groups_are_read_within_their_bounds(
    changes: list[tuple[int, int]], cut: int, timestamps: bool
) -> None:
    """Either ValueError, or numbers that are others; texts keep their order in any case. (``make sanitize``)"""
    count = 200
    rows = some_rows(count, timestamps)
    ((group, pages, _),) = encode_groups(LIBRARY, rows.sorted_columns(), [(0, count)], 4)
    damaged = bytearray(pages)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    arrays = {name: np.empty(count, np.int64) for name in ("id_hi", "id_lo", "micro_minutes", "place")}
    arrays |= {"region": np.empty(count, np.uint16), "texts": np.empty(group.text_bytes, np.uint8)}
    arrays["bounds"] = np.zeros(count + 1, np.int64)
    if timestamps:
        arrays["timestamp"] = np.empty(count, np.int64)
    try:
        decode_groups(LIBRARY, bytes(damaged[: cut % len(damaged) + 1]), [group], arrays, timestamps=timestamps)
    except ValueError:
        return
    assert np.all(np.diff(arrays["bounds"]) >= 0)
    assert arrays["bounds"][-1] == group.text_bytes


@pytest.mark.parametrize("compiled", [True, False])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, compiled: bool) -> None:
    """Whatever is damaged: the rows, the footer, its texts, or the file's end."""
    path = tmp_path / "split-000001.parquet"
    write_rows(path, some_rows(100), np.array([60, 40]), LIBRARY if compiled else None)
    whole = path.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    damages = [whole[:place] + b"\xff" * 64 + whole[place + 64 :] for place in (4, 500, footer, footer + 300)]
    damages += [whole.replace(b"logmill.buckets", b"logmill.backets"), whole[:2000], whole[:-1], b""]
    damages += [whole.replace(b"[2, [0, 1]]", b"[2, [0, 1]}")]
    found = []
    for damaged in damages:
        path.write_bytes(damaged)
        for read in (
            lambda: read_buckets(path, 0, 2, 2, library=LIBRARY),
            lambda: read_together([(1, path)], 0, 2, 10**9, LIBRARY),
            lambda: read_columns(path, ["id_hi"], LIBRARY),
            lambda: read_columns(path, ["content"], LIBRARY),
        ):
            row_groups._kept.clear()
            try:
                read()
            except EnvironmentFault as fault:
                found.append(str(fault))
    assert len(found) >= len(damages)
    assert all(str(path) in message and "--full-refresh" in message for message in found)


class FewBytes(io.FileIO):
    """A file that gives few bytes at a time."""

    def read(self, size: int = -1) -> bytes:
        return super().read(min(size, 1000))


def test_bytes_that_come_a_few_at_a_time_are_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a network's file system may give them."""
    path = tmp_path / "split-000001.parquet"
    write_rows(path, some_rows(500), np.array([500]), LIBRARY)
    monkeypatch.setattr(bucket_rows, "_open", FewBytes)
    expected = pq.read_table(path)
    for name in ("id_hi", "content"):
        (found,) = read_columns(path, [name], LIBRARY)
        assert found.view(np.int64).tolist() == expected[name].to_pylist()
    rows, _ = read_buckets(path, 0, 1, 1, library=LIBRARY)
    assert rows.equals(expected.drop_columns(["content"]).replace_schema_metadata(None))


def test_rows_that_take_too_much_memory_are_not_read(tmp_path: Path) -> None:
    files = []
    for split in (1, 2):
        path = tmp_path / f"split-00000{split}.parquet"
        write_rows(path, some_rows(1000), np.array([400, 600]), LIBRARY)
        files.append((split, path))
    for compiled in (LIBRARY, None):
        assert read_together(files, 1, 2, 10_000, compiled) is None
        tables = read_together(files, 1, 2, 10_000_000, compiled)
        assert sum(map(len, tables)) == 1200


def test_rows_of_very_many_splits_are_read_some_files_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [(split, tmp_path / f"split-{split:06d}.parquet") for split in range(1, 6)]
    for split, path in files:
        write_rows(path, some_rows(10 * split), np.array([4 * split, 6 * split]), LIBRARY)
    for compiled in (LIBRARY, None):
        (whole,) = read_together(files, 1, 2, 10**9, LIBRARY)
        monkeypatch.setattr(bucket_rows, "_FILES_TOGETHER", 2)
        tables = read_together(iter(files), 1, 2, 10**9, compiled)
        assert pa.concat_tables(tables).combine_chunks().equals(whole)
        assert len(tables) == (3 if compiled else 5)
        assert read_together(files, 1, 2, sum(map(memory_of, tables)) - 1, compiled) is None
        monkeypatch.undo()


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    row_groups._kept.clear()
