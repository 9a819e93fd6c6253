"""The table that people read: medians, spread, memory and ratios, as Markdown."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks.agreement import Digest
from benchmarks.contenders import Contender
from benchmarks.measure import Measurement
from utils.metrics import usable_cores

BASE = "duckdb"
"""The contender that ratios are made to, where it took part."""


@dataclass(frozen=True)
class Round:
    """All runs on one input of ``bytes_read``; ``notes``: who was left out, and why."""

    bytes_read: int
    runs: Mapping[Contender, Sequence[Measurement]]
    digest: Digest | None
    notes: Sequence[str]


def render(rounds: Sequence[Round], command: str) -> str:
    """The whole report."""
    parts = [
        "# Benchmarks",
        "",
        f"Written by `{command}` on {time.strftime('%Y-%m-%d')}; do not edit. The job: CSV files to watch time per "
        "user and region, duplicates removed, regions from a table of IPv4 ranges, published as Parquet. Every run is "
        "a cold process with two threads or workers and the input in the page cache; runs alternate. Peak memory is "
        "that of the whole process tree. All results were compared row by row and agree. The peers' statements are in "
        "`benchmarks/peers/`.",
        "",
        f"Machine: {describe_machine()}.",
    ]
    for each in rounds:
        parts += ["", *_table(each)]
    return "\n".join(parts) + "\n"


def describe_machine() -> str:
    """Processor, cores, memory, system and Python."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    memory = psutil.virtual_memory().total / 1e9
    return f"{model}, {usable_cores()} cores, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()}"


def _table(each: Round) -> list[str]:
    base = next((median(run.seconds for run in runs) for c, runs in each.runs.items() if c.name == BASE), None)
    lines = [
        f"## {each.bytes_read / 1e9:.2f} GB",
        "",
        f"{each.digest}." if each.digest else "No result.",
        "",
        "| | median | spread | of DuckDB's time | GB/s | peak memory |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for contender, runs in sorted(each.runs.items(), key=lambda item: median(run.seconds for run in item[1])):
        seconds = [run.seconds for run in runs]
        middle = median(seconds)
        share = f"{middle / base:.2f}" if base else ""
        peak = max(run.peak_bytes for run in runs) / 1e9
        lines.append(
            f"| {contender.described()} | {middle:.1f} s | {min(seconds):.1f}-{max(seconds):.1f} s | {share} "
            f"| {each.bytes_read / middle / 1e9:.3f} | {peak:.2f} GB |"
        )
    if each.notes:
        lines += ["", *(f"- {note}" for note in each.notes)]
    return lines
