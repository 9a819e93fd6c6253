"""The benchmark runs, its contenders agree, page and chart tell what was measured, and limits end a run."""

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
from benchmarks.contenders import ENGINES, PEERS, Contender
from benchmarks.measure import Limits, Measurement, measure
from benchmarks.report import render
from benchmarks.rounds import Round, run_round
from benchmarks.targets import scaling_table, target_table
from tests.end_to_end.program import ROOT, environment

SVG = "{http://www.w3.org/2000/svg}"


def bench(tmp_path: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks", "--sizes", "2MB", "--runs", "1", "--engines", "polars", *options]
    places = ["--data", str(tmp_path / "data"), "--report", str(tmp_path / "page" / "figures.md")]
    return subprocess.run([*command, *places], cwd=ROOT, env=environment(), capture_output=True, text=True)


def test_contenders_agree_and_page_and_chart_are_written(tmp_path: Path) -> None:
    done = bench(tmp_path, "--peers", "duckdb,duckdb_plain,polars,floor")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "page" / "figures.md").read_text()
    titles = [line.split(" | ")[0] for line in page.splitlines() if line.count("|") == 8 and " GB |" in line]
    assert len(titles) == 5
    assert "](images/figures.svg)" in page
    chart = ET.parse(tmp_path / "page" / "images" / "figures.svg")
    texts = {text.text for text in chart.iter(f"{SVG}text")}
    assert {"Logmill, embedded engine", "DuckDB, best statement", "the floor: Polars only parses"} <= texts
    style = chart.find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme: dark" in (style.text or "")
    assert not list(chart.iter(f"{SVG}script")) + list(chart.iter(f"{SVG}image"))


def test_results_are_compared_row_by_row(tmp_path: Path) -> None:
    def write(name: str, rows: str) -> Path:
        (tmp_path / name).mkdir()
        duckdb.sql(f"copy (from (values {rows}) t(geo_region, user_id, total, n)) to '{tmp_path / name}/p.parquet'")
        return tmp_path / name

    usual = "('Asia', 'u', 38364365.833591, 500000), ('Asia', 'v', 0.5, 1)"
    kept = tmp_path / "kept.parquet"
    assert str(keep_result(write("usual", usual), kept)).startswith("500,001 events of 2 users in 2 rows and 1 regions")
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


def test_a_peer_that_passes_a_limit_is_noted_and_the_others_count(tmp_path: Path) -> None:
    logs = data.prepare_logs(tmp_path, 1_000_000, 1)
    clumsy = Contender("no-such-peer", "Clumsy", "polars")
    found = run_round([clumsy, PEERS["floor"]], logs, tmp_path, tmp_path / "result", 2, Limits(seconds=60))
    assert "No module named" in found.failed[clumsy]
    assert [len(runs) for runs in found.runs.values()] == [2]
    assert not found.wrong
    page = render([found], [], "bench", None)
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


def round_of(size: float, measured: dict[str, tuple[float, float]]) -> Round:
    """A round of one run each: seconds and GB by the name of the contender."""
    everybody = {contender.name: contender for contender in (*ENGINES.values(), *PEERS.values())}
    runs = {
        everybody[name]: [Measurement(seconds, int(peak * 1e9), None)] for name, (seconds, peak) in measured.items()
    }
    return Round(int(size * 1e9), runs, None, {}, {})


def test_targets_are_held_or_missed_by_size() -> None:
    measured = {
        "logmill-polars": (6.0, 1.0),
        "clickhouse": (10.0, 2.0),
        "duckdb": (20.0, 4.0),
        "duckdb_plain": (9.0, 4.0),
    }
    small, large = target_table(round_of(2, measured)), target_table(round_of(10, measured))
    assert small[2] == "| time: embedded engine / ClickHouse | 0.85 | 0.50 | 0.60 | held |"
    assert large[2] == "| time: embedded engine / ClickHouse | 0.60 | 0.50 | 0.60 | held |"
    assert small[3].endswith("| 0.67 | **missed** |")  # of the fastest of DuckDB's statements
    assert small[4].endswith("|  | not measured |")
    assert small[7].endswith("| 0.50 | held |")
    assert large[7].endswith("| 0.50 | **missed** |")
    best = target_table(round_of(2, {"logmill-polars": (1.0, 0.1), "floor": (0.5, 0.1)}))
    assert best[6].endswith("| 2.00 | held, aim reached |")


def test_growth_is_measured_from_the_smallest_to_the_largest_input() -> None:
    rounds = [round_of(20, {"logmill-polars": (66.0, 1.5)}), round_of(2, {"logmill-polars": (6.0, 1.0)})]
    assert [line.rpartition("| 1.")[2] for line in scaling_table(rounds)[2:]] == ["50 | **missed** |", "10 | held |"]


def test_logs_of_other_sizes_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = tmp_path / "logs-of-others"
    others.mkdir()
    kept = data.prepare_logs(tmp_path, 100_000, 1)
    monkeypatch.setattr(data.shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    data.make_room(tmp_path, 1_000_000)
    assert kept.exists()  # there is room enough
    data.make_room(tmp_path, 2_000_000)
    assert not kept.exists()
    assert others.exists()
