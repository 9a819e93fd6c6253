"""The memory limit holds over the whole process tree, sampled from outside."""

import contextlib
import json
import time
from pathlib import Path

import polars as pl
import psutil

from tests.end_to_end.program import HEADER, environment, finish, run, start

LIMIT = 10**9


def memory_of(tree: psutil.Process) -> int:
    """Proportional set sizes where the system tells them: shared pages count once."""
    total = 0
    for process in [tree, *tree.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(memory, "pss", memory.uss)
    return total


def run_watched(folder: Path, *arguments: object, **settings: object) -> tuple[dict, int]:
    """(the answer, the peak of all processes together) of a run with two workers under LIMIT."""
    options = ("--engine", "polars", "--memory-limit", LIMIT, "--json", *arguments)
    program = start(*options, cwd=folder, env=environment(PREPROCESSING_WORKERS=2, **settings))
    tree = psutil.Process(program.pid)
    peak = 0
    while program.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, memory_of(tree))
        time.sleep(0.1)
    ended = finish(program)
    assert ended.code == 0, ended.err
    return ended.answer, peak


def test_a_small_limit_holds(tmp_path: Path) -> None:
    made = run("generate", "--size", "100MB", "--files", 1, "--output", "logs", cwd=tmp_path)
    assert made.code == 0, made.err
    answer, peak = run_watched(tmp_path, "--input", "logs")
    assert 100e6 < answer["peak_memory_bytes"] < LIMIT
    assert 100e6 < peak < LIMIT
    assert answer["records_read"] == sum(answer[name] for name in ("kept", "duplicates", "conflicts", "rejected"))


def test_splits_with_more_rows_than_planned_end_early(tmp_path: Path) -> None:
    """As where a sample misleads: so many rows in two splits would take 1.2 GB."""
    (tmp_path / "logs").mkdir()
    count = 3_500_000
    for name in "ab":
        events = pl.int_range(count, eager=True).alias("n").to_frame()
        rows = events.select(pl.format(name + "{},u{},,,,9.9.9.9,1", "n", pl.col("n") % 1000))
        (tmp_path / "logs" / f"{name}.csv").write_text(HEADER)
        with (tmp_path / "logs" / f"{name}.csv").open("ab") as stream:
            rows.write_csv(stream, include_header=False, quote_style="never")
    answer, peak = run_watched(tmp_path, "--input", "logs", SPLIT_BYTES="200MB")
    assert peak < LIMIT
    assert answer["peak_memory_bytes"] < LIMIT
    assert (answer["kept"], answer["users"], answer["total_watch_time_min"]) == (2 * count, 1000, 2.0 * count)
    record = json.loads((tmp_path / "pipeline_data" / "output").resolve().parent.joinpath("run.json").read_text())
    assert all(entry["splits"] > 3 for entry in record["ledger"])


def test_lines_of_rubbish_stay_within_the_limit(tmp_path: Path) -> None:
    """As many records and rejects as bytes allow, with quotes that close, that chain line to line and that do not.

    The first three fill a chunk.
    """
    (tmp_path / "logs").mkdir()
    kinds = [b"a\n", b'"\n', b'","\n', b",,,,,,\n", b'"\n",,,,,,1\n', b"\xff\n", b"1,u,,,,,1\n"]
    expected = 0
    for number, kind in enumerate(kinds):
        lines = (2_200_000 if number < 3 else 300_000) // len(kind)
        (tmp_path / "logs" / f"{number}.csv").write_bytes(HEADER.encode() + kind * lines)
        expected += lines
    answer, peak = run_watched(tmp_path, "--input", "logs")
    assert peak < LIMIT
    assert answer["peak_memory_bytes"] < LIMIT
    assert (answer["records_read"], answer["kept"]) == (expected, 1)
    assert answer["rejected"] + answer["duplicates"] + 1 == expected
