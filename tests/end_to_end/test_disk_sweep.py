"""A sample of the fault sweep (``make chaos`` runs all of it)."""

import subprocess
import sys

import pytest

from tests.end_to_end.failing_disk import can_fail
from tests.end_to_end.program import ROOT
from tests.pace import patient

pytestmark = pytest.mark.skipif(not can_fail(), reason="Linux only: a library stands before the C library")


@pytest.mark.parametrize("seed", [3])
def test_a_disk_that_fails_once_changes_nothing(seed: int) -> None:
    """The rounds are made in one process of its own, which loads the failing disk."""
    command = [sys.executable, "-m", "tests.end_to_end.disk_sweep", "--here", "--rounds", "16", "--busy", "0"]
    ended = subprocess.run(
        [*command, "--seed", str(seed)], cwd=ROOT, capture_output=True, text=True, timeout=patient(200), check=False
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert ended.stdout.count("| fine |") >= 4, ended.stdout
