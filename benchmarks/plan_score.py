"""``python -m benchmarks.plan_score``: predictions against outcomes, on shapes that calibrated nothing.

The program first runs over the calibrating shape in a cache folder of its own, as on a machine where it was used once.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.program import run_program
from benchmarks.shapes import Shape, differences, make_logs
from utils.metrics import usable_cores
from utils.units import format_seconds, format_size, parse_size

ROOT = Path(__file__).resolve().parent.parent
TIME_WITHIN, MEMORY_WITHIN = 0.35, 0.25
CALIBRATIONS = 3

Pair = tuple[float, float]


@dataclass(frozen=True)
class Score:
    """(predicted, found) of one run: seconds and peak memory of all processes, measured from outside; disk."""

    shape: Shape
    size: int
    seconds: Pair
    memory: Pair
    intermediate: Pair
    output: Pair

    @property
    def holds(self) -> bool:
        """Whether time and memory are predicted well enough."""
        return abs(error(self.seconds)) <= TIME_WITHIN and abs(error(self.memory)) <= MEMORY_WITHIN


def error(pair: Pair) -> float:
    """Relative error of a prediction: 0.1 where it is 10 % above the measured value."""
    return pair[0] / pair[1] - 1


def calibrating(size: int) -> Shape:
    """The shape from which the program learns the pace of the machine."""
    return Shape("calibration", size)


def shapes(size: int) -> list[Shape]:
    """Shapes that differ from the calibrating one in row width, users, ids, files or size, and in every value."""
    return [
        Shape("rows 60 bytes wider", size, padding=60, seed=1),
        Shape("rows of 1.5 kB", size, padding=1400, seed=2),
        Shape("2,000 users", size, users=2_000, seed=3),
        Shape("2,000,000 users", size, users=2_000_000, seed=4),
        Shape("user ids of 40 bytes", size, user_bytes=40, seed=5),
        Shape("60 files", size, files=60, seed=6),
        Shape("one file, half the size", size // 2, files=1, seed=8),
        Shape("twice the size, 300,000 users", size * 2, users=300_000, seed=9),
        Shape("one user with 30 % of all events", size, bot_share=0.3, seed=10),
    ]


def score(shape: Shape, folder: Path, options: Sequence[str], cache: str) -> Score:
    """Make the logs, run, and compare what was predicted with what was found. Raises RuntimeError where the result is
    wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        truth = make_logs(shape, folder / "logs")
        os.sync()  # or the system writes them while the run is timed
        ran = run_program(folder, folder / "logs", options, {"XDG_CACHE_HOME": cache})
        if wrong := differences(shape, truth, ran.answer, ran.output):
            raise RuntimeError(f"{shape.name}: {wrong}")
        plan = ran.record["plan"]
        return Score(
            shape,
            ran.answer["bytes_read"],
            (plan["seconds"], ran.answer["seconds"]["total"]),
            (plan["peak_memory_bytes"], ran.peak_bytes),
            (plan["intermediate_bytes"], _size_of(ran.intermediate)),
            (plan["output_bytes"], _size_of(ran.output.resolve())),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def render(scores: Sequence[Score], command: str) -> str:
    """The table as Markdown."""
    lines = [
        "# Predictions against outcomes",
        "",
        f"Made by `{command}` on {usable_cores()} cores. The program ran {CALIBRATIONS} times over a calibrating input "
        "(4 files, 100,000 users, rows of 83 bytes), then once over each of these, whose shapes are new to it. Time is "
        "the program's own `seconds.total`; memory the peak of all processes, measured from outside; disk as it lay "
        "there at the end.",
        "",
        f"Allowed: time within {TIME_WITHIN:.0%}, memory within {MEMORY_WITHIN:.0%}.",
        "",
        "| input | size | time predicted, taken | | memory predicted, taken | | intermediate | | output | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for found in scores:
        seconds = ", ".join(map(format_seconds, found.seconds))
        cells = [found.shape.name, format_size(found.size), seconds, f"{error(found.seconds):+.0%}"]
        for pair in (found.memory, found.intermediate, found.output):
            cells += [", ".join(map(format_size, pair)), f"{error(pair):+.0%}"]
        lines.append(f"| {' | '.join(cells)} |{'' if found.holds else ' missed'}")
    return "\n".join(lines) + "\n"


def _size_of(folder: Path) -> int:
    return sum((Path(root) / name).stat().st_size for root, _, names in os.walk(folder) for name in names)


def main(argv: Sequence[str]) -> int:
    """Returns 0 where every prediction is good enough, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_score", description=__doc__)
    parser.add_argument("--size", type=parse_size, default="500MB", help="of most inputs (500MB)")
    parser.add_argument("--engine", default="polars", help="polars or spark")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "benchmarks" / "data" / "plan", help="folder for the logs"
    )
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "planning.md")
    options = parser.parse_args(argv)
    flags = ["--engine", options.engine]
    scores = []
    with tempfile.TemporaryDirectory(prefix="logmill-cache-") as cache:
        for number, shape in enumerate([calibrating(options.size)] * CALIBRATIONS + shapes(options.size)):
            found = score(shape, options.folder, flags, cache)
            errors = f"time {error(found.seconds):+.0%}, memory {error(found.memory):+.0%}"
            print(f"{shape.name}: {format_seconds(found.seconds[1])}; {errors}", flush=True)
            if number >= CALIBRATIONS:
                scores.append(found)
    text = render(scores, " ".join(["python -m benchmarks.plan_score", *argv]))
    options.report.write_text(text, encoding="utf-8")
    print(f"\n{text}\nwritten to {options.report}")
    return int(not all(found.holds for found in scores))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
