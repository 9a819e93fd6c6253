"""The report's page: complete, of bounded size, and harmless whatever the logs hold."""

import hashlib
import html
import re
from pathlib import Path

from pipeline.publish.report import charts
from pipeline.publish.report.observed import Observed
from pipeline.publish.report.page import ASSETS, render
from pipeline.publish.report.run_sections import Earlier
from pipeline.publish.report.samples import Sample, shape
from tests.pipeline.publish.report.records import EVIL, data_of, make_observed, make_record, page
from utils.metrics import Series

ECHARTS_6_1_0 = "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"


def test_the_numbers_of_a_run_are_on_its_page() -> None:
    record = make_record()
    text = page(record)
    for figure in (
        "1,000",
        "900",
        "4,500",
        "500 MB",
        "25 kB a second",
        "bad_quote",
        "Europe",
        "66.67%",
        "nobody (2026-06)",
    ):
        assert figure in text, figure
    assert re.search("scatter.*1.25 s.*1.50 s.*31.25%", text, re.DOTALL)


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
    assert ["kept", f"@{EVIL}", 900] in data_of(text)["flow"]
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
    text = render(huge, make_observed(20_000), samples, Earlier([make_record()] * 1000))
    assert len(text.encode()) < 2_000_000
    data = data_of(text)
    assert len(data["time"]["spans"]) == charts.MOST_SPANS
    assert data["time"]["left_out"] == 20_000 - charts.MOST_SPANS
    assert sum(records for of, _, records in data["flow"] if of == "kept") == 900
    assert len(data["history"]) == charts.MOST_RUNS
    assert "and 11,800 more, see run.json" in text


def test_a_run_without_records_has_a_page() -> None:
    counts = dict.fromkeys(("records_read", "kept", "duplicates", "duplicates_phase1", "duplicates_phase2"), 0)
    rest = dict.fromkeys(("handed_over", "conflicts", "rejected", "bytes_read", "users"), 0)
    empty = make_record(**counts, **rest, rejected_by_reason={}, regions=[], ledger=[], total_watch_time_min=0.0)
    nothing = Observed(0.0, [], [], Series(max, 0.1), 0.0, make_observed().reached)
    text = render(empty, nothing, {}, Earlier([empty]))
    assert data_of(text)["flow"] == []


def test_the_chart_library_is_the_release_that_it_says() -> None:
    assert hashlib.sha256((ASSETS / "echarts.min.js").read_bytes()).hexdigest() == ECHARTS_6_1_0
    notice = (Path(__file__).parents[4] / "NOTICE").read_text(encoding="utf-8")
    assert ECHARTS_6_1_0 in notice
