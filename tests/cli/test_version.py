"""``--version`` through the real command line, in this repository and in a copy of what the container image holds."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from cli.arguments import parse_arguments
from cli.commands import COMMANDS
from cli.version import COMMIT_FILE, find_commit, program_version

ROOT = Path(__file__).parents[2]
OTHERS = {"python": sys.version.split()[0], "polars": version("polars"), "pyspark": version("pyspark")}


def show(*arguments: str, root: Path = ROOT, **variables: str) -> str:
    """What ``python main.py`` prints; it must succeed and leave stderr empty."""
    done = subprocess.run(
        [sys.executable, root / "main.py", *arguments], env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def make_repository(folder: Path) -> str:
    """A repository with one empty commit; returns its abbreviated name."""
    folder.mkdir()
    identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", folder, *command], check=True, capture_output=True)
    named = subprocess.run(["git", "-C", folder, "rev-parse", "--short", "HEAD"], check=True, capture_output=True)
    return named.stdout.decode().strip()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The files that the image holds, without a repository."""
    folder = tmp_path / "app"
    for source in re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), flags=re.MULTILINE):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__", "data"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / source, folder / source)
    return folder


def test_the_version_is_shown_in_lines() -> None:
    first, *others = show("--version").splitlines()
    assert re.fullmatch(rf"Logmill {re.escape(program_version())} \(commit \w+\)", first)
    assert others == [f"{name} {OTHERS[name.lower()]}" for name in ("Python", "Polars", "PySpark")]


def test_the_version_is_one_object_with_json() -> None:
    answer = json.loads(show("--json", "--version"))
    assert answer == {"logmill": program_version(), "commit": find_commit(), **OTHERS}


def test_the_version_needs_no_valid_settings() -> None:
    assert show("query", "--version", LOGMILL_PREPROCESSING_WORKERS="none").startswith("Logmill ")


def test_the_image_knows_its_version_and_the_commit_that_it_was_built_with(image: Path) -> None:
    assert show("--version", root=image).startswith(f"Logmill {program_version()} (commit unknown)\n")
    (image / COMMIT_FILE).write_text("abc1234\n")
    assert json.loads(show("--version", "--json", root=image))["commit"] == "abc1234"
    assert f"> /app/{COMMIT_FILE};" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_it_and_requires_nothing_else(command: str) -> None:
    assert parse_arguments([command, "--quiet", "--version"]).show_version
    assert parse_arguments([command, "--version", "--workers"]).show_version


def test_a_value_behind_two_dashes_does_not_ask_for_the_version() -> None:
    arguments = parse_arguments(["explain", "--", "--version"])
    assert (arguments.log_id, arguments.show_version) == ("--version", False)


def test_the_commit_is_that_of_the_repository_whatever_git_variables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, other = make_repository(tmp_path / "a"), make_repository(tmp_path / "b")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "b" / ".git"))
    assert (find_commit(tmp_path / "a"), find_commit(tmp_path / "b")) == (commit, other)


def test_without_git_or_its_data_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    assert find_commit(tmp_path) is None
    make_repository(tmp_path / "a")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_commit(tmp_path / "a") is None


def test_a_damaged_file_hides_the_version_and_fails_nothing(tmp_path: Path) -> None:
    assert program_version(tmp_path) == "unknown"
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert program_version(tmp_path) == "unknown"
    (tmp_path / "pyproject.toml").write_bytes(b"\xff")
    assert program_version(tmp_path) == "unknown"
    (tmp_path / COMMIT_FILE).write_bytes(b"\xff")
    assert find_commit(tmp_path) is None


def test_the_version_loads_no_engine() -> None:
    program = (
        "import sys\nfrom main import main\nassert main(['--version']) == 0\n"
        "heavy = {'polars', 'pyspark', 'numpy', 'rich', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True)
