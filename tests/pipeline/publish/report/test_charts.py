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
    into = {name: sum(n for _, to, n in flow if to == name) for name in ("handed over", "kept")}
    out_of = {name: sum(n for of, _, n in flow if of == name) for name in ("read", "handed over", "kept")}
    assert (out_of["read"], out_of["handed over"], out_of["kept"]) == (1000, 930, 900)
    assert (into["handed over"], into["kept"]) == (930, 900)


def test_a_step_without_records_is_left_out() -> None:
    flow = charts.flow(make_record(conflicts=0, rejected=0))
    assert not [step for step in flow if step[1] in ("conflicts", "rejected")]


def test_a_region_named_like_a_node_makes_no_circle() -> None:
    regions = [{"region": name, "users": 1, "events": 450, "minutes": 1.0} for name in ("read", "kept")]
    flow = charts.flow(make_record(regions=regions))
    assert ["kept", "@read", 450] in flow
    assert ["kept", "@kept", 450] in flow


def test_times_and_paces() -> None:
    drawn = charts.timeline(make_record(), make_observed())
    assert drawn["phases"] == [["phase 1", 0.0, 2.0], ["phase 2", 2.0, 3.5], ["publish", 3.5, 4.0]]
    assert (drawn["workers"], drawn["stages"]) == (3, ["read"])
    assert sorted(drawn["spans"])[:2] == [[0, 0.0, 1.0, 0], [0, 3.0, 4.03, 0]]
    speed = charts.speed(make_record(), make_observed())
    assert speed["memory"] == [[0.55, 4e8]]
    assert speed["paces"] == [
        {"name": "Phase 1: read", "rows": False, "points": [[0.25, 4000], [0.5, 0], [0.75, 2000], [1.0, 2000]]}
    ]


@pytest.mark.parametrize("number", [0, 1, charts.MOST_REGIONS, charts.MOST_REGIONS + 1, 60])
def test_regions_are_the_most_watched_ones_and_the_sum_of_the_rest(number: int) -> None:
    regions = [{"region": f"r{n}", "users": 1, "events": n + 1, "minutes": 1000 - n} for n in range(number)]
    top = charts.top_regions(make_record(regions=regions))
    assert len(top) == min(len(regions), charts.MOST_REGIONS)
    for name in ("events", "minutes"):
        assert sum(region[name] for region in top) == sum(region[name] for region in regions)
    if len(regions) <= charts.MOST_REGIONS:
        assert top == regions
    else:
        assert top[:-1] == regions[: charts.MOST_REGIONS - 1]
        assert top[-1]["region"] == f"{len(regions) - charts.MOST_REGIONS + 1} others"


def test_the_most_frequent_reason_is_first_and_equal_ones_are_in_order() -> None:
    counts = {"b": 2, "c": 9, "a": 2, "d" * 200: 1}
    assert charts.reasons(make_record(rejected_by_reason=counts)) == [("c", 9), ("a", 2), ("b", 2), ("d" * 200, 1)]
    data = charts.chart_data(make_record(rejected_by_reason=counts), make_observed(), [])
    assert data["rejected"] == [["c", 9], ["a", 2], ["b", 2], ["d" * 80, 1]]


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
    assert found["stages"] == ["read", "write result"]
    assert found["spans"] == [[0, 0.0, 4.0, 0], [2, 5.0, 6.0, 1]]
    monkeypatch.setattr(charts, "MOST_SPANS", 3)
    assert charts.timeline(make_record(), observed)["stages"] == ["read", "write result", "own_kernel"]


def test_earlier_runs_are_points_of_shares_the_latest_last() -> None:
    earlier = [make_record(version=f"v{n}", records_read=0 if n == 39 else 500) for n in range(40)]
    history = charts.chart_data(make_record(version="now"), make_observed(), earlier)["history"]
    assert [point["version"] for point in history] == [*(f"v{n}" for n in range(11, 40)), "now"]
    assert history[0] == {"version": "v11", "speed": 25_000.0, "rejected": 0.04, "duplicates": 0.12, "conflicts": 0.04}
    assert history[-2] == {"version": "v39", "speed": 25_000.0, "rejected": 0.0, "duplicates": 0.0, "conflicts": 0.0}


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
