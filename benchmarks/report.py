"""The page that people read: medians, spread, memory, ratios and targets, as Markdown."""

import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from benchmarks.data_sets import DATA_SETS
from benchmarks.rounds import Round
from benchmarks.summary import summary_lines
from benchmarks.surroundings import MOST_BUSY, PROBE_SECONDS
from benchmarks.targets import EMBEDDED, growth_lines, missed_lines, outcomes, size_name, target_lines
from utils.metrics import usable_cores

VERSIONS = ("polars", "numpy", "pyarrow", "pyspark")
"""Packages that Logmill itself computes with; each peer stands in the table with its own."""

NOT_DONE = """\
## What the peers do not do

The peers' programs are the fastest that we know for these files, which are clean: no malformed record, no conflict,
quotes only around JSON, only IPv4. That makes results comparable, and it favours the peers. In the same time Logmill
also

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
  everything to the disk and publishes it atomically; the peers' files appear one by one, unsynced.

DuckDB and Polars are told to keep within four fifths of the memory at which every run is ended, and write to the disk
what is more. The floor does nothing of the job but parse the four columns."""


def render(rounds: Sequence[Round], notes: Sequence[str], command: str, charts: Mapping[str, str]) -> str:
    """The whole page; ``notes``: who was left out, and why; ``charts``: by data set where its picture lies, seen from
    the page."""
    found = outcomes(rounds)
    parts = [
        "# Benchmarks",
        "",
        *missed_lines(found),
        "",
        *([*summary, ""] if (summary := summary_lines(rounds)) else []),
        f"Written by `{command}` on {time.strftime('%Y-%m-%d')}; do not edit. The job: CSV files to watch time per "
        "user and region, duplicates removed, regions from a table of IPv4 ranges that is compiled beforehand, "
        "published as Parquet. Every run is a cold process with two threads or workers and the input in the page "
        "cache, after a first run over next to nothing; runs alternate. Peak memory is the greatest of all runs, of "
        "the whole process tree. All results were compared row by row and agree. The peers' statements are in "
        "`benchmarks/peers/`.",
        "",
        f"Machine: {describe_machine()}. Logmill computes with "
        f"{', '.join(f'{name} {version(name)}' for name in VERSIONS)}.",
        "",
        _quiet(rounds),
        "",
        "## Targets",
        "",
        *target_lines(found),
    ]
    names = list(dict.fromkeys(each.data_set for each in rounds))
    for name in names:
        data_set = DATA_SETS[name]
        parts += ["", f"## {data_set.title.capitalize().replace('json', 'JSON')}", "", data_set.description]
        if name in charts:
            parts += ["", f"![Medians, spread and peak memory of all contenders, {data_set.title}]({charts[name]})"]
        for each in rounds:
            if each.data_set == name:
                parts += ["", *_section(each)]
    if len(rounds) > len(names):
        parts += ["", "## From the smallest to the largest input", "", *growth_lines(rounds)]
    if notes:
        parts += ["", *(f"- {note}" for note in notes)]
    return "\n".join([*parts, "", NOT_DONE]) + "\n"


def _quiet(rounds: Sequence[Round]) -> str:
    """How runs were kept from each other and from other programs, and how often that failed."""
    runs = [run for each in rounds for runs in each.runs.values() for run in runs]
    busy = sum(run.others > MOST_BUSY for run in runs)
    told = f"{busy} of {len(runs)} runs stayed busy and are named below their table" if busy else "no run stayed busy"
    return (
        f"A run is busy where other programs take more than {_percent(MOST_BUSY)} of the processors' time, in the "
        f"{PROBE_SECONDS:g} s before or while it lasts. It waits for a quiet machine and is repeated where that did "
        f"not last; {told}. The load is the greatest load average (one minute) before a run, and holds the run before."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


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
    """One size: the result, everybody's figures, fastest first, who did not finish, and whose runs stayed busy."""
    lines = [
        f"### {size_name(each.size)}",
        "",
        f"{each.digest}." if each.digest else "No result.",
        "",
        "| | median | spread | GB/s | peak memory | load | time / embedded | memory / embedded |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    base_time, base_memory = each.seconds(EMBEDDED), each.peak(EMBEDDED)
    for contender, runs in sorted(each.runs.items(), key=lambda item: median(run.seconds for run in item[1])):
        seconds = [run.seconds for run in runs]
        middle, peak = median(seconds), max(run.peak_bytes for run in runs)
        ratios = [f"{middle / base_time:.2f}" if base_time else "", f"{peak / base_memory:.2f}" if base_memory else ""]
        lines.append(
            f"| {contender.described()} | {middle:.1f} s | {min(seconds):.1f}-{max(seconds):.1f} s "
            f"| {each.bytes_read / middle / 1e9:.3f} | {peak / 1e9:.2f} GB "
            f"| {max(run.load for run in runs):.1f} | {' | '.join(ratios)} |"
        )
    lines += [f"| {contender.described()} | did not finish | | | | | | |" for contender in each.failed]
    remarks = [f"- {contender.title}: {_first_line(reason)}" for contender, reason in each.failed.items()]
    for contender, runs in each.runs.items():
        busy = [run.others for run in runs if run.others > MOST_BUSY]
        if busy:
            remarks.append(
                f"- busy: {contender.title}, {len(busy)} of {len(runs)} runs; others took up to {_percent(max(busy))}"
            )
    return [*lines, *(["", *remarks] if remarks else [])]


def _first_line(reason: str) -> str:
    """The line of a failure that says most: of a traceback, the last."""
    lines = reason.strip().splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0].partition(':')[0]}: {lines[-1]}"[:300]
