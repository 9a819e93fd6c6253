"""The memory limit holds over the whole process tree, sampled from outside."""

import contextlib
import json
import random
import time
from pathlib import Path

import polars as pl
import psutil

from tests.end_to_end.program import HEADER, environment, finish, run, start
from tests.pipeline.datasets.jobs_for_tests import write_job

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
    options = (*arguments, "--engine", "polars", "--memory-limit", LIMIT, "--json")
    program = start(*options, cwd=folder, env=environment(PREPROCESSING_WORKERS=2, **settings))
    tree = psutil.Process(program.pid)
    peak = 0
    while program.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, memory_of(tree))
        time.sleep(0.1)
    ended = finish(program)
    assert ended.code == 0, ended.err
    return json.loads(ended.out), peak


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


NOTES = """
import polars as pl
from pipeline.datasets import *


class Notes(Contract):
    note_id = Text("id")
    day = Date("when")
    text = Text("what")


class Days(Contract):
    day = Date("when")
    notes = Int("notes")
    characters = Int("characters")


notes = csv("notes.csv", Notes)


@dataset(Notes, layer="silver", grain="one row per note", by="note_id", key="note_id")
def clean(notes):
    \"\"\"Each note once.\"\"\"
    return notes.sort("note_id", "day", "text").unique("note_id", keep="first", maintain_order=True)


@dataset(Days, grain="one row per day", by="day", key="day")
def daily(clean):
    \"\"\"Notes of a day.\"\"\"
    characters = pl.col("text").str.len_chars().cast(pl.Int64).sum().alias("characters")
    return clean.group_by("day").agg(pl.len().cast(pl.Int64).alias("notes"), characters)
"""


def test_a_job_over_wide_rows_stays_within_the_limit(tmp_path: Path) -> None:
    """250,000 texts of 2 kB: what would be held of them at once is several times the limit."""
    write_job(tmp_path / "job", NOTES)
    (tmp_path / "source").mkdir()
    text = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz ", k=240_000))
    with (tmp_path / "source" / "notes.csv").open("w") as file:
        file.write("note_id,day,text\n")
        for at in range(250_000):
            begin = at * 7919 % 230_000
            file.write(f"n{at},2026-01-{1 + at % 25:02d},{text[begin : begin + 2000]}\n")
    words = ("job", "./job", "--source", "source", "--output", "results/output")
    answer, peak = run_watched(tmp_path, *words)
    assert (answer["tables"]["clean"]["rows"], answer["tables"]["daily"]["rows"]) == (250_000, 25)
    days = pl.read_parquet(tmp_path / "results" / "output" / "daily" / "*.parquet")
    assert days["characters"].to_list() == [20_000_000] * 25
    assert peak < LIMIT
    assert answer["peak_memory_bytes"] < LIMIT
