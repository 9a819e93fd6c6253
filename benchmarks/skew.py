"""``python -m benchmarks.skew``: skewed logs under a memory limit, against uniform logs of the same size."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.program import Ran, run_program
from benchmarks.shapes import Shape, Truth, differences, make_logs
from utils.metrics import usable_cores
from utils.units import format_seconds, format_size, parse_size

ROOT = Path(__file__).resolve().parent.parent
MOST_TIMES = 1.5
"""The time of the uniform case that a skewed one may take."""


@dataclass(frozen=True)
class Outcome:
    """The runs over one shape, and what any of them found otherwise than the truth."""

    shape: Shape
    ran: list[Ran]
    wrong: list[str]

    @property
    def seconds(self) -> float:
        """The median of the runs."""
        return median(run.seconds for run in self.ran)

    @property
    def peak_bytes(self) -> int:
        """The greatest of the runs."""
        return max(run.peak_bytes for run in self.ran)


def shapes(size: int) -> list[Shape]:
    """The uniform case, then each kind of skew, all of about ``size`` bytes."""
    rows = Shape("", size).rows
    return [
        Shape("uniform", size),
        Shape("one user with 30 % of all events", size, bot_share=0.3),
        Shape("a million copies of one log_id", size, copies=min(10**6, rows // 4)),
        Shape("one log_id shared by 100,000 users", size, shared=min(100_000, rows // 10)),
        Shape("nearly every event by another user", size, users=max(1, min(50_000_000, rows))),
        Shape("files of 1 MB", size, files=max(1, min(1000, size // 10**6))),
        Shape("one file", size, files=1),
    ]


def run_shape(shape: Shape, folder: Path, options: Sequence[str], runs: int) -> Outcome:
    """Make the logs in ``folder`` (removed afterwards), run the program over them and compare with the truth."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        truth: Truth = make_logs(shape, folder / "logs")
        ran, wrong = [], []
        for _ in range(runs):
            found = run_program(folder, folder / "logs", options)
            ran.append(found)
            wrong += differences(shape, truth, found.answer, found.output)
        return Outcome(shape, ran, wrong)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def render(outcomes: Sequence[Outcome], limit: int, command: str) -> str:
    """The table as Markdown."""
    uniform = outcomes[0]
    lines = [
        "# Skewed input",
        "",
        f"Made by `{command}` on {usable_cores()} cores. Each input has about the same size; what every run found was "
        "compared with the truth by construction: every count, and watch time and events of every user. Times are of "
        "cold processes, medians of the runs; memory is the peak of all processes together.",
        "",
        f"Allowed: {format_size(limit)} and {MOST_TIMES} times the uniform case.",
        "",
        "| input | size | time | times uniform | peak memory | kept |",
        "|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        ratio = outcome.seconds / uniform.seconds
        late = " (missed)" if ratio > MOST_TIMES else ""
        over = " (missed)" if outcome.peak_bytes > limit else ""
        lines.append(
            f"| {outcome.shape.name} | {format_size(outcome.ran[0].answer['bytes_read'])} "
            f"| {format_seconds(outcome.seconds)} | {ratio:.2f}{late} | {format_size(outcome.peak_bytes)}{over} "
            f"| {outcome.ran[0].answer['kept']:,} |"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    """Returns 0 where every result is right and within the limits, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skew", description=__doc__)
    parser.add_argument("--size", type=parse_size, default="1GB", help="of each input (1GB)")
    parser.add_argument("--memory-limit", type=parse_size, default="2GB", help="for all processes (2GB)")
    parser.add_argument("--engine", default="polars", help="polars or spark")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (3)")
    parser.add_argument("--data", type=Path, default=ROOT / "benchmarks" / "data" / "skew", help="folder for the logs")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "skew.md")
    options = parser.parse_args(argv)
    flags = ["--engine", options.engine, "--memory-limit", str(options.memory_limit)]
    outcomes = []
    for shape in shapes(options.size):
        outcome = run_shape(shape, options.data, flags, options.runs)
        print(f"{shape.name}: {format_seconds(outcome.seconds)}, {format_size(outcome.peak_bytes)}", flush=True)
        for line in outcome.wrong:
            print(f"WRONG: {line}", file=sys.stderr)
        outcomes.append(outcome)
    text = render(outcomes, options.memory_limit, " ".join(["python -m benchmarks.skew", *argv]))
    if any(outcome.wrong for outcome in outcomes):
        print("error: a result is wrong; no report was written", file=sys.stderr)
        return 1
    options.report.write_text(text, encoding="utf-8")
    print(f"\n{text}\nwritten to {options.report}")
    return int("(missed)" in text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
