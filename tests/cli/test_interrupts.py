"""Signals that end the program: each interrupts once, and one that was ignored stays ignored."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys
from cli.interrupts import end_on_signals
end_on_signals()
try:
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    print("went on")
except KeyboardInterrupt:
    print("interrupted")
for name in "SIGTERM", "SIGINT", "SIGHUP":
    os.kill(os.getpid(), getattr(signal, name))
print("cleaned up")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_interrupts_once(name: str) -> None:
    """A closing terminal and a hasty finger send several: they do not interrupt what the first one began."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, name], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\ncleaned up\n", "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_ignored_signal_stays_ignored(name: str) -> None:
    """As ``nohup`` does it with SIGHUP, and a shell with SIGINT for a command in the background."""
    program = PROGRAM.rpartition("for name")[0]
    command = ["sh", "-c", f'trap \'\' {name[3:]}; exec "$0" -c "$1" {name}', sys.executable, program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_later_signal_interrupts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal that hangs can be given up."""
    from cli import interrupts

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    try:
        interrupts.end_on_signals()
        monkeypatch.setattr(interrupts, "_PATIENCE_SECONDS", 0.0)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
