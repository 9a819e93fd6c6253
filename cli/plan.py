"""``plan``: what a run with these options would do, and the time, memory and disk that it would need."""

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
from pipeline.machine import display_name, existing_parent
from pipeline.storage.urls import is_url
from utils.units import format_count, format_seconds, format_size

if TYPE_CHECKING:
    from pipeline.inspection.plan import RunPlan

MAX_LISTED = 10


def plan_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answer with tables or one JSON object; nothing is changed. Raises LogmillError where a run could not begin."""
    from pipeline.inspection.plan import make_run_plan

    plan = make_run_plan(config, arguments.options)
    if answer.as_json:
        answer.give(_as_json(plan, config))
    elif not arguments.quiet:
        print_plan(plan, config, PipeConsole())
    return 0


def _as_json(plan: "RunPlan", config: Config) -> dict[str, object]:
    return {
        "engine": plan.engine,
        "engine_note": plan.engine_note,
        "files": _states(plan),
        "refused_files": [
            {"file": display_name(path), "reason": reason} for path, reason in sorted(plan.refused.items())
        ],
        "bytes": plan.sample.text_bytes,
        "records": plan.sample.rows,
        "result_rows": plan.sample.result_rows,
        "plan": asdict(plan.sizes) | {"memory_limit": config.MEMORY_LIMIT},
        "prediction": plan.prediction.as_numbers(),
        "learned": plan.learned,
    }


def _states(plan: "RunPlan") -> dict[str, int]:
    return dict(sorted(Counter(state.state for state in plan.files.states).items()))


def print_plan(plan: "RunPlan", config: Config, console: PipeConsole) -> None:
    """Print the files, the sizes, the prediction, and the files that a run would refuse."""
    sizes, predicted, sample = plan.sizes, plan.prediction, plan.sample
    files = ", ".join(f"{count:,} {state}" for state, count in _states(plan).items()) or "none"
    input_rows = [
        ("files", files),
        ("to read", f"{format_size(sample.text_bytes)}, about {format_count(sample.rows, 'record')}"),
        ("result", f"about {format_count(sample.result_rows, 'row')} of the files that are read"),
    ]
    plan_rows = [
        ("engine", plan.engine),
        *([("", plan.engine_note)] if plan.engine_note else []),
        ("workers", f"{sizes.workers:,}"),
        ("splits", f"of {format_size(sizes.split_bytes)}, rows of at most {format_size(sizes.held_bytes)} at once"),
        ("buckets", f"{sizes.buckets:,}, at most {format_count(sizes.bucket_rows, 'row')} at once"),
    ]
    prediction_rows = [
        ("time", format_seconds(predicted.seconds)),
        ("  phase 1", format_seconds(predicted.phase1_seconds)),
        ("  phase 2", format_seconds(predicted.phase2_seconds)),
        ("  publish", format_seconds(predicted.publish_seconds)),
        (
            "  pace",
            "learned from runs on this machine" if plan.learned else "as shipped: no long run here taught another",
        ),
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
    for path, reason in sorted(plan.refused.items())[:MAX_LISTED]:
        console.say(f"would be refused: {printable(display_name(path))}: {printable(reason)}", indent="  ")
    if len(plan.refused) > MAX_LISTED:
        console.print(f"and {len(plan.refused) - MAX_LISTED:,} more that would be refused")


def _free(folder: str) -> str:
    """The free room of the disk on which a folder is or would be made; nothing for a URL."""
    if is_url(folder):
        return ""
    return f", {format_size(shutil.disk_usage(existing_parent(Path(folder))).free)} free there"
