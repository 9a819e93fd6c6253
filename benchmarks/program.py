"""This program in a cold process, measured from outside, with what it answered and recorded."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import measure

MAIN = Path(__file__).resolve().parent.parent / "main.py"


@dataclass(frozen=True)
class Ran:
    """One run: ``seconds`` and ``peak_bytes`` from outside, the object of ``--json``, and ``run.json``."""

    seconds: float
    peak_bytes: int
    answer: dict[str, Any]
    record: dict[str, Any]
    output: Path
    intermediate: Path


def run_program(
    folder: Path,
    logs: Path,
    options: Sequence[str],
    environment: Mapping[str, str] | None = None,
    anew: bool = True,
) -> Ran:
    """Run over ``logs``, with results below ``folder``: ``anew``, or going on from the run before. Raises RuntimeError
    where the run fails."""
    output, intermediate, answer_file = folder / "output", folder / "intermediate", folder / "answer.json"
    if anew:
        output.unlink(missing_ok=True)
        for old in (Path(f"{output}.versions"), intermediate):
            shutil.rmtree(old, ignore_errors=True)
    program = [sys.executable, str(MAIN), "--input", str(logs), "--output", str(output), "--json"]
    program += ["--intermediate", str(intermediate), *options]
    # The answer is on stdout, which ``measure`` keeps for failures: a shell puts it into a file of its own.
    folder.mkdir(parents=True, exist_ok=True)
    command = ["/bin/sh", "-c", 'answer="$1"; shift; exec "$@" > "$answer"', "sh", str(answer_file), *program]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("LOGMILL_")}
    measured = measure(command, settings | dict(environment or {}))
    if measured.failure:
        raise RuntimeError(f"{' '.join(program)} failed: {measured.failure}")
    record = json.loads((output.resolve().parent / "run.json").read_text(encoding="utf-8"))
    answer = json.loads(answer_file.read_text(encoding="utf-8"))
    return Ran(measured.seconds, measured.peak_bytes, answer, record, output, intermediate)
