"""``--version``: the versions of Logmill, Python and the engines, and the commit."""

import os
import platform
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cli.console import Answer

ROOT = Path(__file__).resolve().parent.parent
COMMIT_FILE = "COMMIT"
"""File beside ``main.py`` that names the commit where there is no repository: the image build may write it."""

_GIT_SECONDS = 5
_ENGINES = {"Polars": "polars", "PySpark": "pyspark"}


def show_version(answer: Answer) -> int:
    """Answer with the versions and return 0, without loading an engine or reading a setting: either may be at fault."""
    program, commit = program_version(), find_commit()
    others = {"Python": platform.python_version()} | {name: _installed(name) for name in _ENGINES}
    if answer.as_json:
        names = {name.lower(): found for name, found in others.items()}
        answer.give({"logmill": program, "commit": commit, **names})
    else:
        lines = [f"Logmill {program} ({f'commit {commit}' if commit else 'commit unknown'})"]
        lines += [f"{name} {found or 'is not installed'}" for name, found in others.items()]
        answer.write("\n".join(lines) + "\n")
    return 0


def program_version(root: Path = ROOT) -> str:
    """The version that ``pyproject.toml`` states, or ``unknown`` without that file."""
    try:
        return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
    except (OSError, ValueError, KeyError):
        return "unknown"


def find_commit(root: Path = ROOT) -> str | None:
    """The abbreviated commit of the repository in ``root``, or the text of the file ``COMMIT``, or None."""
    if (root / ".git").exists():
        return _commit_of_repository(root)
    try:
        return (root / COMMIT_FILE).read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None


def _commit_of_repository(root: Path) -> str | None:
    # GIT_DIR and the like may name another repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=_GIT_SECONDS)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _installed(name: str) -> str | None:
    try:
        return version(_ENGINES[name])
    except PackageNotFoundError:
        return None
