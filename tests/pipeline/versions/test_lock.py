"""The lock: one of many takes over from a dead run, and neither the clock nor a zombie misleads it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.errors import EnvironmentFault
from pipeline.versions.lock import LOCK_FILE, Lock
from tests.end_to_end.program import wait_for
from tests.pace import patient

ROUNDS = 40
TAKE = f"""
import sys, time
from pathlib import Path
from pipeline.errors import EnvironmentFault
from pipeline.versions.lock import Lock
for round in range({ROUNDS}):
    folder = Path(sys.argv[1]) / str(round)
    while not (folder / "go").exists():
        time.sleep(0.0005)
    try:
        with Lock(folder, "x"):
            (folder / f"won-{{sys.argv[2]}}").touch()
            while not (folder / "end").exists():
                time.sleep(0.0005)
    except EnvironmentFault:
        (folder / f"lost-{{sys.argv[2]}}").touch()
"""


def test_one_of_many_takes_over_from_the_dead(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        with Lock(folder, "dead"):
            holder = json.loads((folder / LOCK_FILE).read_text())
        (folder / LOCK_FILE).write_text(json.dumps(holder | {"pid": dead.pid}))
    rivals = [subprocess.Popen([sys.executable, "-c", TAKE, str(tmp_path), str(number)]) for number in range(6)]
    try:
        for number in range(ROUNDS):
            folder = tmp_path / str(number)
            (folder / "go").touch()
            until = time.monotonic() + patient(20)
            while len([*folder.glob("won-*"), *folder.glob("lost-*")]) < len(rivals):
                assert time.monotonic() < until, "a rival has died"
            winners = [path.name for path in folder.glob("won-*")]
            (folder / "end").touch()
            assert len(winners) == 1, f"round {number}: {winners}"
        assert [rival.wait(patient(20)) for rival in rivals] == [0] * len(rivals)
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()


def test_a_clock_that_is_set_frees_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's idea of when it was started, and with it of when a process was, moves with the clock."""
    with Lock(tmp_path, "first"):
        begun = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: begun(self) - 3600)
        with pytest.raises(EnvironmentFault, match=f"process {os.getpid()} on"), Lock(tmp_path, "second"):
            pass


def test_a_killed_run_that_nobody_has_waited_for_holds_nothing(tmp_path: Path) -> None:
    hold = "import sys, time; from pipeline.versions.lock import Lock\nwith Lock(sys.argv[1], 'x'): time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)])
    wait_for(lambda: (tmp_path / LOCK_FILE).exists() and (tmp_path / LOCK_FILE).stat().st_size > 0)
    child.kill()
    wait_for(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    with Lock(tmp_path, "next"):
        pass
    child.wait()
