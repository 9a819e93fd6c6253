"""The data of the report's charts: plain values for JSON, of limited size however large the run is."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.publish.report.observed import Observed

Record = Mapping[str, Any]
"""A run as ``run.json`` holds it."""
MOST_SPANS = 4000
MOST_REGIONS = 24
MOST_REASONS = 24
MOST_RUNS = 30
STAGES = {
    "expand": "expand",
    "read_parts": "read",
    "find_repeated_ids": "find copies",
    "aggregate": "add up",
    "decide_cross_bucket": "settle copies",
    "find_affected_ids": "find changed ids",
    "fetch_marks": "fetch contents",
    "compare_copies": "compare contents",
    "pick_rows": "pick changed ids",
    "decide_changes": "settle changed ids",
    "apply_changes": "apply changes",
    "correct": "settle copies",
    "write_partition": "write totals",
    "write_files": "write result",
    "copy_rejected": "write rejected",
    "keep_conflicts": "keep conflicts",
    "fetch_conflicts": "fetch conflicts",
}
"""Names of the kernels on the page; a kernel that is not among them has its own name there."""


def chart_data(record: Record, observed: Observed, earlier: Sequence[Record]) -> dict[str, Any]:
    """The data of every chart, by the chart's name; ``earlier``: runs before this one, the oldest first."""
    return {
        "flow": flow(record),
        "timeline": timeline(record, observed),
        "speed": speed(record, observed),
        "regions": [[region["region"], region["minutes"]] for region in top_regions(record)],
        "rejected": [[reason[:80], count] for reason, count in reasons(record)[:MOST_REASONS]],
        "history": [_run_point(run) for run in [*earlier[-MOST_RUNS + 1 :], record]],
    }


def flow(record: Record) -> list[list[Any]]:
    """How many records go from node to node: [from, to, records].

    Names of regions begin with @, because a region may be named like a node.
    """
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
    """The most watched regions; where there are more than ``MOST_REGIONS``, the last entry is the sum of the rest."""
    regions = list(record["regions"])
    if len(regions) <= MOST_REGIONS:
        return regions
    rest = regions[MOST_REGIONS - 1 :]
    sums = {name: sum(region[name] for region in rest) for name in ("events", "minutes")}
    return [*regions[: MOST_REGIONS - 1], {"region": f"{len(rest)} others", "users": None, **sums}]


def reasons(record: Record) -> list[tuple[str, int]]:
    """(reason, records) of the rejected records, the most frequent reason first."""
    return sorted(record["rejected_by_reason"].items(), key=lambda item: (-item[1], item[0]))


def timeline(record: Record, observed: Observed) -> dict[str, Any]:
    """When the tasks and phases of the run were, in seconds from its begin.

    ============  ==========================================================================
    ``workers``   how many there were; they are numbered in the order of their first tasks
    ``stages``    names of the kernels, in the order of the data path
    ``phases``    [name, begin, end]
    ``spans``     the longest tasks: [worker, begin, end, index in ``stages``]
    ``left_out``  how many shorter tasks there were
    ============  ==========================================================================
    """
    workers: dict[str, int] = {}
    for span in sorted(observed.spans, key=lambda span: span.begin):
        workers.setdefault(span.worker, len(workers))
    longest = heapq.nlargest(MOST_SPANS, observed.spans, key=lambda span: span.end - span.begin)
    stages = [STAGES.get(span.stage, span.stage) for span in longest]
    names = list(dict.fromkeys([*STAGES.values(), *stages]))
    names = [name for name in names if name in stages]
    phases, begin = [], 0.0
    for name, key in (("phase 1", "phase1"), ("phase 2", "phase2"), ("publish", "publish")):
        end = begin + record["seconds"][key]
        phases.append([name, round(begin, 3), round(end, 3)])
        begin = end
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
    """Memory as [second, bytes]; the pace of each phase as [second, bytes or rows per second], in steps."""
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
        "memory": [[round(time + observed.memory_begin, 2), value] for time, value in observed.memory.points()],
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
