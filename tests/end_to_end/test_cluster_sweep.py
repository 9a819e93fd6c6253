"""The sweep of a cluster takes no end of a run for that of its victim which is not."""

import signal
from pathlib import Path

import pytest

from tests.end_to_end.cluster_sweep import VICTIMS, ClusterSweep
from tests.end_to_end.program import Ended


@pytest.mark.parametrize("victim", [name for name in VICTIMS if name != "driver"])
def test_a_driver_that_is_killed_in_the_place_of_another_victim_is_a_failure(victim: str, tmp_path: Path) -> None:
    sweep = ClusterSweep(None, tmp_path, seed=1)  # type: ignore[arg-type] # nothing is started again
    outcome = sweep._judge(Ended(-signal.SIGKILL, "", "gone"), victim)
    assert outcome == "ended with -9: gone"
    sweep.outcomes[victim, outcome] += 1
    assert sweep.failed


def test_a_driver_that_outlives_its_kill_is_a_failure(tmp_path: Path) -> None:
    sweep = ClusterSweep(None, tmp_path, seed=1)  # type: ignore[arg-type] # nothing is started again
    assert sweep._judge(Ended(5, '{"error": "memory ran out."}', ""), "driver").startswith("ended with 5")
