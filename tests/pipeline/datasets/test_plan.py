"""What a plan says of tables is what the run does."""

from pathlib import Path

import pytest

from pipeline.datasets.job import Job
from pipeline.datasets.plan import plan_job
from pipeline.datasets.run import JobOptions
from tests.pipeline.datasets.jobs_for_tests import HEAD, run, write_job, write_sales

TEXT = """
buyers = csv("buyers.csv", type("Buyers", (Contract,), {"customer": Text("who")}))


@dataset(Sales, grain="one row per order", by="order_id", key="order_id",
         checks=[reference("customer", to="buyers"),
                 at_least("cents", 0, action=chosen_by("poor", stop="fail", out="drop"))])
def lines(sales):
    \"\"\"Each order once.\"\"\"
    return sales.unique()


@dataset(Sales, grain="one row per order", by="order_id", key="order_id")
def dear(sales, settings):
    \"\"\"What is dear.\"\"\"
    return sales.filter(pl.col("cents") >= settings["least"])
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_sales(tmp_path, [(f"o{n}", f"c{n % 5}", "2026-01-01", f"{n}.00") for n in range(50)])
    buyers(tmp_path, 4)
    return write_job(tmp_path / "job", HEAD + TEXT, least=1000, poor="stop")


def buyers(folder: Path, count: int) -> None:
    (folder / "source" / "buyers.csv").write_text("\n".join(["customer", *(f"c{n}" for n in range(count)), ""]))


def planned(job: Job, folder: Path, **settings: object) -> dict[str, str]:
    options = JobOptions(str(folder / "source"), str(folder / "output"), settings=settings)  # type: ignore[arg-type]
    return {step.name: step.work for step in plan_job(job, options) if step.layer != "source"}


@pytest.mark.parametrize(
    ("settings", "works"),
    [
        ({}, {"lines": "keep", "dear": "keep"}),
        ({"least": 500}, {"lines": "keep", "dear": "compute"}),
        ({"poor": "out"}, {"lines": "compute", "dear": "compute"}),
    ],
)
def test_changed_settings_compute_what_gets_them(
    settings: dict[str, object], works: dict[str, str], job: Job, tmp_path: Path
) -> None:
    run(job, tmp_path)
    assert planned(job, tmp_path, **settings) == works
    made = run(job, tmp_path, settings=settings).tables
    assert {name: "compute" if made[name].reason else "keep" for name in works} == works


def test_a_reference_that_may_let_rows_in_computes_all(job: Job, tmp_path: Path) -> None:
    assert run(job, tmp_path).tables["lines"].rejected == 10
    buyers(tmp_path, 5)
    assert planned(job, tmp_path) == {"lines": "compute", "dear": "keep"}
    assert run(job, tmp_path).tables["lines"].recomputed == 50
