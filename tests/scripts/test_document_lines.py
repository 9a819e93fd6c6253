"""The page that counts lines, and the other ways to write a table that it counts: they make the same rows."""

import re
from datetime import datetime
from pathlib import Path

import duckdb

from pipeline.datasets.demo import make_demo
from pipeline.datasets.job import JOBS, load_job
from scripts.document_lines import PAGE, PEERS, PEERS_HEAD, count_function, render
from tests.pipeline.datasets.jobs_for_tests import read, run


def test_the_page_has_every_job_and_the_lines_of_today_of_the_table_that_it_compares() -> None:
    """Medians of jobs are those of the day when the page was written."""
    page, today = PAGE.read_text(encoding="utf-8"), render()
    assert PEERS_HEAD in page
    assert page.partition(PEERS_HEAD)[2] == today.partition(PEERS_HEAD)[2], "run: python -m scripts.document_lines"
    jobs = re.findall(r"^\| (\w+) \| \d+ \|", page.partition(PEERS_HEAD)[0], re.MULTILINE)
    assert jobs == sorted(path.parent.name for path in JOBS.glob("*/__init__.py"))


def test_lines_are_counted_by_purpose(tmp_path: Path) -> None:
    file = tmp_path / "tables.py"
    file.write_text(
        "@dataset(\n    Total,\n    # why\n    checks=[\n        one,\n\n        two,\n    ],\n)\n"
        'def totals(lines):\n    """Sums."""\n\n    return lines\n'
    )
    assert count_function(file, "totals") == {"declaration": 3, "checks": 4, "query": 3}


def test_the_sql_for_dbt_makes_the_rows_of_the_job(tmp_path: Path) -> None:
    job = load_job(str(JOBS / "warehouse"))
    make_demo(job, tmp_path / "source")
    result = run(job, tmp_path, as_of=datetime(2026, 6, 1))
    wanted = read(result, "monthly_sales")
    with duckdb.connect() as database:
        database.register("fact_sales", read(result, "fact_sales").to_arrow())
        database.execute(f"create table monthly_sales as {_sql('dbt_model.sql')}")
        made = database.sql("from monthly_sales order by year, month").pl().select(wanted.columns)
        assert made.equals(wanted)
        for test in PEERS.glob("dbt_test_*.sql"):
            assert database.execute(_sql(test.name)).fetchall() == []
        database.execute("insert into monthly_sales from monthly_sales")
        for test in PEERS.glob("dbt_test_*.sql"):
            assert database.execute(_sql(test.name)).fetchall() != []


def _sql(name: str) -> str:
    """The text of a file for dbt as dbt would send it."""
    text = re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r"\1", (PEERS / name).read_text())
    return re.sub(r"\{\{.*\}\}", "", text)
