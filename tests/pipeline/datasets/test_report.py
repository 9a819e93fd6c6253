"""The report of a run, and the scores of its checks."""

from pathlib import Path

from pipeline.datasets.result import CheckResult
from pipeline.datasets.scores import control_limits, extend_history, score_checks, unusual
from tests.pipeline.datasets.jobs_for_tests import run, write_job, write_sales


def check(dimension: str, broken: int, of: int) -> CheckResult:
    return CheckResult("t", "c", dimension, "warn", broken, of, "ok")


def test_the_page_shows_tables_with_what_they_are_made_of(tmp_path: Path) -> None:
    write_sales(tmp_path, [("o1", "<ann>", "2026-01-01", "10.00"), ("o2", "dan", "2026-01-02", "-1")])
    result = run(write_job(tmp_path / "job"), tmp_path)
    page = (Path(result.output).resolve().parent / "report.html").read_text()
    assert page.count("<rect ") == 3
    assert page.count("<path ") == 2
    assert "sales: 2 rows, computed 100.00%" in page
    assert "lines: 1 row, 1 rejected" in page
    assert "at_least:cents" in page
    assert "ann" not in page


def test_a_score_is_what_is_good_of_what_was_looked_at() -> None:
    found = score_checks([check("validity", 5, 100), check("validity", 0, 100), check("uniqueness", 0, 10)])
    assert found == {"uniqueness": 100.0, "validity": 97.5, "score": 98.75}


def test_limits_are_the_mean_and_266_hundredths_of_the_mean_moving_range() -> None:
    limits = control_limits([90, 92, 91, 93, 92])  # moving ranges 2, 1, 2, 1
    assert limits is not None
    assert round(limits.mean, 6) == 91.6
    assert round(limits.low, 6) == round(91.6 - 2.66 * 1.5, 6)
    assert control_limits([90, 92, 91, 93]) is None


def test_a_score_below_its_history_is_told() -> None:
    record: dict[str, object] = {}
    for number, score in enumerate([90, 92, 91, 93, 92, 87]):
        record = {"quality_history": extend_history(record, f"r{number}", {"score": score})}
    history = record["quality_history"]
    assert unusual(history) == ["score is 87.00, and earlier runs let expect at least 87.61"]  # type: ignore[arg-type]
