"""A record of a run and what was observed of it, made by hand, and the page of it."""

import json
import operator
import re
from typing import Any

from pipeline.publish.report.observed import Observed
from pipeline.publish.report.page import render
from pipeline.publish.report.run_sections import Earlier
from pipeline.publish.report.samples import Sample
from pipeline.timing import Phase, Span
from utils.metrics import Series

EVIL = "<img src=x onerror=alert(1)>&\"'</script><!--\n\u202e"


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


def make_observed(spans: int = 4) -> Observed:
    """Tasks of a second and more, one each second, on three workers."""
    memory, done = Series(max, 0.1), Series(operator.add, 0.25)
    memory.add(0.5, 4e8)
    done.add(0.3, 1000)
    done.add(0.9, 500)
    reached = {"splits": 3, "largest_split_bytes": 9, "buckets": 4, "largest_bucket_rows": 8}
    reached |= {"intermediate_bytes": 7, "output_bytes": 6}
    tasks = [Span("read_parts", f"host:{n % 3}", 100.0 + n, 101.0 + n + n / 100) for n in range(spans)]
    return Observed(100.0, tasks, [Phase("Phase 1: read", 0.1, done)], memory, 0.05, reached)


def page(record: dict[str, Any], samples: dict[str, list[Sample]] | None = None, earlier: Earlier | None = None) -> str:
    """The page of a record."""
    return render(record, make_observed(), samples or {}, earlier or Earlier([]))


def data_of(text: str) -> dict[str, Any]:
    """The data of the charts on a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data
