"""The pace of a machine: what it learns, what it forgets, and files that make no sense."""

from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.planning.pace import Pace, load_pace, save_pace

SECONDS = st.floats(0.001, 10_000)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=12))
def test_the_median_of_the_last_five_ratios_counts(runs: list[tuple[float, float]]) -> None:
    pace = Pace()
    for expected, took in runs:
        pace = pace.learn("polars", expected, took)
    ratios = [min(max(took / expected, 0.02), 100.0) for expected, took in runs]
    assert pace.factor("polars") == median(ratios[-5:])
    assert pace.factor("spark") == 1
    assert pace.learned


def test_seconds_of_starting_are_no_ratio() -> None:
    pace = Pace().learn_start(0.5, 2.0).learn_start(0.5, 0.1)
    assert pace.start == pytest.approx((1.5 - 0.4) / 2)
    assert not pace.learned
    assert Pace().start == 0


def test_work_that_takes_no_time_by_the_shipped_figures_teaches_nothing() -> None:
    assert Pace().learn("sql", 0.0, 5.0) == Pace()


def test_a_pace_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    pace = Pace().learn_start(1.0, 0.25).learn("compiled", 1.0, 1e-9).learn("compiled", 1.0, 1e9).learn("sql", 3.0, 1.0)
    save_pace(Pace().learn("sql", 1.0, 1.0), tmp_path / "a" / "cache")
    save_pace(pace, tmp_path / "a" / "cache")
    assert load_pace(tmp_path / "a" / "cache") == pace
    assert [path.name for path in (tmp_path / "a" / "cache").iterdir()] == ["pace.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"start": 1}',
        '{"start": ["x"]}',
        '{"publish": []}',
        '{"publish": [-1]}',
        '{"publish": [NaN]}',
        '{"start": [1e400]}',
    ],
)
def test_a_pace_that_is_none_counts_for_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "pace.json").write_text(content)
    assert load_pace(tmp_path) == Pace()


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    save_pace(Pace({"start": (1.0,)}), tmp_path / "cache")
    assert load_pace(tmp_path / "cache") == Pace()
