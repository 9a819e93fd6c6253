"""``python -m benchmarks.skew``: skewed logs under a memory limit, against uniform logs of the same size."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.program import Ran, run_program
from benchmarks.shapes import Shape, Truth, differences, make_logs
from utils.metrics import usable_cores
from utils.units import format_seconds, format_size, parse_size

ROOT = Path(__file__).resolve().parent.parent
MOST_TIMES = 1.5
"""Most time of a skewed case, as a multiple of the uniform case."""


@dataclass
class Case:
    """A shape with its logs, their truth, its runs, and the differences of the runs' results from the truth."""

    shape: Shape
    truth: Truth
    folder: Path
    ran: list[Ran] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def run(self, options: Sequence[str]) -> None:
        """Run the program once over the logs and compare with the truth."""
        found = run_program(self.folder, self.folder / "logs", options)
        self.ran.append(found)
        self.wrong += differences(self.shape, self.truth, found.answer, found.output)

    @property
    def seconds(self) -> float:
        """The median of the runs."""
        return median(run.seconds for run in self.ran)

    @property
    def peak_bytes(self) -> int:
        """The greatest of the runs."""
        return max(run.peak_bytes for run in self.ran)


def shapes(size: int) -> list[Shape]:
    """The uniform case of ``size`` bytes, and each kind of skew; then many small files, a tenth of it in all, behind
    their own uniform case."""
    rows = Shape("", size).rows
    return [
        Shape("uniform", size),
        Shape("one user with 30 % of all events", size, bot_share=0.3),
        Shape("a million copies of one log_id", size, copies=min(10**6, rows // 4)),
        Shape("one log_id shared by 100,000 users", size, shared=min(100_000, rows // 10)),
        Shape("many users (50 M in 10 GB)", size, users=min(50_000_000, size // 200)),
        Shape("one file", size, files=1),
        Shape("uniform, a tenth", size // 10),
        Shape("a tenth in files of 1 MB", size // 10, files=max(4, size // 10**7)),
    ]


def prepare(shape: Shape, folder: Path) -> Case:
    """Make the logs of ``shape`` in ``folder``."""
    truth = make_logs(shape, folder / "logs")
    os.sync()  # or the system writes them while runs are timed
    return Case(shape, truth, folder)


def render(cases: Sequence[Case], limit: int, command: str) -> str:
    """The table as Markdown; each is compared with the uniform case before it."""
    uniform = cases[0]
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
    for case in cases:
        uniform = case if case.shape.name.startswith("uniform") else uniform
        ratio = case.seconds / uniform.seconds
        late = " (missed)" if ratio > MOST_TIMES else ""
        over = " (missed)" if case.peak_bytes > limit else ""
        lines.append(
            f"| {case.shape.name} | {format_size(case.ran[0].answer['bytes_read'])} "
            f"| {format_seconds(case.seconds)} | {ratio:.2f}{late} | {format_size(case.peak_bytes)}{over} "
            f"| {case.ran[0].answer['kept']:,} |"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    """Returns 0 where every result is right and within the limits, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skew", description=__doc__)
    parser.add_argument("--size", type=parse_size, default="1GB", help="of each input (1GB)")
    parser.add_argument("--memory-limit", type=parse_size, default="2GB", help="for all processes (2GB)")
    parser.add_argument("--engine", default="polars", help="polars or spark")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (3)")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "benchmarks" / "data" / "skew", help="folder for the logs"
    )
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "skew.md")
    options = parser.parse_args(argv)
    flags = ["--engine", options.engine, "--memory-limit", str(options.memory_limit)]
    shutil.rmtree(options.folder, ignore_errors=True)
    cases = [prepare(shape, options.folder / str(number)) for number, shape in enumerate(shapes(options.size))]
    for _ in range(options.runs):  # in turn, so that a busy moment of the machine is not one shape's alone
        for case in cases:
            case.run(flags)
            ran = case.ran[-1]
            print(f"{case.shape.name}: {format_seconds(ran.seconds)}, {format_size(ran.peak_bytes)}", flush=True)
    shutil.rmtree(options.folder)
    for case in cases:
        for line in case.wrong:
            print(f"WRONG: {case.shape.name}: {line}", file=sys.stderr)
    text = render(cases, options.memory_limit, " ".join(["python -m benchmarks.skew", *argv]))
    if any(case.wrong for case in cases):
        print("error: a result is wrong; no report was written", file=sys.stderr)
        return 1
    options.report.write_text(text, encoding="utf-8")
    print(f"\n{text}\nwritten to {options.report}")
    return int("(missed)" in text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
