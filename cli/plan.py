"""``plan``: what a run with these options would do, and the time, memory and disk that it would need."""

import re
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
from pipeline.errors import ConfigError
from pipeline.machine import display_name, existing_parent
from pipeline.storage.urls import is_url
from utils.units import format_count, format_seconds, format_size, parse_size

if TYPE_CHECKING:
    from pipeline.inspection.plan import ClusterAsked, RunPlan
    from pipeline.planning.cluster_prediction import ClusterPrediction

MAX_LISTED = 10


def plan_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answer with tables or one JSON object; nothing is changed. Raises LogmillError where a run could not begin."""
    from pipeline.inspection.plan import make_run_plan

    plan = make_run_plan(config, arguments.options, _read_cluster(arguments))
    if answer.as_json:
        answer.give(_as_json(plan, config))
    elif not arguments.quiet:
        print_plan(plan, config, PipeConsole())
    return 0


def _read_cluster(arguments: Arguments) -> "ClusterAsked | None":
    """The cluster that the command line asks about. Raises ConfigError."""
    from pipeline.inspection.plan import ClusterAsked

    if arguments.cluster is None:
        if arguments.as_if or arguments.storage != "disk":
            raise ConfigError("--storage and --as-if are about a cluster: expected --cluster, too, such as 8x16.")
        return None
    found = re.fullmatch("([1-9][0-9]{0,5})x([1-9][0-9]{0,3})", arguments.cluster)
    if not found:
        raise ConfigError(f"--cluster is {arguments.cluster!r}: expected nodes and the cores of each, such as 8x16.")
    if arguments.storage not in ("disk", "s3"):
        raise ConfigError(f"--storage is {arguments.storage!r}: expected disk or s3.")
    try:
        size = parse_size(arguments.as_if) if arguments.as_if else None
    except ValueError as fault:
        raise ConfigError(f"--as-if: {fault}") from None
    if size == 0:
        raise ConfigError(f"--as-if is {arguments.as_if!r}: expected a size above 0.")
    return ClusterAsked(int(found[1]), int(found[2]), arguments.storage == "s3", size)


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
        **({"cluster": plan.on_cluster.as_numbers()} if plan.on_cluster else {}),
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
    tables = [("input", input_rows), ("plan", plan_rows), ("prediction", prediction_rows)]
    if plan.on_cluster:
        tables.append(("on the cluster", _cluster_rows(plan.on_cluster)))
    for title, rows in tables:
        table = new_table((title, False), ("", False))
        for name, value in rows:
            table.add_row(name, Text(value))
        console.print(table)
        console.print()
    for path, reason in sorted(plan.refused.items())[:MAX_LISTED]:
        console.say(f"would be refused: {printable(display_name(path))}: {printable(reason)}", indent="  ")
    if len(plan.refused) > MAX_LISTED:
        console.print(f"and {len(plan.refused) - MAX_LISTED:,} more that would be refused")


def _cluster_rows(predicted: "ClusterPrediction") -> list[tuple[str, str]]:
    requests = [
        ("requests", f"{predicted.reads:,} that read, {predicted.writes:,} that write"),
        ("  their price", f"about {predicted.request_dollars:,.2f} USD by list prices of S3"),
    ]
    return [
        ("splits", f"{predicted.splits:,}, and {format_count(predicted.ranges, 'range')} of ids"),
        ("time", f"{format_seconds(predicted.seconds)} on {format_count(predicted.cores, 'core')}"),
        ("  phase 1", format_seconds(predicted.phase1_seconds)),
        ("  phase 2", format_seconds(predicted.phase2_seconds)),
        ("  publish", format_seconds(predicted.publish_seconds)),
        *(requests if predicted.reads else []),
        ("driver", f"{format_size(predicted.driver_memory_bytes)}, beside SPARK_DRIVER_MEMORY"),
    ]


def _free(folder: str) -> str:
    """The free room of the disk on which a folder is or would be made; nothing for a URL."""
    if is_url(folder):
        return ""
    return f", {format_size(shutil.disk_usage(existing_parent(Path(folder))).free)} free there"
