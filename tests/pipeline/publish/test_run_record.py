"""run.json and geo.json as a program reads them, and the log's events of files."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.geo.table import GeoSource
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.result import RefusedFile, RunResult
from pipeline.publish.run_record import counts_for_the_next, ledger_entry, log_files, write_geo, write_run_record
from pipeline.publish.tasks import RegionTotal
from pipeline.quality import Gate, QualityResult
from pipeline.timing import StageTime
from tests.pipeline.publish.runs import Calls, make_ledger

LEDGER = make_ledger(
    "logs/a.csv",
    handed_over=5,
    duplicates=2,
    blank_lines=4,
    rejected_by_reason={"wrong_field_count": 1, "bad_quote": 2},
    file_hash="abc",
)
ENTRY = {
    "file": "logs/a.csv",
    "bytes": 1000,
    "bytes_on_disk": 1000,
    "content_hash": "abc",
    "splits": 1,
    "records": 10,
    "duplicates": 2,
    "handed_over": 5,
    "rejected": 3,
    "rejected_by_reason": {"bad_quote": 2, "wrong_field_count": 1},
    "blank_lines": 4,
    "preamble_lines": 0,
    "unreadable_timestamps": 0,
    "columns": ["log_id", "user_id", "ip_address", "watch_time(min)"],
}


def test_the_ledger_of_a_file() -> None:
    assert ledger_entry(LEDGER) == ENTRY
    assert list(ledger_entry(LEDGER)["rejected_by_reason"]) == ["bad_quote", "wrong_field_count"]  # type: ignore[call-overload]
    assert ledger_entry(make_ledger("empty.csv", header=None))["columns"] == []


def test_a_record_has_the_result_and_what_is_not_in_it(tmp_path: Path) -> None:
    result = RunResult(
        "r1", "partial", "polars", "out", version="v1", geo_build="2026-11", geo_attribution="me", engine_note="auto",
        notes=("a note",), skipped_files=("README.md",), top_regions=(RegionTotal("Asia", 1, 2, 3.5),),
        profile=(StageTime("parse", 1.0, 2.0, 1.0, 10, "bytes"),), plan={"workers": 2},
        quality=(QualityResult("rejected", 1, 4, "warn", 0.1),), refused_files=(RefusedFile("b.csv", "no header"),),
    )  # fmt: skip
    settings: dict[str, object] = {"QUALITY_GATES": (Gate("rejected", 0.1),), "INPUT_DIR": "Ünicode"}
    returned = write_run_record(tmp_path, result, Phase1Result((LEDGER,)), settings)
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert '"Ünicode"' in text
    record: dict[str, Any] = json.loads(text)
    beside = {
        "geo_build": "2026-11",
        "geo_attribution": "me",
        "regions": [{"region": "Asia", "users": 1, "events": 2, "minutes": 3.5}],
        "profile": [
            {"stage": "parse", "wall_seconds": 1.0, "cpu_seconds": 2.0, "share": 1.0, "amount": 10, "unit": "bytes"}
        ],
        "prepare_seconds": 0.0,
        "start_seconds": 0.0,
        "settings": {
            "QUALITY_GATES": [{"name": "rejected", "warn": 0.1, "fail": None}],
            "INPUT_DIR": "Ünicode",
        },
        "ledger": [ENTRY],
    }
    assert {name: record[name] for name in beside} == beside
    assert {name: value for name, value in record.items() if name not in beside} == json.loads(
        json.dumps(result.to_json())
    )
    assert list(returned) == list(record)


def test_the_recipe_of_the_geo_table_is_written_with_the_names(tmp_path: Path) -> None:
    source = GeoSource("db.mmdb", "region", (("CN", "Asia"),), False, "digest")
    write_geo(tmp_path, SimpleNamespace(names=("Asia", "Ö"), source=source))  # type: ignore[arg-type]
    record = json.loads((tmp_path / "geo.json").read_text(encoding="utf-8"))
    assert record["names"] == ["Asia", "Ö"]
    again = GeoSource(**(record["source"] | {"regions": tuple(map(tuple, record["source"]["regions"]))}))
    assert again == source


@pytest.mark.parametrize(("buckets", "more"), [(16, {"buckets": 16}), (None, {})], ids=["kernels", "Spark's own plan"])
def test_the_next_run_gets_the_counts_of_this_one(buckets: int | None, more: dict[str, int]) -> None:
    result = RunResult("r", "ok", "polars", "out", kept=7, duplicates_phase1=2, duplicates_phase2=3, conflicts=4)
    counts = {"kept": 7, "duplicates": 3, "conflicts": 4, "all_duplicates": 5}
    assert counts_for_the_next(result, buckets) == counts | more


def test_the_log_has_every_file_and_no_field_of_a_record() -> None:
    refused = {
        "z.csv": "expected log_id. Line 3 has: ann, 8.8.8.8.",
        "b.csv": "it is no gzip archive.",
    }
    progress: Any = Calls()
    log_files(Phase1Result((LEDGER,), refused), progress)
    assert [arguments for name, arguments in progress.made if name == "event"] == [
        ("file_read", "info", *ENTRY.values()),
        ("file_refused", "error", "b.csv", "it is no gzip archive."),
        ("file_refused", "error", "z.csv", "expected log_id."),
    ]
