"""The first run of a new user: no input, no Java, no arguments."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.end_to_end.program import ROOT, environment, published, run, run_json


def without_java(tmp_path: Path, **settings: object) -> dict[str, str]:
    """An environment in which no Java can be found."""
    empty = tmp_path / "no-programs-here"
    empty.mkdir(exist_ok=True)
    found = environment(**settings) | {"PATH": str(empty)}
    found.pop("JAVA_HOME", None)
    return found


def test_the_first_run_makes_data_and_checks_itself(tmp_path: Path) -> None:
    env = without_java(tmp_path, GENERATOR_SIZE="3MB", GENERATOR_FILES=3, GENERATOR_MALFORMED=0.001)
    ended = run(cwd=tmp_path, env=env | {"COLUMNS": "100"})
    assert ended.code == 0, ended.err
    assert "making test data" in ended.err
    assert "all 7 counts agree" in ended.out
    assert "Spark pays from 5 GB on" in ended.out
    assert "DB-IP" in ended.out
    assert "https://db-ip.com" in ended.out
    truth = json.loads((tmp_path / "pipeline_data" / "input_logs" / "truth.json").read_text())
    rows = published(tmp_path)
    assert sum(row[3] for row in rows) == truth["distinct_ids"]
    assert round(sum(row[2] for row in rows), 4) == round(truth["total_watch_time_min"], 4)
    command = shlex.split(ended.out.partition("Ask it in SQL:\n")[2])
    assert command[:3] == [sys.executable, str(ROOT / "main.py"), "query"]
    asked = run(*command[2:], "--format", "json", cwd=tmp_path, env=env)
    minutes = {region["geo_region"]: region["minutes"] for region in json.loads(asked.out)}
    assert sum(minutes.values()) == pytest.approx(truth["total_watch_time_min"])
    assert minutes.keys() == {row[0] for row in rows}

    again = run_json(cwd=tmp_path, env=env)
    assert published(tmp_path) == rows
    for name in ("records", "duplicates", "conflicts", "rejected", "rejected_by_reason"):
        assert again["records_read" if name == "records" else name] == truth[name], name


def test_generate_is_reproducible(tmp_path: Path) -> None:
    options = ("--files", 2, "--size", "1MB", "--users", 50, "--duplicates", 0.2, "--cross-file-duplicates", 0.1)
    for folder, workers in (("a", 1), ("b", 2)):
        ended = run("generate", *options, "--seed", 5, "--output", folder, cwd=tmp_path,
                    env=environment(PREPROCESSING_WORKERS=workers))  # fmt: skip
        assert ended.code == 0, ended.err
        assert "What a run must find" in ended.out
    first, second = (sorted((tmp_path / name).iterdir()) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert abs(sum(os.path.getsize(path) for path in first[:2]) / 1e6 - 1) < 0.02


def test_quiet_is_silent(logs: Path, tmp_path: Path) -> None:
    ended = run("--input", logs, "--engine", "polars", "--quiet", cwd=tmp_path)
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_progress_in_plain_lines(logs: Path, tmp_path: Path) -> None:
    ended = run("--input", logs, "--engine", "polars", cwd=tmp_path)
    assert "Phase 1" in ended.err
    assert "Phase 2" in ended.err
    assert "\x1b" not in ended.err + ended.out
