"""scripts/submit.sh: settings come from a file, which is read and never run."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.program import ROOT

SCRIPT = ROOT / "scripts" / "submit.sh"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of the script beside a program that prints its words and settings."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "submit.sh").write_bytes(SCRIPT.read_bytes())
    program = tmp_path / "logmill"
    program.write_text('#!/bin/sh\necho "$@"\nenv | grep -E "^(LOGMILL|SPARK)_" | sort\nexit 4\n')
    program.chmod(0o755)
    return tmp_path


def submit(place: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGMILL_", "SPARK_"))}
    script = place / "scripts" / "submit.sh"
    return subprocess.run(["sh", script, *words], capture_output=True, text=True, env=kept | variables)


def test_the_program_gets_words_settings_and_its_exit_code_counts(place: Path) -> None:
    (place / ".env").write_text(
        "# a comment\n\nLOGMILL_SPARK_MASTER=yarn\nSPARK_CONF_DIR=/etc/my conf\nLOGMILL_BUCKETS=\n"
    )
    done = submit(place, "--input", "my logs")
    assert done.returncode == 4
    assert done.stdout.splitlines() == ["--input my logs", "LOGMILL_SPARK_MASTER=yarn", "SPARK_CONF_DIR=/etc/my conf"]


def test_variables_win_over_the_file(place: Path) -> None:
    (place / ".env").write_text("LOGMILL_SPARK_MASTER=yarn")
    assert "LOGMILL_SPARK_MASTER=spark://a:1" in submit(place, LOGMILL_SPARK_MASTER="spark://a:1").stdout


def test_nothing_in_the_file_is_run(place: Path) -> None:
    (place / ".env").write_text("LOGMILL_SPARK_MASTER=$(touch ran)`touch ran`;touch ran\n")
    assert "LOGMILL_SPARK_MASTER=$(touch ran)`touch ran`;touch ran" in submit(place).stdout
    assert not list(place.rglob("ran"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "Copy .env.example to .env"),
        ("LOGMILL_BUCKETS=4\n", "no cluster is named"),
        ("touch ran\n", "neither NAME=value nor a comment"),
        ("A B=1\n", "no name of a variable"),
    ],
    ids=["no file", "no master", "no setting", "no name"],
)
def test_what_is_wrong_is_told_before_anything_starts(text: str | None, said: str, place: Path) -> None:
    if text is not None:
        (place / ".env").write_text(text)
    done = submit(place)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_the_example_has_settings_that_exist(place: Path) -> None:
    from config import Config

    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = [line.partition("=")[0] for line in example.splitlines() if line and not line.startswith("#")]
    assert {name.removeprefix("LOGMILL_") for name in names if name.startswith("LOGMILL_")} <= set(vars(Config()))
    (place / ".env").write_text(example)
    assert submit(place).returncode == 4
