"""``error:`` and ``warning:`` have a colour on a terminal, and only there."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RED = "\x1b[1;31merror\x1b[0m: --jsn is no option of run."


def said(*words: str, cwd: Path, terminal: bool = True, **variables: str) -> str:
    """What ``--jsn`` says on stderr, a terminal or a pipe."""
    env = {"HOME": str(cwd), "PATH": os.environ["PATH"], "TERM": "xterm", **variables}
    command = [sys.executable, ROOT / "main.py", "--jsn", *words]
    if not terminal:
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True).stderr
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=cwd, env=env, stderr=theirs) as program:
        os.close(theirs)
        text = os.read(ours, 10_000).decode()
        assert program.wait() == 2
    os.close(ours)
    return text


def test_a_terminal_gets_colours(tmp_path: Path) -> None:
    assert said(cwd=tmp_path).startswith(RED)


@pytest.mark.parametrize("way", ["pipe", "NO_COLOR", "--no-color", "dumb"])
def test_whoever_wants_none_gets_none(way: str, tmp_path: Path) -> None:
    variables = {"NO_COLOR": {"NO_COLOR": "1"}, "dumb": {"TERM": "dumb"}}.get(way, {})
    words = ["--no-color"] if way == "--no-color" else []
    text = said(*words, cwd=tmp_path, terminal=way != "pipe", **variables)
    assert text.startswith("error: --jsn is no option of run.")
    assert "\x1b" not in text
