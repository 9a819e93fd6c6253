"""Logs that are appended: only what is new is read, and the result is that of a full run over the same bytes; of a log
that is appended while it is read, the settled records before its size at the beginning count."""

import gzip
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from unittest import mock

import pyarrow.parquet as pq
import pytest

from pipeline.preprocess.driver import _Reading
from pipeline.publish.result import RunResult
from pipeline.versions.outputs import roll_back
from tests.end_to_end.days import make_old, write_day
from tests.end_to_end.program import HEADER, published, run
from tests.harness import run_here

COUNTS = ("records_read", "kept", "conflicts", "rejected", "blank_lines", "total_micro_minutes")


def nasty_log(dice: random.Random, records: int = 120) -> bytes:
    """Records with quotes, line ends within quotes, quotes that never close, rubbish and blank lines."""
    lines = []
    for number in range(records):
        id_ = f"id-{dice.randrange(records)}"
        usual = f"{id_},u{number % 7},2026-01-01T00:00:00Z,v,tv,8.8.8.8,{dice.choice(['1', '2.5', '1000'])}\n"
        quoted = f'{id_},"u{number % 7}",2026-01-01T00:00:00Z,"two\nlines, and ""more""\n",tv,8.8.8.8,3\n'
        lines.append(dice.choice([usual] * 6 + [quoted] * 3 + ['open,"never closes\n', "rubbish\n", "\n", 'x"y,z\r\n']))
    return (HEADER + "".join(lines)).encode()


def cut(log: bytes, dice: random.Random, times: int) -> list[int]:
    """Sizes at which the log is read: in the middle of a line, at its end, within quotes."""
    return [*sorted(dice.sample(range(len(HEADER) + 800, len(log)), times)), len(log)]


def counts(result: RunResult) -> dict[str, int]:
    return {name: getattr(result, name) for name in COUNTS}


@pytest.mark.parametrize("seed", range(6))
def test_reading_on_equals_reading_all(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    log = nasty_log(dice)
    on, anew = tmp_path / "on", tmp_path / "anew"
    settings = {"SPLIT_BYTES": 2_000, "BUCKETS": 4, "MAX_RECORD_BYTES": dice.choice([300, 100_000])}
    for folder in (on, anew):
        (folder / "logs").mkdir(parents=True)
    appended = 0
    for size in cut(log, dice, 4):
        for folder in (on, anew):
            (folder / "logs" / "a.csv").write_bytes(log[:size])
        first, second = run_here(on, **settings), run_here(anew, **settings)
        assert counts(first) == counts(second)
        assert published(on) == published(anew)
        appended += first.new.appended_files
        shutil.rmtree(anew / "pipeline_data")
    assert appended >= 1, "splits were used again"


def test_only_new_bytes_are_read_and_the_summary_says_so(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.csv"
    log.parent.mkdir()
    write_day(log, random.Random(1), rows=500)
    run_here(tmp_path, SPLIT_BYTES=5_000)
    before = log.stat().st_size
    more = "".join(f"new-{n},u1,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n" for n in range(10))
    with log.open("a") as stream:
        stream.write(more)
    result = run_here(tmp_path, SPLIT_BYTES=5_000)
    assert (result.new.files, result.new.appended_files, result.new.bytes_read) == (1, 1, len(more))
    assert (result.new.records_read, result.new.kept, result.records_read) == (10, 10, 510)
    assert result.bytes_read == before + len(more)
    assert any("appended, only what is new was read" in note for note in result.notes)
    assert not any("changed" in note for note in result.notes)
    again = run_here(tmp_path, SPLIT_BYTES=5_000)
    assert (again.new.files, again.new.reused_files) == (0, 1)


def test_older_versions_keep_what_they_counted(tmp_path: Path) -> None:
    """A rollback to the version before the log grew, and a further run, which reads on again."""
    log = tmp_path / "logs" / "a.csv"
    log.parent.mkdir()
    write_day(log, random.Random(1), rows=200)
    states = []
    for _ in range(5):
        states.append((run_here(tmp_path, SPLIT_BYTES=3_000), published(tmp_path)))
        with log.open("a") as stream:
            stream.writelines(f"n{stream.tell()}-{n},u{n},2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n" for n in range(5))
    roll_back(str(tmp_path / "pipeline_data" / "output"), None)
    assert published(tmp_path) == states[-2][1]
    result = run_here(tmp_path, SPLIT_BYTES=3_000)
    assert (result.records_read, result.kept) == (200 + 25, states[0][0].kept + 25)
    assert result.status == "ok"
    in_store = list((tmp_path / "pipeline_data" / "intermediate" / "store" / "lines").iterdir())
    with closing(sqlite3.connect(tmp_path / "pipeline_data" / "intermediate" / "manifest.sqlite")) as manifest:
        (noted,) = manifest.execute("SELECT count(*) FROM splits").fetchone()
        (files,) = manifest.execute("SELECT count(*) FROM files").fetchone()
    assert (len(in_store), files) == (noted, 3), "what no kept version needs is forgotten"


@contextmanager
def meanwhile(change: Callable[[], object]) -> Iterator[None]:
    """Change a log once, after its splits were read and before it is accounted for."""
    read_all, changed = _Reading.read_all, []

    def read_then_change(reading: _Reading, *arguments: object) -> None:
        read_all(reading, *arguments)
        if not changed:
            changed.append(change())

    with mock.patch.object(_Reading, "read_all", read_then_change):
        yield


RECORD = "late,u,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n"
ENDS = {
    "a whole line": ("", RECORD),
    "a line without its end": (RECORD[:20], RECORD[20:]),
    "a line that only lacks its end": (RECORD[:-1], "\n"),
    "within quotes": ('late,u,2026-01-01T00:00:00Z,"v\nw', '\nx",tv,8.8.8.8,1\n'),
    "behind a line end within quotes": ('late,u,2026-01-01T00:00:00Z,"v\n', 'x",tv,8.8.8.8,1\n'),
    "between CR and LF": (RECORD[:-1] + "\r", "\n"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_log_that_is_being_appended_counts_up_to_its_last_whole_record(end: str, tmp_path: Path) -> None:
    settled, unfinished = tmp_path / "logs" / "a.csv", ENDS[end]
    settled.parent.mkdir()
    write_day(settled, random.Random(1), rows=300)
    whole = settled.read_text()
    settled.write_text(whole + unfinished[0])

    def append() -> None:
        with settled.open("a", newline="") as stream:
            stream.write(unfinished[1])

    with meanwhile(append):
        first = run_here(tmp_path, SPLIT_BYTES=5_000)
    assert (first.status, first.records_read, first.rejected) == ("ok", 300, 0)
    assert first.bytes_read == len(whole)
    assert first.new.unsettled_files == (1 if unfinished[0] else 0)
    assert any("being appended" in note for note in first.notes) == bool(unfinished[0])
    second = run_here(tmp_path, SPLIT_BYTES=5_000)
    assert (second.records_read, second.rejected, second.new.kept, second.new.records_read) == (301, 0, 1, 1)
    assert second.new.appended_files == 1


def test_a_log_without_a_final_line_end_counts_wholly(tmp_path: Path) -> None:
    """Nobody writes to it: its last line is a record, as ever."""
    log = tmp_path / "logs" / "a.csv"
    log.parent.mkdir()
    log.write_text(HEADER + RECORD + RECORD.replace("late", "last")[:-1])
    result = run_here(tmp_path)
    assert (result.records_read, result.kept) == (2, 2)
    with log.open("a") as stream:
        stream.write("2\n")
    result = run_here(tmp_path)
    assert (result.records_read, result.kept, result.total_minutes) == (2, 2, 1 + 12)


def rewrite(log: Path) -> None:
    """In place, and longer than before."""
    data = log.read_bytes().replace(b"u1", b"u2")
    with log.open("r+b") as stream:
        stream.write(data + RECORD.encode())


def replace(log: Path) -> None:
    other = log.with_name("other")
    other.write_bytes(log.read_bytes() + RECORD.encode())
    other.replace(log)


@pytest.mark.parametrize(
    "change",
    [replace, lambda log: os.truncate(log, log.stat().st_size - 100), Path.unlink],
    ids=["replaced", "cut", "removed"],
)
def test_a_log_that_shrinks_or_is_replaced_while_it_is_read_is_refused(
    change: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    for name in "ab":
        write_day(tmp_path / "logs" / f"{name}.csv", random.Random(name), rows=50)
    with meanwhile(lambda: change(tmp_path / "logs" / "a.csv")):
        result = run_here(tmp_path)
    assert (result.status, [refused.file for refused in result.refused_files]) == ("partial", ["logs/a.csv"])
    assert "changed while it was read" in result.refused_files[0].reason


def test_a_log_that_is_rewritten_and_longer_counts_as_it_is_now(tmp_path: Path) -> None:
    """No record is read from one state and another from the other: what counts was read between two equal hashes."""
    log = tmp_path / "logs" / "a.csv"
    log.parent.mkdir()
    write_day(log, random.Random(1), rows=300)
    with meanwhile(lambda: rewrite(log)):
        run_here(tmp_path, SPLIT_BYTES=5_000)
    run_here(tmp_path, SPLIT_BYTES=5_000)
    now = published(tmp_path)
    other = tmp_path / "other"
    (other / "logs").mkdir(parents=True)
    (other / "logs" / "a.csv").write_bytes(log.read_bytes())
    run_here(other)
    assert now == published(other)


def test_a_member_is_appended_to_a_compressed_log(tmp_path: Path) -> None:
    """Before a run, and while it is read: text of the archive as it was found counts."""
    log = tmp_path / "logs" / "a.csv.gz"
    log.parent.mkdir()
    parts = [HEADER + RECORD, RECORD.replace("late", "two"), RECORD.replace("late", "three")]
    log.write_bytes(gzip.compress(parts[0].encode()))
    make_old(log)
    run_here(tmp_path)

    def append(part: str) -> None:
        with log.open("ab") as stream:
            stream.write(gzip.compress(part.encode()))

    append(parts[1])
    with meanwhile(lambda: append(parts[2])):
        second = run_here(tmp_path)
    assert (second.status, second.records_read, second.new.appended_files, second.new.records_read) == ("ok", 2, 1, 1)
    third = run_here(tmp_path)
    assert (third.records_read, third.kept, third.new.records_read) == (3, 3, 1)


def test_lines_of_what_was_read_on_are_right(tmp_path: Path) -> None:
    """In the quarantine, for rejected records and for conflicts, and in explain."""
    log = tmp_path / "logs" / "a.csv"
    log.parent.mkdir()
    write_day(log, random.Random(1), rows=300, ids=10**6)
    run_here(tmp_path, SPLIT_BYTES=3_000)
    with log.open("a") as stream:
        stream.write("malformed\n" + RECORD + RECORD.replace(",1\n", ",5\n"))
    run_here(tmp_path, SPLIT_BYTES=3_000)
    with log.open("a") as stream:
        stream.write(RECORD.replace("late", "later"))
    explained = run("explain", "late", cwd=tmp_path)
    assert explained.code == 0, explained.err
    assert "303" in explained.out
    assert "304" in explained.out
    quarantine = (tmp_path / "pipeline_data" / "output").resolve().parent / "quarantine"
    assert pq.read_table(quarantine / "rejected.parquet")["line"].to_pylist() == [302]
    assert pq.read_table(quarantine / "conflicts.parquet")["line"].to_pylist() == [303]
