"""Predictions: more work takes more, and a machine learns its own pace."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.planning.pace import Pace, load_pace, save_pace
from pipeline.planning.planner import Sizes
from pipeline.planning.prediction import Work, learn, predict, reading_seconds
from pipeline.planning.sample import Sample, take_sample
from pipeline.reading.open_inputs import read_headers
from pipeline.timing import PhaseSeconds
from tests.harness import GEO
from tests.reference import ROLES

WANTED = {role: (name,) for role, name in ROLES.items() if role != "timestamp"}
PLAN = Sizes(2, 64 * 10**6, 16, 10**6, 10**6, 10**9, 10**7, 10**8)
WORK = Work(Sample(4, 10**9, 10**7, 10.0, 4.0, 10**6), 0, "polars", True, 2)


def test_nothing_is_expected_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",".join(ROLES.values()) + "\n")
    sample = take_sample(read_headers([str(tmp_path / "a.csv")], WANTED, 2**20)[0], GEO.load())
    assert (sample.rows, sample.result_rows) == (0, 0)
    found = predict(PLAN, replace(WORK, sample=sample), Pace())
    assert (found.intermediate_bytes, found.output_bytes) == (0, 0)
    assert 0.1 < found.seconds < 3


def test_more_takes_more() -> None:
    usual = predict(PLAN, WORK, Pace())
    twice = replace(WORK.sample, text_bytes=2 * 10**9, rows=2 * 10**7)
    larger = predict(PLAN, replace(WORK, sample=twice), Pace())
    start, _ = reading_seconds(PLAN, WORK)
    assert 1.7 < (larger.phase1_seconds - start) / (usual.phase1_seconds - start) < 2.1
    assert larger.intermediate_bytes > 1.7 * usual.intermediate_bytes
    assert predict(PLAN, replace(WORK, compiled=False), Pace()).seconds > 1.5 * usual.seconds
    assert predict(PLAN, replace(WORK, engine="spark"), Pace()).peak_memory_bytes > usual.peak_memory_bytes
    few = predict(PLAN, replace(WORK, known_rows=10**8), Pace())
    assert few.phase2_seconds == usual.phase2_seconds  # a tenth is new: only that is added up
    many = predict(PLAN, replace(WORK, known_rows=10**7), Pace())
    assert many.phase2_seconds > 1.5 * usual.phase2_seconds


def test_a_machine_that_is_slower_is_learned(tmp_path: Path) -> None:
    first = predict(PLAN, WORK, Pace())
    took = PhaseSeconds(0, *(3 * s for s in (first.phase1_seconds, first.phase2_seconds, first.publish_seconds)))
    pace = learn(Pace(), PLAN, WORK, took)
    save_pace(pace, tmp_path / "cache")
    assert load_pace(tmp_path / "cache") == pace
    assert predict(PLAN, WORK, pace).seconds == pytest.approx(3 * first.seconds, rel=0.01)
    # One run that was much slower changes nothing; five at another pace do.
    slow = learn(learn(pace, PLAN, WORK, took), PLAN, WORK, PhaseSeconds(0, 500.0, 500.0, 500.0))
    assert predict(PLAN, WORK, slow).seconds == pytest.approx(3 * first.seconds, rel=0.01)
    for _ in range(5):
        usual = PhaseSeconds(0, first.phase1_seconds, first.phase2_seconds, first.publish_seconds)
        slow = learn(slow, PLAN, WORK, usual)
    assert predict(PLAN, WORK, slow).seconds == pytest.approx(first.seconds, rel=0.01)


def test_a_small_run_tells_how_long_starting_takes() -> None:
    small = replace(WORK, sample=replace(WORK.sample, text_bytes=10**6, rows=10**4))
    pace = learn(Pace(), PLAN, small, PhaseSeconds(0, 2.6, 5.0, 1.0))
    assert not pace.learned
    assert predict(PLAN, small, pace).phase1_seconds == pytest.approx(2.6)
