"""The data of the report's charts: plain values for JSON, of limited size however large the run is."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.publish.report.html import moment_of
from pipeline.publish.report.observed import Observed
from utils.units import format_moment_shortly

Record = Mapping[str, Any]
"""A run as ``run.json`` holds it."""
MOST_SPANS = 4000
MOST_FLOW_REGIONS = 8
SMALL_REGION = 0.01
"""Share of the events below which a region has no node of its own in the flow."""
MOST_RUNS = 30
STAGES = {
    "expand": "expand compressed files",
    "read_parts": "read",
    "join_indexes": "join id indexes",
    "find_repeated_ids": "find copies",
    "find_affected_ids": "find copies",
    "pick_rows": "find copies",
    "fetch_marks": "decide which copy counts",
    "compare_copies": "decide which copy counts",
    "decide_cross_bucket": "decide which copy counts",
    "decide_changes": "decide which copy counts",
    "correct": "decide which copy counts",
    "aggregate": "add up",
    "apply_changes": "add up",
    "write_partition": "write the result",
    "write_files": "write the result",
    "copy_rejected": "write rejected records and conflicts",
    "keep_conflicts": "write rejected records and conflicts",
    "fetch_conflicts": "write rejected records and conflicts",
}
"""What the kernels do, in the order of the data path; a kernel that is not among them has its own name there."""
BEFORE = {"prepare": "prepare", "start": "cluster start"}
"""Names on the page of what some runs take before their phases, by the beginning of its name in the record."""
PHASES = {"phase1": "phase 1: read", "phase2": "phase 2: add up", "publish": "publish"}
"""Names on the page of phases, by the names in ``seconds`` of the record."""


def chart_data(record: Record, observed: Observed, earlier: Sequence[Record]) -> dict[str, Any]:
    """The data of every chart, by the chart's name; ``earlier``: runs before this one, the oldest first."""
    return {
        "flow": flow(record),
        "time": timeline(record, observed) | speed(record, observed),
        "history": [_run_point(run) for run in [*earlier[-MOST_RUNS + 1 :], record]],
    }


def flow(record: Record) -> list[list[Any]]:
    """How many records go from node to node: [from, to, records].

    Names of regions begin with @, because a region may be named like a node.
    """
    steps = [
        ["records read", "kept", record["kept"]],
        *(["kept", f"@{name}", events] for name, events in flow_regions(record)),
        *(["records read", name, record[name]] for name in ("duplicates", "conflicts", "rejected")),
    ]
    return [step for step in steps if step[2]]


def flow_regions(record: Record) -> list[tuple[str, int]]:
    """(region, events) of the most watched regions, then the sum of the other ones."""
    regions = [(region["region"], region["events"]) for region in record["regions"]]
    shown = [region for region in regions if region[1] >= SMALL_REGION * record["kept"]][:MOST_FLOW_REGIONS]
    rest = [region for region in regions if region not in shown]
    if len(rest) < 2:
        return [*shown, *rest]
    return [*shown, (f"{len(rest)} other regions", sum(events for _, events in rest))]


def reasons(record: Record) -> list[tuple[str, int]]:
    """(reason, records) of the rejected records, the most frequent reason first."""
    return sorted(record["rejected_by_reason"].items(), key=lambda item: (-item[1], item[0]))


def timeline(record: Record, observed: Observed) -> dict[str, Any]:
    """When the tasks and phases of the run were, in seconds from its begin.

    ============  ==========================================================================
    ``end``       when the run ended: the end of the time axis of all panels
    ``workers``   how many there were; they are numbered in the order of their first tasks
    ``stages``    [what the kernels do, number of its colour], in the order of the data path
    ``phases``    [name, begin, end]
    ``spans``     the longest tasks: [worker, begin, end, index in ``stages``]
    ``left_out``  how many shorter tasks there were
    ============  ==========================================================================
    """
    workers: dict[str, int] = {}
    for span in sorted(observed.spans, key=lambda span: span.begin):
        workers.setdefault(span.worker, len(workers))
    longest = heapq.nlargest(MOST_SPANS, observed.spans, key=lambda span: span.end - span.begin)
    stages = stages_of(observed)
    places = {name: place for place, (name, _) in enumerate(stages)}
    return {
        "end": round(record["seconds"]["total"], 3),
        "workers": len(workers),
        "left_out": len(observed.spans) - len(longest),
        "stages": stages,
        "phases": phases(record),
        "spans": [
            [
                workers[span.worker],
                round(max(0.0, span.begin - observed.begin), 3),
                round(max(0.0, span.end - observed.begin), 3),
                places[STAGES.get(span.stage, span.stage)],
            ]
            for span in longest
        ],
    }


def stages_of(observed: Observed) -> list[tuple[str, int]]:
    """(What the tasks of a run did, number of its colour), in the order of the data path."""
    found = {STAGES.get(span.stage, span.stage) for span in observed.spans}
    names = list(dict.fromkeys([*STAGES.values(), *sorted(found)]))
    return [(name, color) for color, name in enumerate(names) if name in found]


def phases(record: Record) -> list[tuple[str, float, float]]:
    """(name, begin, end) of each phase, in seconds from the begin of the run. What comes before them comes first."""
    spent = [(name, seconds_before(record, key)) for key, name in BEFORE.items() if seconds_before(record, key)]
    spent += [(name, record["seconds"][key]) for key, name in PHASES.items()]
    found, begin = [], 0.0
    for name, seconds in spent:
        end = begin + seconds
        found.append((name, round(begin, 3), round(end, 3)))
        begin = end
    return found


def seconds_before(record: Record, key: str) -> float:
    """What a run took before its phases, by a name of ``BEFORE``; records of earlier releases may have none."""
    return float(record.get(f"{key}_seconds", 0.0))


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
    }


def _run_point(run: Record) -> dict[str, Any]:
    read = run["records_read"]
    return {
        "label": moment_of(run["run_id"], format_moment_shortly),
        "speed": run["throughput_bytes_per_second"],
        "rejected": run["rejected"] / read if read else 0.0,
        "duplicates": run["duplicates"] / read if read else 0.0,
        "conflicts": run["conflicts"] / read if read else 0.0,
    }
