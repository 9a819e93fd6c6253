"""The points at which tests kill the program: at the right passing, both processes, or with the right error."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.faults import VARIABLE

ROOT = Path(__file__).parents[2]
PASS = """
from pipeline.faults import point
for number in range(5):
    for name in ("other", "here", "here.done"):
        print(number, name, flush=True)
        point(name)
"""
CHILD = f"""
import os, subprocess, sys, pipeline.faults
subprocess.run([sys.executable, "-c", {PASS!r}])
print("the main process goes on", flush=True)
"""


def run(program: str, fault: str | None) -> tuple[int, list[str], str]:
    """(exit code, lines, error output)"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGMILLTEST_")}
    if fault is not None:
        environment[VARIABLE] = fault
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout.splitlines(), ended.stderr


@pytest.mark.parametrize("fault", [None, "", "nowhere:1", "her:1", "here:99"])
def test_without_a_point_that_is_passed_nothing_happens(fault: str | None) -> None:
    code, lines, _ = run(PASS, fault)
    assert (code, len(lines)) == (0, 15)


@pytest.mark.parametrize(("fault", "last"), [("here", "0 here"), ("here:1", "0 here"), ("here.done:3", "2 here.done")])
def test_the_process_is_killed_at_the_right_passing(fault: str, last: str) -> None:
    code, lines, _ = run(PASS, fault)
    assert (code, lines[-1]) == (-signal.SIGKILL, last)


def test_an_error_comes_once() -> None:
    program = """
from pipeline.faults import point
for number in range(5):
    try:
        point("here")
    except OSError:
        print(number)
"""
    assert run(program, "here:2:EIO") == (0, ["1"], "")


def test_an_error_of_the_disk_comes_in_place_of_the_kill() -> None:
    code, lines, error = run(PASS, "here:2:ENOSPC")
    assert (code, lines[-1]) == (1, "1 here")
    assert error.splitlines()[-1] == "OSError: [Errno 28] No space left on device"


def test_the_main_process_dies_with_the_one_that_passes() -> None:
    code, lines, _ = run(CHILD, "here:2")
    assert (code, lines[-1]) == (-signal.SIGKILL, "1 here")
    assert run(CHILD, "nowhere:1")[1][-1] == "the main process goes on"
