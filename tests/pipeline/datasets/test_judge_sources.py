"""What sources reject: counted by source, told above a share or for a whole file, and stopping a run without rows."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from main import main
from pipeline.datasets.result import CheckResult, JobResult
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, run, write_job, write_sales

GOOD, BAD = ("o{}", "ann", "2026-01-01", "1"), ("o{}", "ann", "01.01.2026", "1")
PARQUET = HEAD.replace('csv("sales*.csv", Sales)', 'parquet("sales", Sales)')
SNAPSHOTS = HEAD.replace('csv("sales*.csv", Sales)', 'csv("sales*.csv", Sales, snapshots=True)')


def sales(good: int, bad: int) -> list[tuple[Any, ...]]:
    return [(kind[0].format(at), *kind[1:]) for at, kind in enumerate([GOOD] * good + [BAD] * bad)]


def rejected(result: JobResult) -> CheckResult:
    (found,) = (check for check in result.checks if (check.table, check.check) == ("sales", "rejected"))
    return found


@settings(max_examples=20)
@given(good=st.integers(1, 9), bad=st.integers(0, 9), percent=st.integers(0, 99))
def test_a_source_warns_above_the_share_that_may_be_rejected(
    good: int, bad: int, percent: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    write_sales(folder, sales(good, bad))
    result = run(write_job(folder / "job"), folder, settings={"max_rejected_share": percent / 100})
    found = rejected(result)
    assert (found.broken, found.of, found.dimension) == (bad, good + bad, "validity")
    warns = 100 * bad > percent * (good + bad)
    assert (result.status, found.outcome) == ("ok", "warn" if warns else "reject" if bad else "ok")
    assert [alert.table for alert in result.alerts] == ["sales"] * warns


def test_what_is_rejected_is_in_the_score_the_report_and_the_files_of_quality(tmp_path: Path) -> None:
    write_sales(tmp_path, sales(3, 37))
    result = run(
        write_job(tmp_path / "job", HEAD + LINES.replace(',\n         checks=[at_least("cents", 0)]', "")), tmp_path
    )
    told = "sales rejected: 37 of 40 (92.5000%): 37 not a date in one of its formats in day"
    assert [str(rejected(result)), *(alert.message for alert in result.alerts)] == [told, told]
    facts = json.loads(Path(f"{result.output}.quality.json").read_text())
    assert facts["quality"]["validity"] == 7.5  # 3 of 40
    assert [alert["message"] for alert in facts["alerts"]] == [told]
    page = Path(f"{result.output}.quality.md").read_text()
    assert f"- **warn**: {told}\n" in page
    assert "| sales | rejected | warn | 37 | 40 | 92.50% | 5.00% |" in page
    report = Path(result.output).resolve().with_name("report.html").read_text()
    assert "37 not a date in one of its formats in day" in report


def test_a_file_of_which_every_row_is_rejected_is_named_whatever_its_share(tmp_path: Path) -> None:
    write_sales(tmp_path, sales(90, 0))
    write_sales(tmp_path, sales(0, 2), "sales2.csv")
    job = write_job(tmp_path / "job")
    for status in ("ok", "nothing new"):
        result = run(job, tmp_path)
        assert (result.status, rejected(result).outcome) == (status, "warn")
        assert str(rejected(result)).startswith(
            "sales rejected: 2 of 92 (2.1739%): every row of sales2.csv; 2 not a date"
        )


def test_a_snapshot_that_is_corrected_is_told_no_longer(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", SNAPSHOTS + LINES.replace("sales.", 'sales.drop("_extracted_at").') + TOTALS)
    outcomes = []
    for day, (good, bad) in enumerate([(9, 0), (0, 9), (9, 0)], 1):
        write_sales(tmp_path, sales(good, bad))
        outcomes.append(rejected(run(job, tmp_path, as_of=datetime(2026, 2, day))).outcome)
    assert outcomes == ["ok", "warn", "ok"]


@pytest.mark.parametrize("share", [None, 1.0])
def test_a_run_without_any_good_row_stops_unless_all_may_be_rejected(share: float | None, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", PARQUET + LINES + TOTALS)
    (tmp_path / "source/sales").mkdir(parents=True)
    rows = pl.DataFrame(
        {"order_id": ["o1"] * 9, "customer": ["ann"] * 9, "day": ["2026-01-01"] * 9, "amount": ["1"] * 9}
    )
    rows.write_parquet(tmp_path / "source/sales/a.parquet")
    before = run(job, tmp_path)
    published = Path(before.output).resolve()
    rows.with_columns(amount=pl.lit("many")).write_parquet(tmp_path / "source/sales/a.parquet")
    result = run(job, tmp_path, settings={} if share is None else {"max_rejected_share": share})
    assert (before.status, rejected(result).broken, rejected(result).of) == ("ok", 9, 9)
    if share is None:
        assert (result.status, Path(before.output).resolve()) == ("failed", published)
        assert "sales rejected: 9 of 9 (100.0000%): every row of sales/a.parquet; 9 not an amount" in (
            result.error or ""
        )
        assert "max_rejected_share = 1" in (result.error or "")
    else:
        assert (result.status, rejected(result).outcome) == ("ok", "warn")


def test_files_without_records_stop_nothing(tmp_path: Path) -> None:
    write_sales(tmp_path, [])
    result = run(write_job(tmp_path / "job"), tmp_path)
    assert (result.status, rejected(result).outcome, rejected(result).of, list(result.alerts)) == ("ok", "ok", 0, [])


def test_commands_show_what_was_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sales(tmp_path, sales(3, 1))
    write_job(tmp_path / "job")
    told = "warn: sales rejected: 1 of 4 (25.0000%): 1 not a date in one of its formats in day"
    assert main(["job", "./job", "--source", "source"]) == 0
    assert told in capsys.readouterr().out
    assert main(["job", "./job", "check", "--workers", "1"]) == 0
    assert told in capsys.readouterr().out
    write_sales(tmp_path, sales(0, 4))
    assert main(["job", "./job", "--source", "source", "--quiet"]) == 4
