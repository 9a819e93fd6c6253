"""The quarantine's files, as DuckDB reads them, and who may."""

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.aggregate.driver import aggregate_all
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import no_advance
from pipeline.errors import BalanceError
from pipeline.exchange.loser_places import write_places
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.ledger import Phase1Result
from pipeline.preprocess.reject_writer import SCHEMA, reject_file
from pipeline.publish import kept_records, quarantine, quarantine_parts
from pipeline.publish.context import PublishContext
from pipeline.publish.quarantine import EarlierRecords, Quarantine, write_quarantine
from pipeline.publish.tasks import QuarantineSource, RejectTask
from pipeline.reading.splits import Split
from tests.harness import HEADER, Harness
from tests.pipeline.publish.runs import PlainEngine, make_ledger

FILE_A = HEADER + b"1,ann,t,v,tv,1.0.0.1,2\nbad\n1,ann,t,v,tv,1.0.0.1,1\n2,bob,t,v,tv,9.9.9.9,x\n"
FILE_B = HEADER + b"\n1,eve,t,v,tv,1.0.0.1,1.5\n"
LOSERS = {
    ("f0.csv", 4, FILE_A.index(b"1,ann,t,v,tv,1.0.0.1,1\n"), b"1,ann,t,v,tv,1.0.0.1,1"),
    ("f1.csv", 3, FILE_B.index(b"1,eve"), b"1,eve,t,v,tv,1.0.0.1,1.5"),
}


def read_all(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    return {
        path.stem: duckdb.execute(f"select * from '{path}' order by file, line").fetchall()
        for path in sorted(folder.glob("*.parquet"))
    }


@pytest.mark.parametrize("split_bytes", [1 << 30, 60], ids=["whole files", "short splits"])
def test_everything_that_does_not_count_is_there_with_its_place_in_its_file(split_bytes: int, tmp_path: Path) -> None:
    with Harness([FILE_A, FILE_B], split_bytes=split_bytes) as run:
        phase1 = run.read().refusing({"z.csv": "it was 8.8.8.8.", "c\udcff.csv": "why"})
        phase2 = aggregate_all(run.engine, run.aggregate_context, phase1.splits, 2, no_advance)
        write_quarantine(run.engine, run.publish_context, tmp_path / "v", phase1, phase2)
        folder = run.root
        left = list(run.workspace.path("quarantine", "x").parent.iterdir())
    found = read_all(tmp_path / "v" / "quarantine")
    assert found["rejected"] == [
        (f"{folder}/f0.csv", 3, FILE_A.index(b"bad"), "wrong_field_count", None, None, b"bad"),
        (f"{folder}/f0.csv", 5, FILE_A.index(b"2,bob"), "watch_time_not_a_number", "watch_time(min)", "x",
         b"2,bob,t,v,tv,9.9.9.9,x"),
    ]  # fmt: skip
    assert {(Path(str(row[0])).name, row[1], row[2], row[6]) for row in found["conflicts"]} == LOSERS
    assert found["refused"] == [
        ("c\\xff.csv", None, None, "why", None, None, None),
        ("z.csv", None, None, "it was 8.8.8.0/24.", None, None, None),
    ]
    assert not left, "no copy of a record outlives the retention of the quarantine"


def quarantine_of(run: Harness, folder: Path, earlier: EarlierRecords, phase1: Phase1Result) -> dict[str, list[object]]:
    """The rows of a further version's quarantine, sorted."""
    shutil.rmtree(run.workspace.path("conflicts", ""))
    run.workspace.path("conflicts", "").mkdir()
    phase2 = aggregate_all(run.engine, run.aggregate_context, phase1.splits, 2, no_advance)
    write_quarantine(run.engine, run.publish_context, folder, phase1, phase2, earlier)
    return {name: sorted(rows, key=repr) for name, rows in read_all(folder / "quarantine").items()}


def test_what_did_not_change_is_taken_over_and_each_version_is_whole_by_itself(tmp_path: Path) -> None:
    day_2 = HEADER + b"7,ann,t,v,tv,1.0.0.1,2\nbad too\n7,ann,t,v,tv,1.0.0.1,3\n1,ann,t,v,tv,1.0.0.1,9\n"
    with Harness([FILE_A, FILE_B, day_2], split_bytes=60) as run:
        phase1 = run.read()
        first = replace(phase1, ledgers=phase1.ledgers[:2])
        alone = quarantine_of(run, tmp_path / "alone", EarlierRecords(), phase1)
        before = quarantine_of(run, tmp_path / "v1", EarlierRecords(), first)
        again = quarantine_of(run, tmp_path / "v2", EarlierRecords(tmp_path / "v1" / "quarantine"), first)
        assert again == before
        names = ("rejected.parquet", "conflicts.parquet")
        for name in names:
            one, other = (tmp_path / version / "quarantine" / name for version in ("v1", "v2"))
            assert pq.read_table(one).equals(pq.read_table(other))
        assert os.path.samefile(
            tmp_path / "v1/quarantine/rejected.parquet", tmp_path / "v2/quarantine/rejected.parquet"
        )
        more = quarantine_of(run, tmp_path / "v3", EarlierRecords(tmp_path / "v2" / "quarantine"), phase1)
        assert more == alone, "the loser of the new day, and what stood there before"
        shutil.rmtree(tmp_path / "v1")
        shutil.rmtree(tmp_path / "v2")
        less = quarantine_of(run, tmp_path / "v4", EarlierRecords(tmp_path / "v3" / "quarantine"), first)
        assert less == before, "a file that no longer counts takes its records along"


def test_rows_of_a_renamed_or_long_known_file_are_written_anew(tmp_path: Path) -> None:
    with Harness([FILE_A, FILE_B]) as run:
        phase1 = run.read()
        quarantine_of(run, tmp_path / "v1", EarlierRecords(), phase1)
        moved = tuple(
            replace(ledger, file=replace(ledger.file, path="moved.csv"), at_hand=False, read_at=9.0)
            for ledger in phase1.ledgers[:1]
        )
        renamed = replace(phase1, ledgers=(*moved, *phase1.ledgers[1:]))
        found = quarantine_of(run, tmp_path / "v2", EarlierRecords(tmp_path / "v1" / "quarantine", 5.0), renamed)
        assert {Path(str(row[0])).name for name in ("rejected", "conflicts") for row in found[name]} == {
            "moved.csv", "f1.csv",
        }  # fmt: skip
        assert b"1,ann,t,v,tv,1.0.0.1,1" in [row[6] for row in found["conflicts"]], "its bytes are not at hand any more"
        found = quarantine_of(run, tmp_path / "v3", EarlierRecords(tmp_path / "v2" / "quarantine", 10.0), renamed)
        texts = {Path(str(row[0])).name: (row[5], row[6]) for row in found["conflicts"]}
        assert texts == {"moved.csv": (None, None), "f1.csv": (None, b"1,eve,t,v,tv,1.0.0.1,1.5")}


@pytest.mark.parametrize("damage", ["gone", "cut", "earlier release"])
def test_a_quarantine_that_cannot_be_taken_over_is_made_from_the_logs(damage: str, tmp_path: Path) -> None:
    with Harness([FILE_A, FILE_B]) as run:
        phase1 = run.read()
        before = quarantine_of(run, tmp_path / "v1", EarlierRecords(), phase1)
        for name in ("rejected", "conflicts"):
            path = tmp_path / "v1" / "quarantine" / f"{name}.parquet"
            if damage == "gone":
                path.unlink()
            elif damage == "cut":
                path.write_bytes(path.read_bytes()[:-9])
            else:
                pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
        assert quarantine_of(run, tmp_path / "v2", EarlierRecords(tmp_path / "v1" / "quarantine"), phase1) == before


def test_many_small_row_groups_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_parts, "_MOST_SMALL", 2)
    files = [HEADER + b"bad\n%d,ann,t,v,tv,1.0.0.1,1\n%d,ann,t,v,tv,1.0.0.1,2\n" % (n, n) for n in range(5)]
    with Harness(files) as run:
        phase1 = run.read()
        earlier = EarlierRecords()
        for day in range(1, 6):
            counts = replace(phase1, ledgers=phase1.ledgers[:day])
            found = quarantine_of(run, tmp_path / f"v{day}", earlier, counts)
            assert [len(found["rejected"]), len(found["conflicts"])] == [day, day]
            earlier = EarlierRecords(tmp_path / f"v{day}" / "quarantine")
        assert pq.read_metadata(tmp_path / "v5" / "quarantine" / "rejected.parquet").num_row_groups <= 3


def test_it_belongs_to_its_owner_alone_and_is_never_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "v" / "quarantine"
    files = Quarantine(folder)
    files.write_refused({})
    files.write("rejected", None, [], [])
    files.write("conflicts", None, [], [])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {"rejected.parquet", "conflicts.parquet", "refused.parquet"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert all(pq.read_schema(path).equals(SCHEMA) for path in folder.iterdir())
    with pytest.raises(FileExistsError):
        files.write_refused({})
    with pytest.raises(FileExistsError):
        Quarantine(folder)


def test_rejected_records_are_copied_whatever_their_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_records, "GROUP_ROWS", 5)
    monkeypatch.setattr(quarantine_parts, "GROUP_ROWS", 5)
    rows = [dict.fromkeys(SCHEMA.names) | {"line": n, "byte_offset": 10 * n, "raw": b"%d" % n} for n in range(23)]
    workspace = Workspace(str(tmp_path / "work"))
    workspace.create()
    for number in (1, 2):
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), reject_file(workspace, number), row_group_size=2)
    context = PublishContext(workspace, "v", 1000, "zstd", 256, True, ())
    sources = [QuarantineSource(make_split(number), "a.csv", 1000, 7) for number in (1, 2)]
    part = kept_records.copy_rejected(context, RejectTask(0, tuple(sources)), no_advance)
    assert part
    assert part.rows == 46
    assert all(len({piece.split for piece in group}) == 1 for group in part.groups), "each split can be kept alone"
    found = pl.read_parquet(part.path).select("file", "line", "byte_offset", "raw").rows()
    assert found == [("a.csv", 7 + n, 1000 + 10 * n, b"%d" % n) for n in range(23)] * 2


@pytest.mark.parametrize(
    ("phase1", "conflicts"),
    [(Phase1Result(), 1), (Phase1Result((make_ledger("a.csv", rejected_by_reason={"bad_quote": 2}),)), 0)],
    ids=["a conflict", "a rejected record"],
)
def test_a_record_that_is_missing_stops_the_run(phase1: Phase1Result, conflicts: int, tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "work"))
    workspace.create()
    one = [dict.fromkeys(SCHEMA.names) | {"line": 0, "byte_offset": 0}]
    pq.write_table(pa.Table.from_pylist(one, SCHEMA), workspace.path("rejects", "split-000001.parquet"))
    context = PublishContext(workspace, "v", 1000, "zstd", 256, True, ())
    with pytest.raises(BalanceError, match=r"holds \d rejected records and 0 conflicts, expected \d and \d\. Nothing"):
        write_quarantine(PlainEngine(), context, tmp_path / "v", phase1, Phase2Result((), 0, conflicts))


def test_losers_of_neighbouring_splits_are_shared_among_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "_ROWS_OF_TASK", 3)
    path = tmp_path / "places.npy"
    write_places(path, np.array([(split << 32) + offset for split in (1, 2, 4, 5) for offset in (5, 50)], np.uint64))
    ledgers = [
        make_ledger(f"{number}.csv", number=number, at_hand=number != 2, read_at=98.0 + number)
        for number in range(1, 6)
    ]
    sources = quarantine._sources(Phase1Result(tuple(reversed(ledgers))), 100.0, range(6))
    assert [(source.at_hand, source.forgotten) for source in sources.values()] == [
        (True, True), (False, False), (True, False), (True, False), (True, False),
    ]  # fmt: skip
    tasks = quarantine._conflict_tasks(sources, (path,), ())
    assert [[source.name for source in task.sources] for task in tasks] == [["1.csv"], ["2.csv"], ["4.csv"], ["5.csv"]]
    monkeypatch.setattr(quarantine, "_ROWS_OF_TASK", 4)
    monkeypatch.setattr(quarantine, "_MOST_BLOCKS", 3)
    tasks = quarantine._conflict_tasks(sources, (path,), ())
    assert [[source.name for source in task.sources] for task in tasks] == [
        ["1.csv", "2.csv"], ["3.csv", "4.csv", "5.csv"],
    ]  # fmt: skip
    assert {source.name for source in sources.values() if source.mark == sources[1].mark} == {"1.csv"}


def make_split(number: int) -> Split:
    return make_ledger("a.csv", number=number).splits[0].result.split
