"""Logs that are rotated between runs: no record is counted twice, and none is lost."""

import gzip
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.publish.result import RunResult
from pipeline.reading.input_files import find_inputs
from tests.end_to_end.days import make_old
from tests.end_to_end.program import HEADER
from tests.harness import run_here

ROTATED = ["e.csv.1", "e.csv.12.gz", "e.csv-20261129", "e.csv-20261129.gz", "e.tsv.2026-11-29", "e.csv.2026-11-29_10",
           "e.csv.old", "E.CSV.1.GZ", "e.csv-2026112910.zst", "e.csv.1.zst"]  # fmt: skip
OTHERS = ["e.csv.", "e.csv.swp", "e.csv~", "e.csv.1.bak.txt", "e.csv.part", "e.log.1", "e.csv.1.2.3.4", "e.csv.gz.tmp"]


def test_rotated_names_are_logs_and_others_are_not(tmp_path: Path) -> None:
    for name in ROTATED + OTHERS:
        (tmp_path / name).touch()
    found, skipped = find_inputs(str(tmp_path))
    assert {Path(path).name for path in found} == set(ROTATED)
    assert {Path(path).name for path in skipped} == set(OTHERS)
    assert find_inputs(str(tmp_path), "") == ([], sorted(str(tmp_path / name) for name in ROTATED + OTHERS))
    assert [Path(path).name for path in find_inputs(str(tmp_path), r"\.part")[0]] == ["e.csv.part"]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """``events.csv`` of 300 records with ids of their own was read and published."""
    folder = tmp_path / "logs"
    folder.mkdir()
    write_log(folder / "events.csv", 0, 300)
    run_here(tmp_path, SPLIT_BYTES=5_000)
    return folder


def write_log(path: Path, first: int, count: int) -> None:
    lines = (f"id-{n},u{n % 9},2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n" for n in range(first, first + count))
    path.write_text(HEADER + "".join(lines))
    make_old(path)


def append(path: Path, first: int, count: int) -> None:
    with path.open("a") as stream:
        stream.writelines(f"id-{n},u1,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n" for n in range(first, first + count))


def rename(logs: Path) -> None:
    (logs / "events.csv").rename(logs / "events.csv.1")


def copy_and_truncate(logs: Path) -> None:
    shutil.copy(logs / "events.csv", logs / "events.csv.1")
    (logs / "events.csv").write_text("")


def compress(logs: Path) -> None:
    (logs / "events.csv-20261129.gz").write_bytes(gzip.compress((logs / "events.csv").read_bytes()))
    (logs / "events.csv").unlink()


def check(result: RunResult, kept: int) -> None:
    """Every record counts once, and none is a duplicate of a file that was counted as two."""
    assert (result.status, result.kept, result.records_read, result.duplicates) == ("ok", kept, kept, 0)
    assert result.total_minutes == kept


@pytest.mark.parametrize("rotate", [rename, copy_and_truncate, compress])
def test_the_log_is_rotated_and_a_new_one_begins(rotate: Callable[[Path], None], logs: Path, tmp_path: Path) -> None:
    rotate(logs)
    write_log(logs / "events.csv", 300, 20)
    result = run_here(tmp_path, SPLIT_BYTES=5_000)
    check(result, 320)
    assert (result.new.files, result.new.renamed_files, result.new.replaced_files) == (1, 1, 0)
    assert any(note.startswith("renamed: ") for note in result.notes)
    check(run_here(tmp_path, SPLIT_BYTES=5_000), 320)


@pytest.mark.parametrize("rotate", [rename, copy_and_truncate])
def test_the_log_grew_before_it_was_rotated(rotate: Callable[[Path], None], logs: Path, tmp_path: Path) -> None:
    append(logs / "events.csv", 300, 10)
    rotate(logs)
    write_log(logs / "events.csv", 310, 20)
    result = run_here(tmp_path, SPLIT_BYTES=5_000)
    check(result, 330)
    assert (result.new.records_read, result.new.appended_files, result.new.renamed_files) == (30, 1, 1)


def test_many_rotations_with_a_compression_a_day_later(logs: Path, tmp_path: Path) -> None:
    """``.1`` → ``.2.gz`` → ``.3.gz``, as ``delaycompress`` of logrotate does."""
    for day in range(1, 5):
        for number in range(4, 1, -1):
            old = logs / f"events.csv.{number}.gz"
            if old.exists():
                old.rename(logs / f"events.csv.{number + 1}.gz")
        if (logs / "events.csv.1").exists():
            (logs / "events.csv.2.gz").write_bytes(gzip.compress((logs / "events.csv.1").read_bytes()))
            (logs / "events.csv.1").unlink()
        rename(logs)
        write_log(logs / "events.csv", 300 + 20 * (day - 1), 20)
        result = run_here(tmp_path, SPLIT_BYTES=5_000)
        check(result, 300 + 20 * day)
        assert (result.new.files, result.new.records_read) == (1, 20)


def test_a_log_whose_old_records_are_nowhere_warns(logs: Path, tmp_path: Path) -> None:
    """It was truncated, and other records stand there now; or some records of it were corrected."""
    write_log(logs / "events.csv", 1000, 20)
    result = run_here(tmp_path)
    assert (result.kept, result.new.replaced_files) == (20, 1)
    (note,) = [note for note in result.notes if "replaced by other content" in note]
    assert "300 records left the result" in note
    write_log(logs / "events.csv", 1005, 20)
    result = run_here(tmp_path)
    (note,) = [note for note in result.notes if note.startswith("changed")]
    assert "5 records left the result" in note


def test_random_days_of_rotation(tmp_path: Path) -> None:
    """Whatever happens to the files, their records count once: as many as there are ids in them."""
    logs, dice, next_id = tmp_path / "logs", random.Random(5), 0
    logs.mkdir()
    (logs / "events.csv").write_text(HEADER)
    ids = 0
    for day in range(8):
        count = dice.randrange(1, 40)
        append(logs / "events.csv", next_id, count)
        next_id += count
        ids += count
        if dice.random() < 0.6:
            run_here(tmp_path, SPLIT_BYTES=2_000)
        if dice.random() < 0.6:
            name = logs / f"events.csv-{20261101 + day}"
            shutil.copy(logs / "events.csv", name)
            (logs / "events.csv").write_text(HEADER)
            if dice.random() < 0.5:
                name.with_name(name.name + ".gz").write_bytes(gzip.compress(name.read_bytes()))
                name.unlink()
        result = run_here(tmp_path, SPLIT_BYTES=2_000)
        assert result.kept == ids
