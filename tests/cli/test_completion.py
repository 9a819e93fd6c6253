"""``completion``: what bash offers for a command line that is half typed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function=$(complete -p logmill | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(cwd), "PATH": os.environ["PATH"]}
    command = [sys.executable, ROOT / "main.py", "completion", shell]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script, a folder and a file to complete, and a settings file of which nothing may be said."""
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    folder = tmp_path_factory.mktemp("bash")
    (folder / "logmill.toml").write_text("this is no TOML")
    done = script("bash", folder)
    assert (done.returncode, done.stderr) == (0, "")
    (folder / "script").write_text(done.stdout)
    (folder / "logs").mkdir()
    (folder / "logs.csv").touch()
    return folder


def offered(folder: Path, *words: str) -> set[str]:
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", "./script", *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return {line.rstrip("/") for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["./logmill", "ro"], {"rollback"}),
        (["/opt/logmill/logmill", "ge"], {"generate", "geo-diff"}),
        (["./logmill", "--full"], {"--full-refresh"}),
        (["./logmill", "query", "--lim"], {"--limit-rows"}),
        (["./logmill", "generate", "--input"], set()),
        (["./logmill", "run", "--input", "lo"], {"logs", "logs.csv", "logmill.toml"}),
        (["./logmill", "run", "--output", "lo"], {"logs"}),
    ],
)
def test_what_bash_offers(words: list[str], expected: set[str], bash: Path) -> None:
    assert offered(bash, *words) == expected


def test_bash_offers_every_command(bash: Path) -> None:
    assert offered(bash, "./logmill", "") == set(COMMANDS)


@pytest.mark.parametrize(("shell", "first"), [("zsh", "#compdef logmill"), ("fish", "#"), ("tcsh", "#")])
def test_other_shells_have_a_script_too(shell: str, first: str, tmp_path: Path) -> None:
    done = script(shell, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(first)
    assert all(f"{name}" in done.stdout for name in COMMANDS)


def test_an_unknown_shell_is_an_error(tmp_path: Path) -> None:
    done = script("ksh", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: SHELL is 'ksh': expected bash, zsh, fish, tcsh.\n"
