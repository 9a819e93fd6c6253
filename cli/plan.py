"""``plan``: what a run with these options would do, and what it would take of time, memory and disk."""

import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from cli.arguments import Arguments
from cli.console import Answer, printable
from cli.summary import new_table
from cli.terminal import PipeConsole
from config import Config
from pipeline.machine import display_name
from utils.units import format_seconds, format_size

if TYPE_CHECKING:
    from pipeline.inspection.plan import RunPlan

MAX_LISTED = 10


def plan_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answers with tables or one JSON object; changes nothing. Raises LogmillError where a run could not begin."""
    from pipeline.inspection.plan import make_run_plan

    found = make_run_plan(config, arguments.options)
    if answer.as_json:
        answer.give(_as_json(found, config))
    elif not arguments.quiet:
        _print(found, config)
    return 0


def _as_json(found: "RunPlan", config: Config) -> dict[str, object]:
    return {
        "engine": found.engine,
        "files": _states(found),
        "refused_files": [
            {"file": display_name(path), "reason": reason} for path, reason in sorted(found.refused.items())
        ],
        "bytes": found.sample.text_bytes,
        "records": found.sample.rows,
        "result_rows": found.sample.result_rows,
        "plan": asdict(found.sizes) | {"memory_limit": config.MEMORY_LIMIT},
        "prediction": found.prediction.as_numbers(),
        "learned": found.learned,
    }


def _states(found: "RunPlan") -> dict[str, int]:
    return dict(sorted(Counter(state.state for state in found.files.states).items()))


def _print(found: "RunPlan", config: Config) -> None:
    console = PipeConsole(markup=False, highlight=False, emoji=False)
    sizes, predicted, sample = found.sizes, found.prediction, found.sample
    files = ", ".join(f"{count:,} {state}" for state, count in _states(found).items()) or "none"
    input_rows = [
        ("files", files),
        ("to read", f"{format_size(sample.text_bytes)}, about {sample.rows:,} records"),
        ("result", f"about {sample.result_rows:,} rows of the files that are read"),
    ]
    plan_rows = [
        ("engine", found.engine),
        ("workers", f"{sizes.workers:,}"),
        ("splits", f"of {format_size(sizes.split_bytes)}, rows of at most {format_size(sizes.held_bytes)} at once"),
        ("buckets", f"{sizes.buckets:,}, at most {sizes.bucket_rows:,} rows at once"),
    ]
    pace = "by earlier runs on this machine" if found.learned else "by the shipped figures: nothing has run here yet"
    phases = (predicted.phase1_seconds, predicted.phase2_seconds, predicted.publish_seconds)
    shown = " + ".join(format_seconds(seconds) for seconds in phases)
    prediction_rows = [
        ("time", f"{format_seconds(predicted.seconds)} (phase 1, phase 2, publish: {shown}), {pace}"),
        ("memory", f"{format_size(predicted.peak_memory_bytes)} of {format_size(config.MEMORY_LIMIT)}"),
        ("intermediate", f"{format_size(predicted.intermediate_bytes)}{_free(config.INTERMEDIATE_DIR)}"),
        ("output", f"{format_size(predicted.output_bytes)}{_free(config.OUTPUT_DIR)}"),
    ]
    for title, rows in (("input", input_rows), ("plan", plan_rows), ("prediction", prediction_rows)):
        table = new_table((title, False), ("", False))
        for name, value in rows:
            table.add_row(name, Text(value))
        console.print(table)
        console.print()
    for path, reason in sorted(found.refused.items())[:MAX_LISTED]:
        console.print(Text(f"would be refused: {printable(display_name(path))}: {printable(reason)}"))
    if len(found.refused) > MAX_LISTED:
        console.print(f"and {len(found.refused) - MAX_LISTED:,} more that would be refused")


def _free(place: str) -> str:
    """What the disk has on which ``place`` is or would be."""
    there = next(folder for folder in (Path(place).absolute(), *Path(place).absolute().parents) if folder.exists())
    return f", {format_size(shutil.disk_usage(there).free)} free there"
