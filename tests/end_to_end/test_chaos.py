"""A sample of the kill sweep (``make chaos`` runs all of it), and full disks at the same points."""

import random
from pathlib import Path

import pytest

from tests.end_to_end.chaos import RANDOM_TIME, RECOVERED, Sweep, points
from tests.end_to_end.command import command_json
from tests.end_to_end.days import expected, write_day
from tests.end_to_end.program import environment, published, run_json
from tests.harness import run_here

SAMPLE = ["manifest.finish", "manifest.prepare.done", "publish.rename", "publish.link", "publish.link.done",
          "manifest.forget.done", "manifest.create.done", "manifest.names", "manifest.reopen.done",
          "rows.write"]  # fmt: skip


def test_killed_runs_recover(tmp_path: Path) -> None:
    assert set(SAMPLE) <= set(points())
    sweep = Sweep(tmp_path, seed=2)
    for point in SAMPLE:
        sweep.kill_once(point)
    for _ in range(20):  # a run may end before its random time comes
        if not sweep.outcomes[RANDOM_TIME, RECOVERED]:
            sweep.kill_once(RANDOM_TIME)
    assert not sweep.failed, sweep.table()
    assert {point for point, ending in sweep.outcomes if ending == RECOVERED} == {*SAMPLE, RANDOM_TIME}, sweep.table()


@pytest.mark.parametrize("point", ["rows.write", "output.write", "publish.link", "store.sync"])
def test_a_full_disk_changes_nothing(point: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    write_day(tmp_path / "logs" / "0.csv", random.Random(0))
    run_here(tmp_path)
    before = published(tmp_path)
    write_day(tmp_path / "logs" / "1.csv", random.Random(1))
    answer = run_json(
        "--input", "logs", cwd=tmp_path, code=5, env=environment() | {"LOGMILLTEST_FAULT": f"{point}:1:ENOSPC"}
    )
    assert "No space left" in answer["error"]
    assert published(tmp_path) == before
    command_json("--input", "logs", cwd=tmp_path)
    assert published(tmp_path) == expected(sorted((tmp_path / "logs").glob("*.csv")))[0]
