"""The values that the command line prints."""

import json
import pickle
from dataclasses import replace

import pytest

from pipeline.publish.result import RefusedFile, RunDelta, RunResult, failed_result
from pipeline.quality import QualityResult
from tests.end_to_end.program import JSON_KEYS

RESULT = RunResult(
    "r1", "partial", "spark", "out", records_read=110, kept=70, duplicates_phase1=20, duplicates_phase2=5, conflicts=4,
    rejected=11, rejected_by_reason={"b": 6, "a": 5}, total_micro_minutes=10**18 + 1, users=3, output_rows=4,
    refused_files=(RefusedFile("x.csv", "why"),), quality=(QualityResult("rejected", 11, 110, "warn", 0.05),),
    new=RunDelta(files=1, kept=-2),
)  # fmt: skip


def test_the_object_of_a_run_has_the_promised_keys_whatever_became_of_it() -> None:
    for result in (RESULT, failed_result("no disk", engine="polars", output="out", run_id="r2")):
        answer = json.loads(json.dumps(result.to_json()))
        assert list(answer) == JSON_KEYS
        assert list(answer["seconds"]) == ["total", "phase1", "phase2", "publish"]


def test_values_that_are_derived() -> None:
    answer = RESULT.to_json()
    assert answer["duplicates"] == 25
    assert answer["total_watch_time_min"] == (10**18 + 1) / 10**6
    assert answer["rejected_by_reason"] == {"a": 5, "b": 6}
    assert json.dumps(answer["rejected_by_reason"]) == '{"a": 5, "b": 6}'
    assert answer["refused_files"] == [{"file": "x.csv", "reason": "why"}]
    assert answer["quality"] == [
        {"name": "rejected", "count": 11, "of": 110, "outcome": "warn", "limit": 0.05, "detail": "", "share": 0.1}
    ]
    assert RESULT.records_read == RESULT.kept + RESULT.duplicates + RESULT.conflicts + RESULT.rejected


def test_only_a_gate_that_fails_has_stopped_a_run() -> None:
    assert not RESULT.stopped_by_gate
    failed = RunResult("r", "failed", "polars", "out", quality=(QualityResult("rejected", 1, 2, "fail", 0.1),))
    assert failed.stopped_by_gate


def test_a_run_that_ended_early_has_its_error_and_no_counts() -> None:
    answer = failed_result("no disk").to_json()
    assert (answer["status"], answer["error"], answer["engine"], answer["output"]) == ("failed", "no disk", None, "")
    counts = [value for name, value in answer.items() if isinstance(value, int | float)]
    assert counts
    assert not any(counts)


@pytest.mark.parametrize(
    ("status", "version", "late", "said"),
    [("ok", "r1", False, "yes"), ("partial", "r1", False, "yes"), ("ok", "r0", False, "unchanged"),
     ("partial", "r0", False, "unchanged"),
     ("failed", "", False, "no"), ("failed", "", True, "yes")],
)  # fmt: skip
def test_what_became_of_the_publication(status: str, version: str, late: bool, said: str) -> None:
    answer = replace(RESULT, status=status, version=version, failed_late=late).to_json()
    assert (answer["publication"], answer["published"]) == (said, said != "no")


def test_the_plan_says_whether_it_was_learned() -> None:
    assert RESULT.to_json()["plan"] == {}
    planned = replace(RESULT, plan={"seconds": 2.0}, learned=True)
    assert planned.to_json()["plan"] == {"seconds": 2.0, "learned": True}


def test_a_result_crosses_processes() -> None:
    assert pickle.loads(pickle.dumps(RESULT)) == RESULT
