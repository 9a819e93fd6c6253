"""What README and guide show runs when it is pasted, and prints what they say."""

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.end_to_end.program import HEADER, ROOT, environment, run_json

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULT = (ROOT / "docs" / "result.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
GEOGRAPHY = (ROOT / "docs" / "geography.md").read_text(encoding="utf-8")
ELSEWHERE = re.compile(
    r"make |\./logmill (dashboard|doctor)|\.venv/bin/pip|LOGMILL_TABLE_FORMAT|.* 2GB |.* --input big |eval "
)
"""Lines that install, serve until they are stopped, need an extra or much time; tests of their own hold them."""


def shell_lines(page: str, start: str) -> list[str]:
    """The lines of the shell from a heading of a page on."""
    blocks = re.findall(r"```sh\n(.*?)```", page[page.index(start) :], flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if not ELSEWHERE.match(line)]


def paste(folder: Path, line: str) -> str:
    """Run a line in a folder that looks like a clone; returns what it prints."""
    env = environment(ENGINE="polars") | {"COLUMNS": "80"}
    ended = subprocess.run(["sh", "-c", line], cwd=folder, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
    return ended.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the session of the README was typed."""
    folder = tmp_path_factory.mktemp("clone")
    program = folder / "logmill"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -X logmill=./logmill "{ROOT}/main.py" "$@"\n')
    program.chmod(0o755)
    session = re.search(r"```console\n(.*?)```", README, flags=re.DOTALL)
    assert session
    assert len(session[1].splitlines()) <= 11
    for step in re.split(r"^\$ ", session[1], flags=re.MULTILINE)[1:]:
        line, _, said = step.partition("\n")
        printed = paste(folder, line)
        assert [shown.rstrip() for shown in printed.splitlines()] == said.splitlines(), line
    return folder


def test_the_session_says_what_duckdb_finds(clone: Path) -> None:
    shown = re.search(r"^user_00000000 +([\d,.]+) +(\d+) +(\d+)$", README, flags=re.MULTILINE)
    assert shown
    with duckdb.connect() as database:
        found = database.execute(
            f"""select round(sum(total_watch_time_min), 2), sum(event_count), count(*)
                from read_parquet('{clone}/pipeline_data/output/*/*.parquet', hive_partitioning = true)
                where user_id = 'user_00000000'"""
        ).fetchone()
    assert found == (float(shown[1].replace(",", "")), int(shown[2]), int(shown[3]))


def test_python_examples_run(clone: Path) -> None:
    for page, word in ((README, "geo_region"), (RESULT, "geo_region")):
        for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
            ended = subprocess.run(
                [sys.executable, "-c", code],
                cwd=clone,
                env=environment(ENGINE="polars", TABLE_FORMAT="parquet") | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
            )
            assert ended.returncode == 0, ended.stderr
            assert word in ended.stdout
            if "from api" not in code:
                assert "resolve(strict=True)" in code, "nothing is read through the link"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "start"),
    [
        (README, "## Your own logs"),
        (RESULT, "## SQL"),
        (GEOGRAPHY, "## Regions of your own"),
        (GUIDE, "## Your own logs"),
    ],
    ids=["readme", "result", "geography", "guide"],
)
def test_commands_of_a_page_run_in_their_order(page: str, start: str, clone: Path) -> None:
    (clone / "mend.csv").unlink(missing_ok=True)
    lines = shell_lines(page, start)
    assert lines
    for line in lines:
        paste(clone, line)
        if line.startswith("./logmill quarantine"):
            mend = (clone / "mend.csv").read_bytes()
            rejected = pl.read_parquet(
                max((clone / "pipeline_data").glob("output.versions/2*")) / "quarantine" / "rejected.parquet"
            )
            assert mend.startswith(HEADER.encode())
            assert all(raw in mend for raw in rejected["raw"])


@pytest.mark.parametrize("page", ["README.md", "docs/quality.md"])
def test_rules_of_the_examples_fit_the_test_data(page: str, clone: Path, tmp_path: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rules = next(block for block in re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL) if "record_rules" in block)
    (tmp_path / "logmill.toml").write_text(rules)
    answer = run_json("--input", clone / "logs", cwd=tmp_path, env=environment())
    judged = [quality for quality in answer["quality"] if quality["name"].startswith("rule:")]
    assert len(judged) == rules.count("action = ")
    assert all(quality["share"] < 0.05 for quality in judged)
    assert any(quality["count"] for quality in judged), "a rule that never speaks shows nothing"
