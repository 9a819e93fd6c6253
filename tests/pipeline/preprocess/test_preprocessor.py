"""A split whose rows take more memory than planned ends early, and what it leaves is read as further splits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xxhash

from pipeline.engines import no_advance
from pipeline.exchange.id_index import FINE_MASK
from pipeline.exchange.workspace import split_file
from pipeline.preprocess.driver import read_files
from pipeline.preprocess.ledger import StartingPoint
from pipeline.preprocess.preprocessor import find_duplicates
from pipeline.reading.header import SAMPLE_BYTES, SAMPLES, read_header
from pipeline.reading.open_inputs import read_headers
from pipeline.reading.splits import Split, cut_rest
from tests.harness import HEADER, Harness
from tests.reference import ROLES

WANTED = {role: (name,) for role, name in ROLES.items() if role != "timestamp"}


def rows(count: int) -> bytes:
    return b"".join(b"e%d,u%d,,,,1.2.3.4,%d\n" % (n, n % 7, n) for n in range(count))


@pytest.mark.parametrize("compiled", [True, False])
def test_every_row_is_read_once_by_splits_of_bounded_size(compiled: bool) -> None:
    count, held = 5000, 10_000
    with Harness([HEADER + rows(count)], chunk_bytes=512, held_bytes=held, compiled=compiled) as run:
        outcome = run.read()
        (ledger,) = outcome.ledgers
        results = [placed.result for placed in ledger.splits]
        assert (ledger.records, ledger.handed_over) == (count, count)
        assert len(results) > count * 38 // held
        assert all(before.stop == after.start for before, after in pairwise(results))
        assert len({result.split.number for result in results}) == len(results)
        assert all(r.stop >= r.split.stop for r in results)
        most = held + 512 * 3  # a chunk beyond
        assert all(kept.held_bytes < most for kept in run.engine.rows.values())
        lines = [placed.first_line for placed in ledger.splits]
        assert lines[0] == 2
        assert all(b == a + r.lines for a, b, r in zip(lines, lines[1:], results, strict=False))
        found = run.run()
        assert found.totals == {("Asia", f"u{u}"): expected(u, count) for u in range(7)}


def expected(user: int, count: int) -> tuple[int, int]:
    values = range(user, count, 7)
    return sum(values) * 10**6, len(values)


def test_the_rest_is_cut_shorter_than_what_filled_the_memory(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER)
    header = read_header(tmp_path / "a.csv", WANTED, 256)
    assert header
    split = Split(3, "a.csv", 2000, 100, 1000, False, header)
    rest = cut_rest(split, 110, 310)
    assert [(part.start, part.stop, part.exact) for part in rest][:2] == [(310, 448, True), (448, 586, False)]
    assert rest[-1].stop == split.stop
    assert all(part.stop - part.start <= 160 for part in rest)


class Notes:
    """Remembers what a run noted, and gives numbers as the manifest does."""

    def __init__(self, results: dict) -> None:
        self.results, self.next, self.noted = results, 1000, Counter()

    def begin(self, _: object, splits: Mapping[str, Sequence[Split]]) -> StartingPoint:
        return StartingPoint(splits, self.results)

    def divide_split(self, _, rest) -> list[int]:
        self.noted["divide"] += 1
        self.next += len(rest)
        return list(range(self.next - len(rest), self.next))

    def finish_split(self, _) -> None:
        self.noted["finish"] += 1

    def reopen_split(self, _) -> None:
        self.noted["reopen"] += 1

    def finish_file(self, _) -> None: ...

    def flush(self) -> None: ...


def test_an_interrupted_run_goes_on_behind_a_split_that_ended_early() -> None:
    """Killed after the split was noted, and before its rest was."""
    with Harness([HEADER + rows(500)], chunk_bytes=512) as run:
        files, _ = read_headers(run.paths, WANTED, 256)
        usual = run.read_context
        run.read_context = replace(usual, held_bytes=4000)
        first = run.read().ledgers[0].splits[0].result
        early = replace(first, split=replace(first.split, stop=files[0].size))
        notes = Notes({first.split.number: early})
        outcome = read_files(run.engine, usual, files, run.split_bytes, no_advance, notes)
        assert not outcome.refused
        (ledger,) = outcome.ledgers
        assert (ledger.records, ledger.splits[0].result.stop, len(ledger.splits)) == (
            500,
            first.stop,
            1 + notes.noted["finish"],
        )
        assert (notes.noted["divide"], notes.noted["reopen"]) == (1, 0)


@pytest.mark.parametrize("places", [1, 3, 100])
def test_row_width_is_that_of_the_whole_file(places: int, tmp_path: Path) -> None:
    """Long lines at its beginning do not mislead."""
    long = (b"x" * 4000 + b",u,,,,1.2.3.4,1\n") * 30
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + long + rows(1) * 100_000 * places)
    header = read_header(path, WANTED, 10_000)
    assert header
    data = path.read_bytes()[len(HEADER) :]
    assert header.row_width == pytest.approx(len(data) / data.count(b"\n"), rel=0.3)


def test_a_small_file_is_looked_at_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    data = (b"y" * 200 + b"\n") * 10 + b"z\n" * 10
    path.write_bytes(HEADER + data)
    header = read_header(path, WANTED, 10_000)
    assert header
    assert len(data) < SAMPLE_BYTES * SAMPLES
    assert header.row_width == len(data) / 20


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("keep", ["longest", "first", "last"])
def test_only_rows_that_repeat_a_content_go(compiled: bool, keep: str) -> None:
    """Of a content the first row stays, with the timestamp that decides; other contents of an id stay, too."""
    lines = [
        ("e1", "u", "2026-01-02T00:00:00Z", "1"),
        ("e2", "u", "2026-01-05T00:00:00Z", "1"),
        ("e1", "u", "2026-01-01T00:00:00Z", "1"),
        ("e1", "v", "2026-01-01T00:00:00Z", "1"),
        ("e1", "u", "", "1.0"),
        ("e1", "u", "2026-01-03T00:00:00Z", "2"),
        ("e3", "u", "2026-01-03T00:00:00Z", "3"),
        ("e3", "u", "2026-01-03T00:00:00Z", "3.0"),
    ]
    text = "".join(f"{id_},{user},{stamp},,,1.2.3.4,{minutes}\n" for id_, user, stamp, minutes in lines)
    with Harness([HEADER + text.encode()], keep=keep, compiled=compiled) as run:
        (result,) = (placed.result for placed in run.read().ledgers[0].splits)
        assert (result.records, result.duplicates, result.handed_over) == (8, 3, 5)
        rows = run.engine.rows[result.split.number]
        found = find_duplicates(rows, run.read_context)
        offsets = rows["offset"].tolist()  # of lines in order, which rows need not be in
        starts = sorted(offsets)
        assert sorted(starts.index(offsets[position]) for position in found.dropped) == [2, 4, 7]
        keys = (rows["id_hi"] & ~FINE_MASK) | rows["user_hash"] >> np.uint64(54)
        stay = np.setdiff1d(np.arange(8), found.dropped)
        assert found.index.tolist() == sorted(keys[stay].tolist())
        dated = dict(zip(found.dated.tolist(), found.timestamps.tolist(), strict=True))
        if keep == "longest":
            assert dated == {}
        else:
            january = 1_767_225_600_000_000_000
            assert dated[0] == january if keep == "first" else january + 86_400_000_000_000
        written = pl.read_parquet(run.workspace.path("rows", split_file(result.split.number)))
        assert sorted(written["user_id"]) == ["u", "u", "u", "u", "v"]
        assert written.height == sum(result.bucket_rows)
        if keep != "longest":
            day = 86_400_000_000_000
            of_u = written.filter((pl.col("user_id") == "u") & (pl.col("micro_minutes") == 10**6))
            days = [0, 4] if keep == "first" else [1, 4]
            assert sorted(of_u["timestamp"]) == [january + number * day for number in days]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("buckets", [1, 8, 1024])
def test_rows_lie_in_the_bucket_of_their_users_hash_as_they_came(compiled: bool, buckets: int) -> None:
    with Harness([HEADER + rows(300)], compiled=compiled, buckets=buckets) as run:
        (result,) = (placed.result for placed in run.read().ledgers[0].splits)
        written = pl.read_parquet(run.workspace.path("rows", split_file(result.split.number)))
        bucket = [xxhash.xxh3_64_intdigest(user.encode()) * buckets >> 64 for user in written["user_id"]]
        assert bucket == sorted(bucket)
        assert list(result.bucket_rows) == [bucket.count(number) for number in range(buckets)]
        for _, offsets in written.with_columns(bucket=pl.Series(bucket)).group_by("bucket"):
            assert offsets["offset"].is_sorted()


def test_the_lines_before_each_chunk_are_noted() -> None:
    data = HEADER + rows(200)
    with Harness([data], chunk_bytes=512) as run:
        (result,) = (placed.result for placed in run.read().ledgers[0].splits)
        starts = np.load(run.workspace.path("lines", split_file(result.split.number, "npy")))
        body = data[len(HEADER) :]
        assert len(starts) > 5
        assert starts.dtype == np.int64
        assert [lines for _, lines in starts.tolist()] == [body[:offset].count(b"\n") for offset, _ in starts.tolist()]
        assert all(offset == 0 or body[offset - 1 : offset] == b"\n" for offset, _ in starts.tolist())
