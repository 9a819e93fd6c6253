"""One cold process, from its start to its end: wall-clock time and peak memory of its whole process tree."""

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from utils.metrics import memory_in_use

_INTERVAL_SECONDS = 0.05
_SEARCH_SECONDS = 0.5
_TAIL_CHARACTERS = 2000


@dataclass(frozen=True)
class Measurement:
    """What one process took; ``failure`` is the end of what it said, where it did not exit with 0."""

    seconds: float
    peak_bytes: int
    failure: str | None


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Measurement:
    """Run a command to its end. Memory is sampled: each process's own pages, and the shared ones once."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        start = time.perf_counter()
        child = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        tree = psutil.Process(child.pid)
        peak, found, family = 0, 0.0, [tree]
        while True:
            try:
                child.wait(_INTERVAL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if time.perf_counter() - found > _SEARCH_SECONDS:
                    family, found = _family(tree), time.perf_counter()
                peak = max(peak, memory_in_use(family))
        seconds = time.perf_counter() - start
        said.seek(0)
        failure = None if child.returncode == 0 else f"exit {child.returncode}: {said.read()[-_TAIL_CHARACTERS:]}"
    return Measurement(seconds, peak, failure)


def _family(tree: psutil.Process) -> list[psutil.Process]:
    """The process and all below it; to search the table of processes for them takes milliseconds."""
    try:
        return [tree, *tree.children(recursive=True)]
    except psutil.Error:
        return [tree]
