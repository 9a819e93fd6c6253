"""The data of the charts, against sums by hand."""

import importlib
import pkgutil
from types import FunctionType, ModuleType

import pytest

import pipeline.aggregate
import pipeline.preprocess
import pipeline.publish
import pipeline.reading
from pipeline.publish.report import charts
from pipeline.publish.report.observed import Observed
from pipeline.timing import Span
from tests.pipeline.publish.report.records import make_observed, make_record
from utils.metrics import Series


def test_what_flows_into_a_node_flows_out_of_it() -> None:
    flow = charts.flow(make_record())
    out_of = {name: sum(n for of, _, n in flow if of == name) for name in ("records read", "kept")}
    assert out_of == {"records read": 1000, "kept": 900}
    assert sum(n for _, to, n in flow if to == "kept") == 900
    assert {to: n for of, to, n in flow if of == "records read"} == {
        "kept": 900, "duplicates": 60, "conflicts": 20, "rejected": 20,
    }  # fmt: skip


def test_a_step_without_records_is_left_out() -> None:
    flow = charts.flow(make_record(conflicts=0, rejected=0))
    assert not [step for step in flow if step[1] in ("conflicts", "rejected")]


def test_a_region_named_like_a_node_makes_no_circle() -> None:
    regions = [{"region": name, "users": 1, "events": 450, "minutes": 1.0} for name in ("read", "kept")]
    flow = charts.flow(make_record(regions=regions))
    assert ["kept", "@read", 450] in flow
    assert ["kept", "@kept", 450] in flow


def test_times_and_paces() -> None:
    drawn = charts.chart_data(make_record(), make_observed(), [])["time"]
    assert drawn["phases"] == [("phase 1: read", 0.0, 2.0), ("phase 2: add up", 2.0, 3.5), ("publish", 3.5, 4.0)]
    assert drawn["end"] == 4.0
    assert (drawn["workers"], [name for name, _ in drawn["stages"]]) == (3, ["read"])
    assert sorted(drawn["spans"])[:2] == [[0, 0.0, 1.0, 0], [0, 3.0, 4.03, 0]]
    assert drawn["memory"] == [[0.55, 4e8]]
    assert drawn["paces"] == [
        {"name": "Phase 1: read", "rows": False, "points": [[0.25, 4000], [0.5, 0], [0.75, 2000], [1.0, 2000]]}
    ]


def test_what_is_prepared_once_comes_before_the_phases() -> None:
    seconds = {"total": 10.0, "phase1": 2.0, "phase2": 1.5, "publish": 0.5}
    found = charts.phases(make_record(seconds=seconds, prepare_seconds=6.0))
    assert found[:2] == [("prepare", 0.0, 6.0), ("phase 1: read", 6.0, 8.0)]
    assert found[-1][2] == 10.0
    on_cluster = charts.phases(make_record(seconds=seconds, start_seconds=6.0))
    assert on_cluster == [("cluster start", 0.0, 6.0), *found[1:]]


def regions_of(events: list[int]) -> dict[str, object]:
    regions = [{"region": f"r{n}", "users": 1, "events": number, "minutes": 1.0} for n, number in enumerate(events)]
    return make_record(regions=regions, kept=sum(events))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], []),
        ([5], [("r0", 5)]),
        ([990, 9], [("r0", 990), ("r1", 9)]),  # a single small region keeps its name
        ([970, 9, 9, 12], [("r0", 970), ("r3", 12), ("2 other regions", 18)]),
        ([100] * 8, [(f"r{n}", 100) for n in range(8)]),
        ([100] * 9, [(f"r{n}", 100) for n in range(9)]),
        ([100] * 20, [*((f"r{n}", 100) for n in range(8)), ("12 other regions", 1200)]),
    ],
)
def test_small_regions_are_folded_in_the_flow(events: list[int], expected: list[tuple[str, int]]) -> None:
    assert charts.flow_regions(regions_of(events)) == expected


def test_the_most_frequent_reason_is_first_and_equal_ones_are_in_order() -> None:
    counts = {"b": 2, "c": 9, "a": 2, "d" * 200: 1}
    assert charts.reasons(make_record(rejected_by_reason=counts)) == [("c", 9), ("a", 2), ("b", 2), ("d" * 200, 1)]


def test_the_longest_tasks_are_drawn_and_workers_are_numbered_by_their_first_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(charts, "MOST_SPANS", 2)
    spans = [
        Span("write_files", "b", 105.0, 106.0),
        Span("own_kernel", "a", 102.0, 102.5),
        Span("read_parts", "c", 99.0, 104.0),
    ]
    observed = Observed(100.0, spans, [], Series(max, 0.1), 0.0, {})
    found = charts.timeline(make_record(), observed)
    assert (found["workers"], found["left_out"]) == (3, 1)
    assert [name for name, _ in found["stages"]] == ["read", "write the result", "own_kernel"]
    assert found["spans"] == [[0, 0.0, 4.0, 0], [2, 5.0, 6.0, 1]]


def test_what_workers_do_has_a_colour_of_its_own_and_the_same_in_every_report() -> None:
    tasks = [Span(kernel, "a", 1.0, 2.0) for kernel in charts.STAGES]
    both = [charts.stages_of(Observed(0.0, part, [], Series(max, 0.1), 0.0, {})) for part in (tasks, tasks[-1:])]
    assert both[0][-1] == both[1][0]
    assert len({color % 8 for _, color in both[0]}) == len(both[0])


def test_earlier_runs_are_points_of_shares_the_latest_last() -> None:
    ids = [f"20261107T0903{n:02}Z-abcdef" for n in range(40)]
    earlier = [make_record(run_id=name, records_read=0 if name == ids[39] else 500) for name in ids]
    history = charts.chart_data(make_record(run_id="by hand"), make_observed(), earlier)["history"]
    assert [point["label"] for point in history] == [*["7 Nov 09:03"] * 29, "by hand"]
    shares = {"rejected": 0.04, "duplicates": 0.12, "conflicts": 0.04}
    assert history[0] == {"label": "7 Nov 09:03", "speed": 25_000.0} | shares
    assert history[-2] == {"label": "7 Nov 09:03", "speed": 25_000.0} | dict.fromkeys(shares, 0.0)


def functions_below(package: ModuleType) -> dict[str, FunctionType]:
    modules = [
        importlib.import_module(found.name) for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    }


def test_every_kernel_of_a_run_has_a_name_on_the_page() -> None:
    functions: dict[str, FunctionType] = {}
    for package in (pipeline.reading, pipeline.preprocess, pipeline.aggregate, pipeline.publish):
        functions |= functions_below(package)
    kernels = {name for name, function in functions.items() if hasattr(function, "stage")}
    assert kernels <= set(charts.STAGES)
    assert set(charts.STAGES) <= set(functions), "a kernel has another name now"
