"""On what a column depends, and what a catalogue of data is told of a run."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest

from pipeline.datasets.column_lineage import _ComputedError, _no_computing, column_lineage
from pipeline.datasets.job import find_job, load_job
from pipeline.datasets.kernels import facts_of, input_schema
from pipeline.datasets.tasks import JobContext
from pipeline.errors import ConfigError
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, run, write_job, write_sales

SALES = [("o1", "ann", "2026-01-01", "10.00"), ("o2", "", "2026-01-02", "0.50"), ("o3", "dan", "x", "7")]
ROWS = 40


def test_a_sum_depends_on_its_column_and_on_what_it_is_grouped_by(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", HEAD + LINES + TOTALS)
    assert column_lineage(job, job.datasets["totals"]) == {
        "customer": (("lines", "customer"),),
        "orders": (("lines", "customer"),),
        "cents": (("lines", "customer"), ("lines", "cents")),
    }
    assert column_lineage(job, job.datasets["lines"]) is not None, "unique() reads every column"


def test_a_transform_that_computes_on_the_way_is_not_told(tmp_path: Path) -> None:
    text = TOTALS.replace("    return lines.", "    assert lines.collect() is not None\n    return lines.")
    job = write_job(tmp_path / "job", HEAD + LINES + text)
    assert column_lineage(job, job.datasets["totals"]) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["example", "late-payments", "inventory"])
def test_a_column_that_is_not_named_changes_nothing(name: str) -> None:
    """Other values in all columns that the lineage of a column does not name leave that column as it is."""
    job = load_job(str(find_job(name)))
    context = JobContext(str(job.folder), "run", datetime(2026, 6, 1), job.settings, "")
    tried = 0
    for one in job.under(job.settings).datasets.values():
        lineage = column_lineage(job, one) or {}
        for column, reads in lineage.items():
            tables = [
                {given: _rows(input_schema(job, given), seed, {field for table, field in reads if table == given})
                 for given in one.inputs}
                for seed in (1, 2)
            ]  # fmt: skip
            made = [one.function(**frames, **facts_of(one, context)).select(column) for frames in tables]
            found = [frame.sort(column).collect() for frame in made]
            assert found[0].equals(found[1]), f"{one.name}.{column} depends on more than {reads}"
            tried += len(reads) < sum(len(input_schema(job, given)) for given in one.inputs)
    assert tried, "nothing was left out of any lineage"


def _rows(schema: dict[str, pl.DataType], seed: int, fixed: set[str]) -> pl.LazyFrame:
    """Rows of chance: the columns ``fixed`` are the same for every seed."""
    columns = {}
    for name, kind in schema.items():
        chance = random.Random(f"{name} {0 if name in fixed else seed}")
        numbers = chance.sample(range(1, ROWS + 1), ROWS)  # each once, so that joins find one row
        base = pl.Series(name, numbers)
        columns[name] = (
            base.cast(pl.String) if kind == pl.String
            else pl.Series(name, [[str(number)] for number in numbers]) if isinstance(kind, pl.List)
            else (base % 2 == 0) if kind == pl.Boolean
            else (base + 20_000).cast(pl.Date) if kind == pl.Date
            else ((base + 20_000) * 86_400_000_000).cast(kind) if kind.is_temporal()
            else base.cast(kind)
        )  # fmt: skip
    return pl.LazyFrame(columns)


def test_a_run_is_told_to_a_file(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job", HEAD + LINES + TOTALS)
    result = run(job, tmp_path, settings={"lineage_to": str(tmp_path / "events" / "lineage.jsonl")})
    begin, end = map(json.loads, (tmp_path / "events" / "lineage.jsonl").read_text().splitlines())
    assert (begin["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert begin["run"]["runId"] == end["run"]["runId"]
    assert end["job"] == {**end["job"], "namespace": "logmill", "name": "job"}
    assert [(one["namespace"], one["name"]) for one in end["inputs"]] == [("file", f"{tmp_path}/source/sales*.csv")]
    totals = next(one for one in end["outputs"] if one["name"] == f"{result.output}/totals")
    assert totals["outputFacets"]["outputStatistics"]["rowCount"] == 2
    assert [one["name"] for one in totals["facets"]["schema"]["fields"]] == ["customer", "orders", "cents"]
    fields = totals["facets"]["columnLineage"]["fields"]["cents"]["inputFields"]
    assert [(one["name"], one["field"]) for one in fields] == [
        (f"{result.output}/lines", "customer"), (f"{result.output}/lines", "cents"),
    ]  # fmt: skip
    assertions = totals["facets"]["dataQualityAssertions"]["assertions"]
    assert {"assertion": "conserves:cents<-lines", "success": True} in [
        {name: one[name] for name in ("assertion", "success")} for one in assertions
    ]
    assert not any(value in json.dumps([begin, end]) for value in ("ann", "dan", "o1"))


def test_a_run_that_a_check_stops_is_told_as_failed(tmp_path: Path) -> None:
    write_sales(tmp_path, [*SALES, ("o1", "eve", "2026-01-01", "1")])
    job = write_job(tmp_path / "job", HEAD + LINES + TOTALS)
    run(job, tmp_path, settings={"lineage_to": str(tmp_path / "lineage.jsonl")})
    end = json.loads((tmp_path / "lineage.jsonl").read_text().splitlines()[-1])
    assert end["eventType"] == "FAIL"
    assert "unique" in end["run"]["facets"]["errorMessage"]["message"]


@contextmanager
def catalogue(status: int) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """An address that keeps what it gets."""
    got: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_run_is_told_to_an_address_and_never_fails_by_it(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job", HEAD + LINES + TOTALS)
    with catalogue(201) as (address, got):
        result = run(job, tmp_path, settings={"lineage_to": address})
    assert [(path, event["eventType"]) for path, event in got] == [
        ("/api/v1/lineage", "START"), ("/api/v1/lineage", "COMPLETE"),
    ]  # fmt: skip
    assert not result.notes
    with catalogue(403) as (address, got):
        result = run(job, tmp_path, settings={"lineage_to": address}, full_refresh=True)
    assert result.status == "ok"
    assert result.notes[0].startswith("the lineage was not sent: ")


def test_another_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lineage_to is no address"):
        write_job(tmp_path / "job").with_settings({"lineage_to": "ftp://there"})


def test_other_threads_compute_meanwhile() -> None:
    """Tables are made beside."""
    rows = pl.LazyFrame({"a": [1]})
    with _no_computing(), ThreadPoolExecutor(1) as other:
        assert other.submit(rows.collect).result().rows() == [(1,)]
        with pytest.raises(_ComputedError):
            rows.collect()
    assert rows.collect().rows() == [(1,)]
