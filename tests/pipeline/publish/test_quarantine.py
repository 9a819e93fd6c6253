"""The quarantine's files, as DuckDB reads them, and who may."""

import stat
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.aggregate.driver import aggregate_all
from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import no_advance
from pipeline.errors import BalanceError
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.ledger import Phase1Result
from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.publish import quarantine
from pipeline.publish.context import PublishContext
from pipeline.publish.quarantine import EarlierRecords, Quarantine, RejectFile, write_quarantine
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


def test_it_belongs_to_its_owner_alone_and_is_never_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "v" / "quarantine"
    files = Quarantine(folder)
    files.write_refused({})
    files.write_rejected([])
    files.write_conflicts([])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {"rejected.parquet", "conflicts.parquet", "refused.parquet"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert all(pq.read_schema(path).equals(SCHEMA) for path in folder.iterdir())
    with pytest.raises(FileExistsError):
        files.write_refused({})
    with pytest.raises(FileExistsError):
        Quarantine(folder)


def test_rejected_records_are_copied_whatever_their_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "GROUP_ROWS", 5)
    rows = [dict.fromkeys(SCHEMA.names) | {"line": n, "byte_offset": 10 * n, "raw": b"%d" % n} for n in range(23)]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "rejects.parquet", row_group_size=2)
    count = Quarantine(tmp_path / "q").write_rejected([RejectFile(tmp_path / "rejects.parquet", "a.csv", 1000, 7)] * 2)
    assert count == 46
    found = pl.read_parquet(tmp_path / "q" / "rejected.parquet").select("file", "line", "byte_offset", "raw").rows()
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


def test_losers_of_a_split_are_shared_among_tasks_that_know_what_the_file_still_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "_CONFLICTS_OF_TASK", 2)
    workspace = Workspace(str(tmp_path / "work"))
    workspace.create()
    places = [(1 << 32) + offset for offset in (50, 10, 30)] + [(2 << 32) + 5]
    pl.DataFrame({"place": places}).write_parquet(workspace.path("conflicts", "bucket-0000.parquet"))
    phase1 = Phase1Result(
        (
            make_ledger("a.csv", listed_as="old.csv", at_hand=False, read_at=99.0),
            make_ledger("b.csv", number=2, listed_as="b.csv", read_at=100.0),
        )
    )
    tasks = quarantine._conflict_tasks(workspace, phase1, EarlierRecords(tmp_path / "q", 100.0))
    assert [(task.number, task.split.path, task.offsets) for task in tasks] == [
        (0, "a.csv", (10, 30)),
        (1, "a.csv", (50,)),
        (2, "b.csv", (5,)),
    ]
    assert [(task.at_hand, task.listed_as, task.forgotten) for task in tasks] == [
        (False, "old.csv", True),
        (False, "old.csv", True),
        (True, "b.csv", False),
    ]
    assert {task.previous for task in tasks} == {str(tmp_path / "q")}
    assert {(task.start, task.first_line) for task in tasks} == {(41, 2)}
    alone = quarantine._conflict_tasks(workspace, phase1, EarlierRecords())
    assert {(task.previous, task.listed_as, task.forgotten) for task in alone} == {("", "", False)}
