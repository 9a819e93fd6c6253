"""The page ``docs/benchmarks-jobs.md``: medians of time, processor time and memory, ratios and targets."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.jobs.contenders import Contender
from benchmarks.measure import Measurement
from benchmarks.report import describe_machine
from utils.units import format_count, format_seconds, format_size

MANY_LINES = 10_000_000
"""From which on the start of dbt tells less, and PySpark takes too long."""
MOST_CHANGED = 0.25
"""A change takes at most so much of a full run."""
NOT_DONE = """\
The statements of the peers do what these files need. In the same time Logmill also keeps all rows as they were
extracted, with conflicts; rejects rows by declared checks into a quarantine, counts them and scores the quality;
compares sums before and after each join; keeps the history of customers and products; compares the new rows with those
before; syncs all files, writes record and report, and publishes all tables at once."""


@dataclass(frozen=True)
class Round:
    """All runs over ``lines`` order lines in files of ``size`` bytes: by contender and mode.

    ``rows``: of the tables that all agree on, after the change. ``wrong``: who failed or differs, and how.
    """

    lines: int
    size: int
    rows: Mapping[str, int]
    runs: Mapping[Contender, Mapping[str, Sequence[Measurement]]]
    wrong: Sequence[str]

    def medians(self, name: str, mode: str) -> tuple[float, float] | None:
        """The median time and processor time of a contender; None where it took no part."""
        found = next((runs[mode] for one, runs in self.runs.items() if one.name == name), None)
        return (median(run.seconds for run in found), median(run.own_seconds for run in found)) if found else None


def render(rounds: Sequence[Round], notes: Sequence[str], command: str) -> str:
    """The whole page."""
    parts = [
        "# Benchmarks of jobs",
        "",
        f"Written by `{command}` on {time.strftime('%Y-%m-%d')}; do not edit. The star schema of an online shop "
        "(`jobs/warehouse`), from four CSV files to ten tables, by Logmill and by the same tables as SQL "
        "(`benchmarks/jobs/star.py`). *Changed*: one order in 100 is corrected, and a new day has come. Every run is a "
        "cold process with two threads or workers and the files in the page cache; contenders take turns, and PySpark "
        f"runs once, below {MANY_LINES:,} lines. All tables of all contenders were compared row by row and agree, "
        "after the full run and after the change.",
        "",
        f"Machine: {describe_machine()}. Load average of the last 15 minutes: {os.getloadavg()[2]:.1f}; above 2, "
        "others had the processors too, and ratios of processor time tell more than those of time.",
        "",
        *_targets(rounds),
    ]
    for each in rounds:
        parts += ["", *_section(each)]
    parts += ["", "## What the peers do not do", "", NOT_DONE]
    if notes:
        parts += ["", *notes]
    return "\n".join(parts) + "\n"


def _targets(rounds: Sequence[Round]) -> list[str]:
    lines = [
        "| lines | Logmill | divided by | ratio | of processor time | target | |",
        "|---:|---|---|---:|---:|---:|---|",
    ]
    for each in rounds:
        # (mode of Logmill, peer, mode of the peer, greatest ratio of the medians)
        cases = [
            ("full", "duckdb", "full", 1.3),
            ("full", "dbt", "full", 0.9 if each.lines >= MANY_LINES else 0.5),
            ("full", "pyspark", "full", 0.2),
            ("changed", "logmill", "full", MOST_CHANGED),
        ]
        cases += [("changed", one.name, "changed", 1.0) for one in each.runs if not one.name.startswith("logmill")]
        for mode, name, other, most in cases:
            mine, theirs = each.medians("logmill", mode), each.medians(name, other)
            if mine and theirs:
                ratio, own = mine[0] / theirs[0], mine[1] / theirs[1]
                met = "met" if ratio <= most else "**missed**"
                told = f"| {each.lines:,} | {mode} | {name}, {other} | {ratio:.2f} | {own:.2f} | {most:g} | {met} |"
                lines.append(told)
    return lines


def _section(each: Round) -> list[str]:
    lines = [
        f"## {each.lines:,} order lines, {format_size(each.size)}",
        "",
        f"Facts after the change: {format_count(each.rows['fact_sales'], 'sale')}, "
        f"{format_count(each.rows['fact_payments'], 'payment')}.",
        "",
        "| | full: seconds | processor | peak memory | changed: seconds | processor | peak memory | a change is |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for one, runs in each.runs.items():
        cells = [one.title]
        for mode in ("full", "changed"):
            cells += [
                format_seconds(median(run.seconds for run in runs[mode])),
                format_seconds(median(run.own_seconds for run in runs[mode])),
                format_size(max(run.peak_bytes for run in runs[mode])),
            ]
        lines.append(f"| {' | '.join([*cells, one.increment])} |")
    return lines
