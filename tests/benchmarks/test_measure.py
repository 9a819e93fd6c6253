"""What a run takes, with that of processes that work for it and were there before."""

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from benchmarks.measure import measure

MEMORY, SPUN = 80 * 10**6, 0.7
SERVER = f"""
import time
held = bytearray({MEMORY})
while time.process_time() < {SPUN}: pass
print("ready", flush=True)
input()
"""


@pytest.fixture
def server() -> Iterator[int]:
    """A process that has taken memory and time, and waits now."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


def test_memory_of_a_server_is_the_runs_and_its_time_from_now_on(server: int) -> None:
    taken = sum(psutil.Process(server).cpu_times()[:2])
    alone = measure(["sleep", "0.7"], {"PATH": "/usr/bin:/bin"})
    with_server = measure(["sleep", "0.7"], {"PATH": "/usr/bin:/bin"}, servers=[server])
    assert alone.peak_bytes < MEMORY < with_server.peak_bytes
    assert taken > 0.9 * SPUN > with_server.own_seconds
    assert psutil.Process(server).is_running(), "it does not end with the run"
