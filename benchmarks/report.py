"""The page that people read: medians, spread, memory, ratios and targets, as Markdown."""

import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from benchmarks.rounds import Round
from benchmarks.targets import EMBEDDED, scaling_table, target_table
from utils.metrics import usable_cores

VERSIONS = ("polars", "numpy", "pyarrow", "pyspark")
"""Packages that Logmill itself computes with; each peer stands in the table with its own."""

NOT_DONE = """\
## What the peers do not do

The peers' programs are the fastest that we know for these files, which are clean: no malformed record, no conflict, no
quotes, only IPv4. That makes results comparable, and it favours the peers. In the same time Logmill also

- compares every chunk with an independent scan of its bytes, and balances records read = kept + duplicates + conflicts
  + rejected for every file,
- compares the contents of equal ids: of copies that differ, one wins by a rule and the others are kept as conflicts;
  the peers take any of them, perhaps another one in the next run,
- would keep a malformed record with file, line, reason and bytes, and count the others; the peers would stop, or take
  nulls,
- would resolve IPv6 and IPv4-mapped addresses; the peers would stop, or give no region,
- adds up exact integers; the peers add floating-point numbers in any order (the comparison
  allows for that),
- hashes every file and writes a ledger, keeps what the next run needs to read new files only, writes a report, syncs
  everything to the disk and publishes it at one instant; the peers' files appear one by one, unsynced.

The floor does nothing of the job but parse the four columns."""


def render(rounds: Sequence[Round], notes: Sequence[str], command: str, chart: str | None) -> str:
    """The whole page; ``notes``: who was left out, and why; ``chart``: where the picture lies, seen from the page."""
    parts = [
        "# Benchmarks",
        "",
        f"Written by `{command}` on {time.strftime('%Y-%m-%d')}; do not edit. The job: CSV files to watch time per "
        "user and region, duplicates removed, regions from a table of IPv4 ranges that is compiled beforehand, "
        "published as Parquet. Every run is a cold process with two threads or workers and the input in the page "
        "cache; runs alternate. Peak memory is the greatest of all runs, of the whole process tree. All results were "
        "compared row by row and agree. The peers' statements are in `benchmarks/peers/`.",
        "",
        f"Machine: {describe_machine()}. Logmill computes with "
        f"{', '.join(f'{name} {version(name)}' for name in VERSIONS)}.",
    ]
    if chart:
        parts += ["", f"![Medians, spread and peak memory of all contenders]({chart})"]
    for each in rounds:
        parts += ["", *_section(each)]
    if len(rounds) > 1:
        parts += ["", "## From the smallest to the largest input", "", *scaling_table(rounds)]
    if notes:
        parts += ["", *(f"- {note}" for note in notes)]
    return "\n".join([*parts, "", NOT_DONE]) + "\n"


def describe_machine() -> str:
    """Processor, cores, memory, system and Python."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    memory = psutil.virtual_memory().total / 1e9
    return f"{model}, {usable_cores()} cores, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()}"


def _section(each: Round) -> list[str]:
    """One size: the result, everybody's figures, fastest first, and the targets."""
    lines = [
        f"## {each.bytes_read / 1e9:.3g} GB",
        "",
        f"{each.digest}." if each.digest else "No result.",
        "",
        "| | median | spread | GB/s | peak memory | time / embedded | memory / embedded |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    base_time, base_memory = each.seconds(EMBEDDED), each.peak(EMBEDDED)
    for contender, runs in sorted(each.runs.items(), key=lambda item: median(run.seconds for run in item[1])):
        seconds = [run.seconds for run in runs]
        middle, peak = median(seconds), max(run.peak_bytes for run in runs)
        ratios = [f"{middle / base_time:.2f}" if base_time else "", f"{peak / base_memory:.2f}" if base_memory else ""]
        lines.append(
            f"| {contender.described()} | {middle:.1f} s | {min(seconds):.1f}-{max(seconds):.1f} s "
            f"| {each.bytes_read / middle / 1e9:.3f} | {peak / 1e9:.2f} GB | {' | '.join(ratios)} |"
        )
    lines += [f"| {contender.described()} | did not finish | | | | | |" for contender in each.failed]
    if each.failed:
        lines += ["", *(f"- {contender.title}: {_first_line(reason)}" for contender, reason in each.failed.items())]
    return [*lines, "", *target_table(each)]


def _first_line(reason: str) -> str:
    """The line of a failure that says most: of a traceback, the last."""
    lines = reason.strip().splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0].partition(':')[0]}: {lines[-1]}"[:300]
