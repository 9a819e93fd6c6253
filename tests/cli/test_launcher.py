"""The script ``./logmill``: which Python it runs, and how messages name the program for whoever started it."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.arguments import parse_arguments

ROOT = Path(__file__).parents[2]
FAKE = """#!/bin/sh
for word in "$0" "$@"; do echo "$word"; done
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A fresh clone with a blank in its path: this program by links, without an environment."""
    root = tmp_path / "my clone"
    root.mkdir()
    for name in ("cli", "config.py", "data_generator", "main.py", "pipeline", "pyproject.toml", "utils"):
        (root / name).symlink_to(ROOT / name)
    shutil.copy2(ROOT / "logmill", root / "logmill")
    return root


@pytest.fixture
def fake(root: Path) -> Path:
    """The same with a Python that prints how it was started."""
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE)
    python.chmod(0o755)
    return root


def environment(tmp_path: Path, path: str = "/usr/bin:/bin") -> dict[str, str]:
    """That of a new user."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8"}


def started(*words: object, cwd: Path, env: dict[str, str]) -> list[str]:
    done = subprocess.run([*map(str, words)], cwd=cwd, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_it_runs_main_by_the_python_of_the_environment(fake: Path, tmp_path: Path) -> None:
    env = environment(tmp_path)
    python, main = str(fake / ".venv/bin/python"), str(fake / "main.py")
    assert started("./logmill", "query", "FROM runs", "", cwd=fake, env=env) == [
        *(python, "-X", "logmill=./logmill", main, "query", "FROM runs", ""),
    ]
    assert started("sh", "logmill", cwd=fake, env=env) == [python, "-X", "logmill=./logmill", main]
    elsewhere = started("my clone/logmill", cwd=tmp_path, env=env)
    assert elsewhere == [python, "-X", "logmill=my clone/logmill", main]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "logmill").symlink_to(fake / "logmill")
    found = started("logmill", cwd=tmp_path, env=environment(tmp_path, f"{tmp_path}/bin:/usr/bin:/bin"))
    assert found == [python, "-X", f"logmill={tmp_path}/bin/logmill", main]


def test_without_an_environment_it_says_how_to_make_one(root: Path, tmp_path: Path) -> None:
    done = subprocess.run(["./logmill", "status"], cwd=root, env=environment(tmp_path), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith(f"error: there is no Python environment in {root}/.venv. ")
    by_make, by_hand = done.stderr.partition("once: ")[2].split(" (without make: ")
    assert shlex.split(by_make) == ["make", "-C", str(root), "install"]
    assert by_hand.rstrip(")\n").endswith("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt")


@pytest.mark.parametrize("start", ["script", "activated", "by its path"])
def test_what_an_error_tells_to_run_can_be_pasted(start: str, root: Path, tmp_path: Path) -> None:
    """The error of a first ``path`` names ``run``; that command, with ``--help`` behind it, must be understood."""
    (root / ".venv").symlink_to(sys.prefix)
    commands = {
        "script": ("./logmill", root, "./logmill"),
        "activated": ("python main.py", root, "python main.py"),
        "by its path": (".venv/bin/python 'my clone/main.py'", tmp_path, ".venv/bin/python 'my clone/main.py'"),
    }
    typed, folder, named = commands[start]
    env = environment(tmp_path, f"{root}/.venv/bin:/usr/bin:/bin" if start == "activated" else "/usr/bin:/bin")
    if start == "by its path":
        (tmp_path / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(f"{typed} path", shell=True, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 3
    advice = done.stderr.split("`")[1]
    assert advice == f"{named} run"
    again = subprocess.run(f"{advice} --help", shell=True, cwd=folder, env=env, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith(f"usage: {named} run ")


@pytest.mark.parametrize(
    "named", [("sys._xoptions", "logmill", "/opt/my mill/logmill"), ("started as main.py",)], ids=len
)
def test_help_names_the_program_and_its_pip_as_they_work_here(
    named: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(sys, "argv", ["/opt/my mill/main.py"])
    monkeypatch.setattr(sys, "_xoptions", {named[1]: named[2]} if len(named) == 3 else {})
    monkeypatch.chdir(ROOT)
    python = os.path.relpath(sys.executable, ROOT) if sys.executable.startswith(f"{ROOT}/") else sys.executable
    program = "'/opt/my mill/logmill'" if len(named) == 3 else f"{python} '/opt/my mill/main.py'"
    shown = {}
    for command in ("completion", "dashboard"):
        with pytest.raises(SystemExit):
            parse_arguments([command, "--help"])
        shown[command] = capsys.readouterr().out
        assert "./logmill" not in shown[command]
    assert f'eval "$({program} completion bash)"' in shown["completion"]
    assert f"It needs Streamlit: {python} -m pip install -r requirements-dashboard.txt\n" in shown["dashboard"]


def test_a_python_without_the_packages_is_told_about_the_script(root: Path, tmp_path: Path) -> None:
    """The Python of the system has none of them, and its pip is often forbidden to install any."""
    base = os.path.realpath(sys.executable)
    line = [base, "-S", "main.py", "query", "FROM runs"]  # -S: without any package
    done = subprocess.run(line, cwd=root, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 5
    assert done.stderr.endswith(" is missing. Run: make -C . install, and start ./logmill\n")


def test_make_has_the_target_that_the_messages_name(tmp_path: Path) -> None:
    shown = subprocess.run(
        ["make", "-C", str(ROOT), "--dry-run", "install", "run"], capture_output=True, text=True, check=True
    ).stdout
    assert "-X logmill=./logmill main.py" in shown
    other = subprocess.run(
        ["make", "-C", str(ROOT), "--dry-run", f"VENV={tmp_path}", "run"], capture_output=True, text=True, check=True
    ).stdout
    assert "logmill=" not in other, "./logmill would start another Python"
