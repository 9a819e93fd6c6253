"""``python -m benchmarks.conflicts``: what conflicts cost: events that were sent five times as they grew, and a further
day of 1,000 unrelated records, each against a log of as many records without conflicts."""

import argparse
import ctypes
import os
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.program import Ran, run_program
from utils.units import format_size

ROOT = Path(__file__).resolve().parent.parent
COPIES = 5
"""Records of each event: one counts, the others are conflicts."""
FURTHER = 1000
"""Records of the further day."""
_BLOCK = 500_000
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER: worker processes become this process's children when theirs ends, and their time counts."""


@dataclass(frozen=True)
class Measured:
    """A run and its processor time (user and system, of all processes) in seconds."""

    ran: Ran
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """The runs over ``conflicts`` conflicts and over as many distinct records, with the further day of each."""

    conflicts: int
    first: Measured
    further: Measured
    distinct: Measured
    distinct_further: Measured


def make_logs(folder: Path, conflicts: int, kind: str) -> None:
    """Make the first day in ``folder``, which must not exist.

    ``kind``: ``growing`` (each event ``COPIES`` times as its watch time grows, in one log), ``users`` (each copy names
    another user), or ``distinct`` (as many records, all of them events).
    """
    folder.mkdir(parents=True)
    events = conflicts // (COPIES - 1)
    random = np.random.default_rng(5)
    with (folder / "day-1.csv").open("wb") as stream:
        stream.write(b"log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n")
        for first in range(0, events * COPIES, _BLOCK):
            record = np.arange(first, min(first + _BLOCK, events * COPIES))
            event, copy = (record, record * 0) if kind == "distinct" else (record % events, record // events)
            user = (event * 2654435761 + (copy * 7919 if kind == "users" else 0)) % 100_000
            _write(stream, event, user, record, copy + 1, random)


def make_further_day(folder: Path) -> None:
    """Add a log of ``FURTHER`` records that share no id with the first day."""
    record = np.arange(FURTHER)
    with (folder / "day-2.csv").open("wb") as stream:
        stream.write(b"log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n")
        _write(stream, record + 10**12, record, record, record % 60 + 1, np.random.default_rng(6))


def _write(
    stream: BinaryIO,
    event: NDArray[np.int64],
    user: NDArray[np.int64],
    record: NDArray[np.int64],
    minutes: NDArray[np.int64],
    random: np.random.Generator,
) -> None:
    address = random.integers(1, 224, len(record))
    frame = pl.DataFrame({"event": event, "user": user, "record": record, "minutes": minutes, "address": address})
    record_number = pl.col("record")
    texts = {
        "log_id": pl.format("evt-{}", pl.col("event").cast(pl.String).str.zfill(12)),
        "user_id": pl.format("user-{}", "user"),
        "timestamp": pl.format(
            "2026-11-{}T{}:15:00Z", (record_number % 28 + 1).cast(pl.String).str.zfill(2), record_number % 14 + 10
        ),
        "video_id": pl.format("video-{}", record_number % 10_000),
        "device_type": pl.lit("smart_tv"),
        "ip_address": pl.format("{}.{}.3.4", "address", record_number % 256),
        "watch_time(min)": pl.col("minutes"),
    }
    frame.select(**texts).write_csv(stream, include_header=False)


def compare(folder: Path, conflicts: int, kind: str, options: Sequence[str]) -> Comparison:
    """Make the logs and run over them; what was there of an earlier comparison is removed."""
    measured = []
    for name in (kind, "distinct"):
        logs = folder / name
        shutil.rmtree(logs, ignore_errors=True)
        make_logs(logs, conflicts, name)
        measured.append(_measure(folder / f"{name}-run", logs, options, anew=True))
        make_further_day(logs)
        measured.append(_measure(folder / f"{name}-run", logs, options, anew=False))
        shutil.rmtree(logs)
        shutil.rmtree(folder / f"{name}-run")
    return Comparison(conflicts, *measured)


def _measure(folder: Path, logs: Path, options: Sequence[str], *, anew: bool) -> Measured:
    before = _processor_seconds()
    ran = run_program(folder, logs, options, anew=anew)
    return Measured(ran, _processor_seconds() - before)


def _processor_seconds() -> float:
    """Processor time of all processes that have ended, also of those whose parents ended before them."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def render(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table."""
    lines = [
        "| conflicts | first run | peak | of as many distinct records | ratio "
        "| further day | peak | without conflicts |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for found in comparisons:
        first, further = found.first, found.further
        cells = [f"{found.conflicts:,}", f"{first.seconds:.1f} s", format_size(first.ran.peak_bytes)]
        cells += [f"{found.distinct.seconds:.1f} s", f"{first.seconds / found.distinct.seconds:.2f}"]
        cells += [f"{further.seconds:.1f} s", format_size(further.ran.peak_bytes)]
        cells += [f"{found.distinct_further.seconds:.1f} s"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Print the table; returns 1 where a run counts otherwise than the logs were made."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conflicts", description=__doc__)
    parser.add_argument("--conflicts", default="200000,400000,800000", help="how many, with commas between")
    parser.add_argument("--kind", choices=("growing", "users"), default="growing", help="what the copies of an id are")
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmark_data" / "conflicts")
    parser.add_argument("--options", default="--engine polars --memory-limit 1200000000", help="of the runs")
    arguments = parser.parse_args(argv)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1)
    comparisons = []
    for number in (int(text) for text in arguments.conflicts.split(",")):
        found = compare(arguments.folder, number, arguments.kind, arguments.options.split())
        comparisons.append(found)
        print(render([found]).splitlines()[-1], flush=True)
        answer = found.further.ran.answer
        expected = {"conflicts": number, "kept": number // (COPIES - 1) + FURTHER, "duplicates": 0, "rejected": 0}
        if {name: answer[name] for name in expected} != expected:
            print(f"wrong: expected {expected}, found {answer}", file=sys.stderr)
            return 1
    print(render(comparisons))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
