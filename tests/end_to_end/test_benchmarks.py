"""The benchmark runs, and its contenders agree, on data that takes no time."""

import subprocess
import sys
from pathlib import Path

from benchmarks.report import BASE
from tests.end_to_end.program import ROOT, environment


def test_contenders_agree(tmp_path: Path) -> None:
    report = tmp_path / "benchmarks.md"
    command = [sys.executable, "-m", "benchmarks", "--sizes", "2MB", "--runs", "1", "--engines", "polars"]
    places = ["--peers", f"{BASE},duckdb_plain,polars", "--data", str(tmp_path / "data"), "--report", str(report)]
    done = subprocess.run([*command, *places], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    table = [line for line in report.read_text().splitlines() if line.startswith("| ")]
    assert len(table) == 1 + 4
    assert any("1.00" in line for line in table)
