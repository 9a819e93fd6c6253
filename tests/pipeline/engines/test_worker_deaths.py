"""Workers that are killed while they work: the others' tasks end, and the task that kills is given up."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from pipeline.engines.local import LocalEngine
from pipeline.errors import WorkerDied


def double(job: Path, task: int, report: Callable[[int], None]) -> int:
    """Dies over 7 always, over 5 once."""
    report(1)
    once = job / "once"
    if task == 7 or (task == 5 and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * task


def test_others_finish_and_the_third_death_is_the_end(tmp_path: Path) -> None:
    with LocalEngine(2, tmp_path) as engine:
        found = dict(engine.map(double, list(range(40)), lambda _: None))
        again = dict(engine.map(double, [1, 2], lambda _: None))
    assert isinstance(found.pop(7), WorkerDied)
    assert found == {task: 2 * task for task in range(40) if task != 7}
    assert again == {1: 2, 2: 4}
