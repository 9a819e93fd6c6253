"""The benchmark runs, its contenders agree, page and chart tell what was measured, and limits end a run."""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import duckdb
import psutil
import pytest

from benchmarks import data
from benchmarks.agreement import difference, keep_result
from benchmarks.contenders import PEERS, Contender, clean
from benchmarks.data_sets import DATA_SETS
from benchmarks.measure import Limits, measure
from benchmarks.report import render
from benchmarks.rounds import Job, Terms, run_round
from benchmarks.summary import passage
from tests.end_to_end.program import ROOT, environment
from tests.needs import needs_java

SVG = "{http://www.w3.org/2000/svg}"


def bench(tmp_path: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks", "--runs", "1", "--engines", "polars", "--patience", "0", *options]
    places = ["--folder", str(tmp_path / "data"), "--report", str(tmp_path / "page" / "figures.md")]
    return subprocess.run([*command, *places], cwd=ROOT, env=environment(), capture_output=True, text=True)


def first_cells(page: str, columns: int) -> list[str]:
    """The first cell of each line of the page's tables of so many columns, without their heads."""
    lines = [line for line in page.splitlines() if line.startswith("|") and line.count("|") == columns + 1]
    return [line.split(" | ")[0].strip("| ") for line in lines if not line.startswith(("| |", "|--"))]


def test_contenders_agree_and_page_and_chart_are_written(tmp_path: Path) -> None:
    done = bench(tmp_path, "--sizes", "2MB", "--data", "generator", "--peers", "duckdb,duckdb_plain,polars,floor")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "page" / "figures.md").read_text()
    assert len(first_cells(page, 8)) == 5
    assert page.splitlines()[2] == "No target is missed; 0 of 15 ratios are measured."
    assert "](images/figures.svg)" in page
    chart = ET.parse(tmp_path / "page" / "images" / "figures.svg")
    texts = {text.text for text in chart.iter(f"{SVG}text")}
    assert {"Logmill, embedded engine", "DuckDB, best statement", "the floor: Polars only parses"} <= texts
    style = chart.find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme: dark" in (style.text or "")
    assert not list(chart.iter(f"{SVG}script")) + list(chart.iter(f"{SVG}image"))


def test_every_data_set_runs_with_each_number_of_workers_and_is_shown_in_the_readme(tmp_path: Path) -> None:
    readme = tmp_path / "readme.md"
    readme.write_text("before\n<!-- benchmarks: begin -->\nold\n<!-- benchmarks: end -->\nafter\n")
    options = ["--data", "independent,json", "--sizes", "1MB", "--workers", "1,2", "--peers", "duckdb"]
    done = bench(tmp_path, *options, "--readme", str(readme))
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "page" / "figures.md").read_text()
    one_worker = "**Logmill**, embedded engine, 1 worker"
    everybody = {one_worker, "**Logmill**, embedded engine", f"DuckDB, best statement {duckdb.__version__}"}
    titles = first_cells(page, 8)
    assert len(titles) == 2 * 3
    assert set(titles) == everybody
    heads = [line for line in page.splitlines() if line.startswith("#")]
    assert heads[2:6] == ["## Independent logs", "### 1 MB", "## Logs with JSON", "### 1 MB"]
    assert "| ratio | input | must | aim | independent | json |" in page
    assert (tmp_path / "page" / "images" / "figures-json.svg").exists()
    shown = readme.read_text()
    assert shown.startswith("before\n<!-- benchmarks: begin -->\nOn ")
    assert shown.endswith("<!-- benchmarks: end -->\nafter\n")
    assert passage(shown) == passage(page)
    assert [line.count(" / ") for line in passage(shown).splitlines() if line.startswith("| embedded")] == [1, 1]


@needs_java
def test_pyspark_starts_its_workers_with_this_python_and_reads_doubled_quotes(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "python3").chmod(0o755)
    job = small_job("json", tmp_path)
    command = PEERS["pyspark"].command(job.logs, job.geography.table, tmp_path / "result")
    settings = environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "kept.parquet"
    assert keep_result(tmp_path / "result" / "data", kept).events > 500
    clean(job.results)
    assert not job.run(PEERS["duckdb"], Limits()).failure
    assert difference(kept, job.results / "data", exact=False) is None


def test_results_are_compared_row_by_row(tmp_path: Path) -> None:
    def write(name: str, rows: str) -> Path:
        (tmp_path / name).mkdir()
        duckdb.sql(f"copy (from (values {rows}) t(geo_region, user_id, total, n)) to '{tmp_path / name}/p.parquet'")
        return tmp_path / name

    usual = "('Asia', 'u', 38364365.833591, 500000), ('Asia', 'v', 0.5, 1)"
    kept = tmp_path / "kept.parquet"
    assert str(keep_result(write("usual", usual), kept)).startswith("500,001 events of 2 users in 2 rows and 1 region,")
    assert difference(kept, tmp_path / "usual", exact=True) is None
    rounded = write("rounded", usual.replace("591", "59134"))  # floating-point sums in another order
    assert difference(kept, rounded, exact=False) is None
    others = {
        "more": (usual + ", ('Asia', 'w', 0.1, 1)", "1 of 3 rows; 0 are missing, 1 are new"),
        "less": (usual.partition(", ('Asia', 'v'")[0], "1 of 2 rows; 1 are missing, 0 are new"),
        "region": (usual.replace("'Asia', 'v'", "'Africa', 'v'"), "2 of 3 rows; 1 are missing, 1 are new"),
        "event": (usual.replace("500000", "500001"), "1 of 2 rows"),
        "minutes": (usual.replace("0.5,", "0.500002,"), "differ by up to 2e-06"),
    }
    for name, (rows, expected) in others.items():
        folder = write(name, rows)
        assert all(expected in (difference(kept, folder, exact) or "") for exact in (False, True)), name
    assert "1 of 2 rows" in (difference(kept, write("off", usual.replace("591", "592")), exact=True) or "")


def small_job(data_set: str, folder: Path) -> Job:
    logs = DATA_SETS[data_set].prepare(folder, 100_000, 1)
    return Job(data_set, 100_000, logs, DATA_SETS[data_set].locate(folder), folder / "job")


def test_a_peer_that_passes_a_limit_is_noted_and_the_others_count(tmp_path: Path) -> None:
    clumsy = Contender("no-such-peer", "Clumsy", "polars")
    found = run_round([clumsy, PEERS["floor"]], small_job("generator", tmp_path), Terms(2, Limits(seconds=60)))
    assert "No module named" in found.failed[clumsy]
    assert [len(runs) for runs in found.runs.values()] == [2]
    assert not found.wrong
    page = render([found], [], "bench", {})
    assert "| Clumsy" in page
    assert "did not finish" in page


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(seconds=0.3), "more than 0.30 s"),
        (Limits(memory=60_000_000), "more than 60 MB of memory"),
    ],
)
def test_a_run_beyond_its_limits_is_ended_with_all_its_processes(limits: Limits, reason: str, tmp_path: Path) -> None:
    note = tmp_path / "child"
    child = f"import os; open({str(note)!r}, 'w').write(str(os.getpid())); b = b'x' * 100_000_000; input()"
    parent = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}], stdin=-1); time.sleep(99)"
    )
    begin = time.monotonic()
    measured = measure([sys.executable, "-c", parent], environment(), limits)
    assert reason in (measured.failure or "")
    assert time.monotonic() - begin < 30
    if note.exists() and (child_id := note.read_text()):
        assert not psutil.pid_exists(int(child_id)) or psutil.Process(int(child_id)).status() == psutil.STATUS_ZOMBIE


def test_logs_of_other_sizes_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = tmp_path / "logs-of-others"
    others.mkdir()
    kept = data.prepare_logs(tmp_path, 100_000, 1)
    monkeypatch.setattr(data.shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    independent = DATA_SETS["independent"].prepare(tmp_path, 100_000, 1)
    wanted = data.place(tmp_path, "json", 1_000_000)
    data.make_room(tmp_path, wanted, 1_000_000)
    assert kept.exists()  # there is room enough
    assert independent.exists()
    data.make_room(tmp_path, wanted, 2_000_000)
    assert not kept.exists()
    assert not independent.exists()
    assert others.exists()
