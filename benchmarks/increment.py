"""``python -m benchmarks.increment``: the cost of one further day, against a full rebuild of the same 30 days."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import duckdb

from benchmarks.data import job_settings
from benchmarks.program import Ran, run_program
from data_generator.generator import generate
from data_generator.truth import load_truth
from utils.metrics import usable_cores
from utils.units import format_seconds, format_size, parse_size

ROOT = Path(__file__).resolve().parent.parent
DAYS = 30
MOST_SHARE = 0.15
"""The share of a full rebuild's time that a further day may take (of 10 GB)."""
_SECONDS_UNTIL_PROVEN = 3
"""A file whose times are older than this is known by them, without reading it."""
_COUNTS = ("files", "bytes_read", "records_read", "kept", "duplicates", "conflicts", "rejected", "users", "output_rows")


@dataclass(frozen=True)
class Comparison:
    """Seconds and peaks of further days and of full rebuilds, and how their last results differ, if they do."""

    size: int
    days: list[Ran]
    rebuilds: list[Ran]
    wrong: list[str]

    @property
    def share(self) -> float:
        """Median time of a further day, divided by the median time of a rebuild."""
        return median(ran.seconds for ran in self.days) / median(ran.seconds for ran in self.rebuilds)


def prepare(folder: Path, size: int) -> list[Path]:
    """Thirty logs of ``size`` bytes in all, made unless they are there already."""
    settings = replace(job_settings(size), files=DAYS)
    logs = folder / f"days-{size}"
    truth = load_truth(logs)
    if truth is None or truth.settings != settings:
        print(f"generating {format_size(size)} in {logs} (once) ...", flush=True)
        generate(settings, logs, workers=usable_cores(), force=True)
    return sorted(logs.glob("*.csv"))


def compare_runs(folder: Path, size: int, runs: int, options: Sequence[str]) -> Comparison:
    """Let the last ``runs`` days arrive one by one; then rebuild all as often, and compare."""
    logs = prepare(folder, size)
    growing = folder / "growing"
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir()
    for path in logs[: DAYS - runs]:
        os.link(path, growing / path.name)
    time.sleep(_SECONDS_UNTIL_PROVEN)  # a link changes the times of its file
    run_program(folder / "further", growing, options)
    days = []
    for path in logs[DAYS - runs :]:
        os.link(path, growing / path.name)
        time.sleep(_SECONDS_UNTIL_PROVEN)
        days.append(run_program(folder / "further", growing, options, anew=False))
        print(f"a further day: {days[-1].seconds:.2f} s {days[-1].answer['seconds']}", flush=True)
    rebuilds = []
    for _ in range(runs):
        rebuilds.append(run_program(folder / "rebuilt", growing, options))
        print(f"a full rebuild: {rebuilds[-1].seconds:.2f} s {rebuilds[-1].answer['seconds']}", flush=True)
    return Comparison(size, days, rebuilds, differences(days[-1], rebuilds[-1]))


def differences(day: Ran, rebuild: Ran) -> list[str]:
    """Counts and rows in which the two results differ."""
    record, full = ({name: ran.record[name] for name in _COUNTS if name in ran.record} for ran in (day, rebuild))
    wrong = [f"{name}: {value}, rebuilt {full[name]}" for name, value in record.items() if value != full[name]]
    first, second = (
        f"select * from read_parquet('{ran.output}/*/*.parquet', hive_partitioning = true)" for ran in (day, rebuild)
    )
    with duckdb.connect() as database:
        for one, other in ((first, second), (second, first)):
            found = database.execute(f"select count(*) from ({one} except all {other})").fetchone()
            if found != (0,):
                wrong.append(f"rows that only one result has: {found}")
    return wrong


def render(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table."""
    lines = [
        "| history | a further day (1/30) | peak | full rebuild | peak | share | same values |",
        "|---:|---:|---:|---:|---:|---:|---|",
    ]
    for comparison in comparisons:
        cells = [format_size(comparison.size)]
        for runs in (comparison.days, comparison.rebuilds):
            cells += [
                format_seconds(median(ran.seconds for ran in runs)),
                format_size(max(ran.peak_bytes for ran in runs)),
            ]
        cells += [f"{comparison.share:.1%}", "; ".join(comparison.wrong) or "yes"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table; 0 where values are the same and, from 10 GB on, the share is small enough."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.increment", description=__doc__)
    parser.add_argument("--size", type=parse_size, action="append", help="of all thirty days (2GB); may be repeated")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (3)")
    parser.add_argument("--engine", default="polars", help="polars or spark")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "benchmarks" / "data" / "increment", help="folder for logs"
    )
    parser.add_argument("--keep", action="store_true", help="keep logs and results")
    options = parser.parse_args(argv)
    options.folder.mkdir(parents=True, exist_ok=True)
    comparisons = []
    for size in options.size or [parse_size("2GB")]:
        comparisons.append(compare_runs(options.folder, size, options.runs, ["--engine", options.engine]))
        if not options.keep:
            shutil.rmtree(options.folder)
            options.folder.mkdir()
    print(render(comparisons))
    too_slow = any(comparison.share > MOST_SHARE for comparison in comparisons if comparison.size >= 10**10)
    return int(too_slow or any(comparison.wrong for comparison in comparisons))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
