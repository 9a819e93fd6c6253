"""How fast this machine is just now: the time limits of tests follow it, and are never shorter than on a quiet one."""

import subprocess
import sys
import time
from functools import cache

QUIET_SECONDS = 0.45
"""What ``measure`` takes on two cores where nothing else runs; with another worker of the tests it is twice as much."""
_PROGRAM = "import polars, pyarrow.parquet; sum(n * n for n in range(5_000_000))"


def measure() -> float:
    """The seconds of two programs at once: their start, which reads many files, and a computation."""
    begin = time.monotonic()
    programs = [subprocess.Popen([sys.executable, "-c", _PROGRAM]) for _ in range(2)]
    for program in programs:
        program.wait()
    return time.monotonic() - begin


@cache
def slowness() -> float:
    """How many times as long as on a quiet machine everything takes, as measured once at the start; at least 1."""
    return max(1.0, measure() / QUIET_SECONDS)


def patient(seconds: float) -> float:
    """A limit that is right on a quiet machine, for this one."""
    return seconds * slowness()
