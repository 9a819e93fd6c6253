"""The report's page and its data: complete, bounded, and harmless whatever the logs hold."""

import hashlib
import html
import json
import operator
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.publish.report import charts
from pipeline.publish.report.html import element, escape, linked, script_json, table
from pipeline.publish.report.observed import Observed
from pipeline.publish.report.page import ASSETS, render
from pipeline.publish.report.run_sections import Earlier
from pipeline.publish.report.samples import Sample, find_samples, shape
from pipeline.timing import Phase, Span
from utils.metrics import Series

EVIL = "<img src=x onerror=alert(1)>&\"'</script><!--\n\u202e"
ECHARTS_6_1_0 = "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"


def make_record(**changes: Any) -> dict[str, Any]:
    """A run of 1000 records."""
    record = {
        "run_id": "20261101T000000Z-abcdef", "version": "20261101T000000Z-abcdef", "status": "ok", "error": None,
        "engine": "polars", "engine_note": None, "output": "out", "files": 2, "refused_files": [], "skipped_files": [],
        "notes": [], "bytes_read": 100_000, "records_read": 1000, "kept": 900, "duplicates": 60,
        "duplicates_phase1": 50, "duplicates_phase2": 10, "handed_over": 930, "conflicts": 20, "rejected": 20,
        "rejected_by_reason": {"bad_quote": 5, "blank_user_id": 15}, "users": 40, "total_watch_time_min": 4500.5,
        "seconds": {"total": 4.0, "phase1": 2.0, "phase2": 1.5, "publish": 0.5}, "peak_memory_bytes": 5 * 10**8,
        "throughput_bytes_per_second": 25_000.0, "quality": [], "geo_build": "2026-06", "geo_attribution": "nobody",
        "profile": [
            {"stage": "scatter", "wall_seconds": 1.25, "cpu_seconds": 1.5, "share": 0.3125, "amount": 9, "unit": "rows"}
        ],
        "regions": [
            {"region": "Asia", "users": 30, "events": 600, "minutes": 3000.5},
            {"region": "Europe", "users": 20, "events": 300, "minutes": 1500.0},
        ],
        "plan": {"workers": 2, "split_bytes": 10**6, "buckets": 4, "bucket_rows": 10**6, "intermediate_bytes": 60_000,
                 "output_bytes": 5000, "seconds": 4.4, "phase1_seconds": 2.2, "phase2_seconds": 1.6,
                 "publish_seconds": 0.6, "peak_memory_bytes": 600_000_000},
        "settings": {"PREPROCESSING_WORKERS": 2, "MEMORY_LIMIT": 2 * 10**9, "ENGINE": "auto"},
        "ledger": [{"file": "a.csv", "bytes": 100_000, "records": 1000, "duplicates": 50, "rejected": 20}],
    }  # fmt: skip
    return record | changes


def observed(spans: int = 4) -> Observed:
    memory, done = Series(max, 0.1), Series(operator.add, 0.25)
    memory.add(0.5, 4e8)
    done.add(0.3, 1000)
    done.add(0.9, 500)
    reached = {"splits": 3, "largest_split_bytes": 9, "buckets": 4, "largest_bucket_rows": 8}
    reached |= {"intermediate_bytes": 7, "output_bytes": 6}
    tasks = [Span("read_parts", f"host:{n % 3}", 100.0 + n, 101.0 + n + n / 100) for n in range(spans)]
    return Observed(100.0, tasks, [Phase("Phase 1: read", 0.1, done)], memory, 0.05, reached)


def page(record: dict[str, Any], samples: dict | None = None, earlier: Earlier | None = None) -> str:
    return render(record, observed(), samples or {}, earlier or Earlier([]))


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_every_number_of_the_flow_is_on_the_page_and_balances() -> None:
    record = make_record()
    flow = charts.flow(record)
    into = {name: sum(n for _, to, n in flow if to == name) for name in ("handed over", "kept")}
    out_of = {name: sum(n for of, _, n in flow if of == name) for name in ("read", "handed over", "kept")}
    assert (out_of["read"], out_of["handed over"], out_of["kept"]) == (1000, 930, 900)
    assert (into["handed over"], into["kept"]) == (930, 900)
    text = page(record)
    for shown in ("1,000", "900", "4,500", "500 MB", "25 kB/s", "bad_quote", "Europe", "66.67%", "nobody (2026-06)"):
        assert shown in text, shown
    assert re.search("scatter.*1.25 s.*1.50 s.*31.25%", text, re.DOTALL)
    assert data_of(text)["rejected"] == [["blank_user_id", 15], ["bad_quote", 5]]


def test_many_regions_are_folded() -> None:
    regions = [{"region": f"C{number:03}", "users": 1, "events": 1, "minutes": 1.0} for number in range(60)]
    shown, folded = page(make_record(regions=regions)).split("all 60 regions")
    assert "C023" in shown
    assert "C024</td>" not in shown
    assert all(f"C{number:03}</td>" in folded for number in range(60))


def test_settings_are_written_as_people_write_them() -> None:
    settings = make_record()["settings"] | {"LOG_ID_COLUMN": ("id", "log_id"), "RECORD_RULES": ()}
    assert "id, log_id</td>" in page(make_record(settings=settings))
    assert "()" not in page(make_record(settings=settings)).split("every setting of this run")[1].split("</table>")[0]


def test_a_region_named_like_a_node_makes_no_circle() -> None:
    regions = [{"region": name, "users": 1, "events": 450, "minutes": 1.0} for name in ("read", "kept")]
    flow = charts.flow(make_record(regions=regions))
    assert ["kept", "@read", 450] in flow
    assert ["kept", "@kept", 450] in flow


def test_nothing_in_a_run_becomes_markup() -> None:
    evil_run = make_record(
        error=EVIL, output=EVIL, engine_note=EVIL, notes=[EVIL], skipped_files=[EVIL], status="partial",
        refused_files=[{"file": EVIL, "reason": EVIL}], rejected_by_reason={EVIL: 20}, geo_attribution=EVIL,
        regions=[{"region": EVIL, "users": 1, "events": 900, "minutes": 1.0}],
        settings=make_record()["settings"] | {"INPUT_DIR": EVIL},
        quality=[{"name": EVIL, "count": 1, "of": 2, "outcome": "fail", "limit": 0.1, "share": 0.5}],
        ledger=[{"file": EVIL, "bytes": 1, "records": 1, "duplicates": 0, "rejected": 0}],
    )  # fmt: skip
    harmless = page(make_record())
    text = page(evil_run, {EVIL: [Sample(EVIL, 1, EVIL, EVIL)]}, Earlier([evil_run | {"version": EVIL}]))
    assert text.count("<img") == harmless.count("<img")  # those of the library
    assert "\u202e" not in text
    assert text.count("<script") == harmless.count("<script")
    assert text.count("</script") == harmless.count("</script")
    assert [region for region, _ in data_of(text)["regions"]] == [EVIL]
    assert text.count(html.escape("<img src=x onerror=alert(1)>&\"'</script><!--\\n\\u202e")) >= 12


def test_the_page_is_bounded_whatever_the_run() -> None:
    long = "x" * 100_000
    names = [f"{number}{long}"[:5000] for number in range(300)]
    huge = make_record(
        refused_files=[{"file": name, "reason": long} for name in names],
        notes=names,
        skipped_files=names,
        regions=[{"region": name[:300], "users": 1, "events": 3, "minutes": 1.0} for name in names],
        rejected_by_reason=dict.fromkeys(names, 1),
        ledger=[{"file": name * 2, "bytes": 1, "records": 1, "duplicates": 0, "rejected": 0} for name in names] * 40,
    )
    samples = {name: [Sample(name, 1, "", shape(long))] * 3 for name in names}
    text = render(huge, observed(20_000), samples, Earlier([make_record()] * 1000))
    assert len(text.encode()) < 2_000_000
    data = data_of(text)
    assert len(data["timeline"]["spans"]) == charts.MOST_SPANS
    assert data["timeline"]["left_out"] == 20_000 - charts.MOST_SPANS
    assert sum(minutes for _, minutes in data["regions"]) == 300
    assert len(data["history"]) == charts.MOST_RUNS
    assert "and 11,800 more, see run.json" in text


def test_times_and_paces() -> None:
    drawn = charts.timeline(make_record(), observed())
    assert drawn["phases"] == [["phase 1", 0.0, 2.0], ["phase 2", 2.0, 3.5], ["publish", 3.5, 4.0]]
    assert (drawn["workers"], drawn["stages"]) == (3, ["read"])
    assert sorted(drawn["spans"])[:2] == [[0, 0.0, 1.0, 0], [0, 3.0, 4.03, 0]]
    speed = charts.speed(make_record(), observed())
    assert speed["memory"] == [[0.55, 4e8]]
    assert speed["paces"] == [
        {"name": "Phase 1: read", "rows": False, "points": [[0.25, 4000], [0.5, 0], [0.75, 2000], [1.0, 2000]]}
    ]


def test_runs_are_compared_with_the_ones_before() -> None:
    text = page(make_record(kept=990), earlier=Earlier([make_record(version="v1")]))
    assert "+10.0%" in text
    assert "(this run)" in text
    assert "this is the first version" in page(make_record())
    assert "damaged record" in page(make_record(), earlier=Earlier([], "damaged record"))


def test_a_run_without_records_has_a_page() -> None:
    counts = dict.fromkeys(("records_read", "kept", "duplicates", "duplicates_phase1", "duplicates_phase2"), 0)
    rest = dict.fromkeys(("handed_over", "conflicts", "rejected", "bytes_read", "users"), 0)
    empty = make_record(**counts, **rest, rejected_by_reason={}, regions=[], ledger=[], total_watch_time_min=0.0)
    nothing = Observed(0.0, [], [], Series(max, 0.1), 0.0, observed().reached)
    text = render(empty, nothing, {}, Earlier([empty]))
    assert data_of(text)["flow"] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12,5", "99,9"),
        ("-5", "-9"),
        ("NaN", "NaN"),
        ("null", "null"),
        ("user_17@example.org", "xxxx_99@xxxxxxx.xxx"),
        ("Ünïcödé ٣", "xxxxxxx 9"),
        ("a\x00\u202eb", "x\\x00\\u202ex"),
        ("1" * 101, "9" * 100 + "…"),
    ],
)
def test_samples_show_shapes_only(text: str, expected: str) -> None:
    assert shape(text) == expected


def test_samples_are_the_first_of_each_reason(tmp_path: Path) -> None:
    rows = [
        {"file": "f", "line": n, "reason": "a", "column": "c", "value": f"v{n}", "raw": b"secret"}
        if n % 100
        else {"file": "f", "line": n, "reason": "b", "raw": b"id-1,\xff9\n"}
        for n in range(1000)
    ]
    path = tmp_path / "rejected.parquet"
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=64)
    found = find_samples(path, {"a": 990, "b": 10})
    assert found["a"] == [Sample("f", n, "c", "x9") for n in (1, 2, 3)]
    assert found["b"] == [Sample("f", n, "", "xx-9,\ufffd9\\n") for n in (0, 100, 200)]


def test_a_blank_value_is_told_from_none() -> None:
    samples = {"blank_user_id": [Sample("f", 1, "user_id", " "), Sample("f", 2, "user_id", "")]}
    text = page(make_record(), samples)
    assert "f:1 user_id <code>(blank)</code>" in text
    assert "f:2 user_id <code>(empty)</code>" in text


def test_markup() -> None:
    assert escape(1234567) == "1,234,567"
    assert escape(element("b", "<")) == "<b>&lt;</b>"
    assert linked("by X (https://x.org/a), <y>").text == (
        'by X (<a href="https://x.org/a" rel="noreferrer">https://x.org/a</a>), &lt;y&gt;'
    )
    assert json.loads(script_json({EVIL: EVIL})) == {EVIL: EVIL}
    assert not set("<>&\n") & set(script_json({EVIL: EVIL}))
    with pytest.raises(ValueError, match="zip"):
        table(["one"], [("a", "b")])


def test_the_chart_library_is_the_release_that_it_says() -> None:
    assert hashlib.sha256((ASSETS / "echarts.min.js").read_bytes()).hexdigest() == ECHARTS_6_1_0
    notice = (Path(__file__).parents[4] / "NOTICE").read_text(encoding="utf-8")
    assert ECHARTS_6_1_0 in notice
