"""The data of the report's charts: plain values for JSON, bounded whatever the size of the run."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.publish.report.observed import Observed

Record = Mapping[str, Any]
"""A run as ``run.json`` has it."""
MOST_SPANS = 4000
MOST_REGIONS = 24
MOST_REASONS = 24
MOST_RUNS = 30
STAGES = {
    "expand": "expand",
    "read_parts": "read",
    "preprocess": "read again",
    "find_cross_bucket_ids": "find copies",
    "aggregate": "add up",
    "decide_cross_bucket": "settle copies",
    "find_affected_ids": "find changed ids",
    "pick_rows": "pick changed ids",
    "collect": "add changes up",
    "decide_changes": "settle changed ids",
    "apply_changes": "apply changes",
    "correct": "settle copies",
    "write_files": "write result",
    "fetch_conflicts": "fetch conflicts",
}
"""What each kernel is called on the page; one without a name shows its own."""


def chart_data(record: Record, observed: Observed, earlier: Sequence[Record]) -> dict[str, Any]:
    """Everything that the page draws, by the name of the chart."""
    return {
        "flow": flow(record),
        "timeline": timeline(record, observed),
        "speed": speed(record, observed),
        "regions": [[region["region"], region["minutes"]] for region in top_regions(record)],
        "rejected": [[reason[:80], count] for reason, count in reasons(record)[:MOST_REASONS]],
        "history": [_run_point(run) for run in [*earlier[-MOST_RUNS + 1 :], record]],
    }


def flow(record: Record) -> list[list[Any]]:
    """Records from node to node, [from, to, how many]; regions begin with @, because one may be named ``read``."""
    steps = [
        ["read", "rejected", record["rejected"]],
        ["read", "duplicates, phase 1", record["duplicates_phase1"]],
        ["read", "handed over", record["handed_over"]],
        ["handed over", "duplicates, phase 2", record["duplicates_phase2"]],
        ["handed over", "conflicts", record["conflicts"]],
        ["handed over", "kept", record["kept"]],
        *(["kept", f"@{region['region']}", region["events"]] for region in top_regions(record)),
    ]
    return [step for step in steps if step[2]]


def top_regions(record: Record) -> list[dict[str, Any]]:
    """The most watched regions; where there are more than fit, one stands for the others."""
    regions = list(record["regions"])
    if len(regions) <= MOST_REGIONS:
        return regions
    rest = regions[MOST_REGIONS - 1 :]
    sums = {name: sum(region[name] for region in rest) for name in ("events", "minutes")}
    return [*regions[: MOST_REGIONS - 1], {"region": f"{len(rest)} others", "users": None, **sums}]


def reasons(record: Record) -> list[tuple[str, int]]:
    """Why records were rejected, the most frequent reason first."""
    return sorted(record["rejected_by_reason"].items(), key=lambda item: (-item[1], item[0]))


def timeline(record: Record, observed: Observed) -> dict[str, Any]:
    """The longest tasks as [worker, begin, end, stage], workers by number; and the phases as [name, begin, end]."""
    workers: dict[str, int] = {}
    for span in sorted(observed.spans, key=lambda span: span.begin):
        workers.setdefault(span.worker, len(workers))
    longest = heapq.nlargest(MOST_SPANS, observed.spans, key=lambda span: span.end - span.begin)
    stages = [STAGES.get(span.stage, span.stage) for span in longest]
    names = list(dict.fromkeys([*STAGES.values(), *stages]))
    names = [name for name in names if name in stages]
    phases, at = [], 0.0
    for name, key in (("phase 1", "phase1"), ("phase 2", "phase2"), ("publish", "publish")):
        phases.append([name, round(at, 3), round(at + record["seconds"][key], 3)])
        at += record["seconds"][key]
    return {
        "workers": len(workers),
        "left_out": len(observed.spans) - len(longest),
        "stages": names,
        "phases": phases,
        "spans": [
            [
                workers[span.worker],
                round(max(0.0, span.begin - observed.begin), 3),
                round(max(0.0, span.end - observed.begin), 3),
                names.index(stage),
            ]
            for span, stage in zip(longest, stages, strict=True)
        ],
    }


def speed(record: Record, observed: Observed) -> dict[str, Any]:
    """Memory as [second, bytes], and each phase's pace as [second, bytes or rows a second]."""
    paces = []
    for phase in observed.phases:
        step = phase.done.step_seconds
        points = dict(phase.done.points())
        if points:
            steps = range(round(min(points) / step), round(max(points) / step) + 1)
            drawn = [[n * step, round(points.get(n * step, 0.0) / step)] for n in steps]
            drawn.append([steps.stop * step, drawn[-1][1]])  # where the last step ends
            paces.append({"name": phase.name, "rows": phase.name.startswith("Phase 2"), "points": drawn})
    return {
        "memory": [[round(at + observed.memory_begin, 2), value] for at, value in observed.memory.points()],
        "limit": record["settings"]["MEMORY_LIMIT"],
        "paces": paces,
        "end": round(record["seconds"]["total"], 2),
    }


def _run_point(run: Record) -> dict[str, Any]:
    read = run["records_read"]
    return {
        "version": run.get("version", ""),
        "speed": run["throughput_bytes_per_second"],
        "rejected": run["rejected"] / read if read else 0.0,
        "duplicates": run["duplicates"] / read if read else 0.0,
        "conflicts": run["conflicts"] / read if read else 0.0,
    }
