"""``job`` and ``jobs`` through the program's entry point, in this process."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from main import main
from pipeline.datasets.job import JOBS, find_job


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    """The exit code and the JSON object of a command."""
    capsys.readouterr()
    code = main([*words, "--json", "--quiet"])
    return code, json.loads(capsys.readouterr().out)


def test_the_example_runs_at_once_and_agrees_with_its_truth(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answer(capsys, "job", "example")
    assert (code, found["status"], found["truth"]) == (0, "ok", [])
    assert set(found["tables"]) == {"lines", "daily_sales", "product_sales"}  # type: ignore[call-overload]
    lines = pl.scan_csv("pipeline_data/jobs/example/demo/orders.csv", infer_schema=False).collect().unique()
    published = pl.read_parquet("pipeline_data/jobs/example/output/lines/*.parquet")
    assert len(published) == len(lines) - 1  # one is broken
    assert answer(capsys, "job", "example", "status")[1]["version"] == found["run_id"]


def test_a_truth_that_differs_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answer(capsys, "job", "example")
    truth = tmp_path / "pipeline_data/jobs/example/demo/truth.json"
    truth.write_text(json.dumps({"lines": {"rows": 1}}))
    assert str(answer(capsys, "job", "example")[1]["truth"]).startswith("['lines.rows: expected 1, found 7")


def test_a_new_job_runs_as_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert answer(capsys, "job", "new", "./mine")[0] == 0
    assert answer(capsys, "job", "./mine")[1]["status"] == "ok"
    assert (tmp_path / "pipeline_data/jobs/mine/output/daily_sales/part-0.parquet").is_file()
    assert answer(capsys, "job", "new", "./mine")[0] == 2


def test_rollback(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = answer(capsys, "job", "example")[1]["run_id"]
    orders = tmp_path / "pipeline_data/jobs/example/demo/orders.csv"
    orders.write_text(orders.read_text() + "new,p1,1,2.00,2026-01-01\n")
    second = answer(capsys, "job", "example")[1]["run_id"]
    assert answer(capsys, "job", "example", "rollback")[1] == {
        "before": second,
        "current": first,
        "output": str(Path("pipeline_data/jobs/example/output")),
    }


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("job", "nothing"), 3, "there is no job 'nothing'"),
        (("job", "example", "dance"), 2, "dance is nothing that a job does"),
        (("job", "example", "--as-of", "soon"), 2, "--as-of: 'soon' is no time"),
        (("job", "example", "--only", "line"), 2, "there is no data set 'line'. Did you mean lines?"),
        (("job", "example", "--source", "nowhere"), 3, "there is no file"),
        (("job", "new", "./Mine"), 2, "'Mine' is no name for a job"),
    ],
)
def test_what_is_wrong_is_named(
    words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, *words)
    assert found[0] == code
    assert message in str(found[1]["error"])


def test_tables_and_views_are_asked_in_sql(capsys: pytest.CaptureFixture[str]) -> None:
    answer(capsys, "job", "example")
    days = answer(capsys, "job", "example", "query", "select count(*) as n from best_days")[1]
    assert days["rows"] == [{"n": 10}]
    sums = answer(
        capsys,
        "job",
        "example",
        "query",
        "select sum(revenue_cents) = (select sum(revenue_cents) from lines) as same from daily_sales",
    )[1]
    assert sums["rows"] == [{"same": True}]
    output = "pipeline_data/jobs/example/output"
    asked = "select count(*) as n from best_days"
    for words in (["query", "--output", output, asked], ["job", "example", "query", "--output", output, asked]):
        assert answer(capsys, *words)[1]["rows"] == [{"n": 10}], words
    code, _ = answer(capsys, "job", "example", "query", "from read_csv('/etc/passwd')")
    assert code == 2
    assert "best_days" in str(answer(capsys, "job", "example", "query", "from nothing")[1]["error"])


def test_tables_of_a_job_that_is_elsewhere_are_asked_through_it(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(JOBS / "example", "mine")
    answer(capsys, "job", "./mine", "--output", "out")
    code, told = answer(capsys, "query", "--output", "out", "select 1")
    assert (code, "has tables of the job mine: ask with" in str(told["error"])) == (3, True)


def test_the_plan_says_what_would_be_computed_and_why(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answer(capsys, "job", "example")
    kept = answer(capsys, "job", "example", "plan")[1]["steps"]
    assert {step["work"] for step in kept} == {"keep"}  # type: ignore[attr-defined]
    with (tmp_path / "pipeline_data/jobs/example/demo/products.csv").open("a") as stream:
        stream.write("pnew,new\n")
    steps = {
        step["name"]: (step["work"], step["reason"]) for step in answer(capsys, "job", "example", "plan")[1]["steps"]
    }  # type: ignore[attr-defined]
    assert steps["products"] == ("extract", "files: 1 new or changed")
    assert steps["lines"] == steps["daily_sales"] == ("keep", "")
    assert steps["product_sales"] == ("compute changes", "products changed")


def test_jobs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert {
        "name": "example",
        "description": "Sales of a small shop by day and product: the template of `job new`.",
    } in (
        answer(capsys, "jobs")[1]["jobs"]  # type: ignore[operator]
    )


def test_a_job_goes_by_its_package_with_hyphens(capsys: pytest.CaptureFixture[str]) -> None:
    names = [job["name"] for job in answer(capsys, "jobs")[1]["jobs"]]  # type: ignore[attr-defined]
    assert "late-payments" in names
    assert find_job("late-payments") == find_job("late_payments") == JOBS / "late_payments"
