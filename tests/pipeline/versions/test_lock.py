"""The lock: it lives as long as its process, whatever namespaces and host names say; nothing that a process starts
inherits it."""

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from pipeline.errors import EnvironmentFault
from pipeline.versions.lock import LOCK_FILE, Lock
from tests.end_to_end.program import ROOT, wait_for
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
HOLD = """
import sys, time
from pipeline.versions.lock import Lock
with Lock(sys.argv[1], "x"):
    print("held", flush=True)
    time.sleep(600)
"""


def under(*words: str) -> list[str]:
    """A command that starts others in namespaces of their own."""
    command = ["unshare", *words]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user or container may not make namespaces")
    return command


def hold(folder: Path, command: Sequence[str] = (), code: str = HOLD) -> subprocess.Popen:
    """A process that holds the lock of ``folder`` until it is killed."""
    holder = subprocess.Popen([*command, sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def end(process: subprocess.Popen) -> None:
    """Kill a process and all that it has started."""
    for member in [*psutil.Process(process.pid).children(recursive=True), process]:
        member.kill()
    process.communicate()


def test_one_of_many_takes_over_from_the_dead(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / LOCK_FILE).write_text('{"pid": 1, "host": "dead", "since": "long ago"}')
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


@pytest.mark.parametrize(
    "namespaces",
    ["", "--pid --fork --mount-proc", "--uts", "--pid --uts --mount --fork", "--user --pid --fork"],
    ids=["none", "pid", "uts", "pid and uts", "user"],
)
def test_a_live_lock_is_respected_from_any_namespace(namespaces: str, tmp_path: Path) -> None:
    """In a container with the network of its host, the host name is the same, and the holder's number means nothing."""
    holder = hold(tmp_path, under(*namespaces.split()) if namespaces else ())
    try:
        with (
            pytest.raises(EnvironmentFault, match=f"another run holds '{tmp_path}': process"),
            Lock(tmp_path, "second"),
        ):
            pass
    finally:
        end(holder)
    with Lock(tmp_path, "third"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_challenger_in_a_container_respects_a_holder_on_its_host(tmp_path: Path) -> None:
    command = [*under("--pid", "--fork", "--mount-proc"), sys.executable, "-c", HOLD, str(tmp_path)]
    with Lock(tmp_path, "on the host"):
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tried.returncode == 1
    assert f"process {os.getpid()} on {socket.gethostname()}" in tried.stderr


def test_the_lock_of_a_killed_container_is_free_for_a_host_of_another_name(tmp_path: Path) -> None:
    holder = hold(tmp_path, [*under("--uts", "--pid", "--fork"), "sh", "-c", 'hostname killed-one && exec "$@"', "sh"])
    assert json.loads((tmp_path / LOCK_FILE).read_text())["host"] == "killed-one"
    end(holder)
    assert (tmp_path / LOCK_FILE).exists(), "a killed process removes nothing"
    with Lock(tmp_path, "successor"):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["host"] == socket.gethostname()


def test_a_clock_that_is_set_frees_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lock(tmp_path, "first"):
        jump = time.time() + 10**6
        os.utime(tmp_path / LOCK_FILE, (1, 1))
        monkeypatch.setattr(time, "time", lambda: jump)
        with pytest.raises(EnvironmentFault, match=f"process {os.getpid()} on"), Lock(tmp_path, "second"):
            pass


def test_a_killed_run_that_nobody_has_waited_for_holds_nothing(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    holder.kill()
    wait_for(lambda: psutil.Process(holder.pid).status() == psutil.STATUS_ZOMBIE)
    with Lock(tmp_path, "next"):
        pass
    holder.communicate()


def test_a_stopped_run_holds_its_lock(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    holder.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(EnvironmentFault, match="another run holds"), Lock(tmp_path, "next"):
            pass
    finally:
        end(holder)


ORPHANS = """
import subprocess, sys, time, multiprocessing
from pathlib import Path
from pipeline.engines.workers import Workers
from pipeline.versions.lock import Lock
def main():
    with Lock(sys.argv[1], "x"):
        with Workers(2) as workers:
            child = subprocess.Popen(["sleep", "600"])
            spawned = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True)
            spawned.start()
            for future in [workers.submit(number, begin) for number in (1, 2)]:
                future.result()
            print("held", flush=True)
            time.sleep(600)
def begin(advance):
    return None
if __name__ == "__main__":
    main()
"""


def test_what_a_killed_run_has_started_holds_nothing(tmp_path: Path) -> None:
    """Workers, the server that forks them, and other programs, all stopped so that none can end."""
    program = tmp_path / "orphans.py"
    program.write_text(ORPHANS)
    folder = tmp_path / "locked"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen([sys.executable, program, folder], stdout=subprocess.PIPE, text=True, env=env)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    family = psutil.Process(holder.pid).children(recursive=True)
    try:
        assert len(family) >= 5, "the server, its tracker, two workers, a program, a spawned process"
        for member in family:
            member.suspend()
        with pytest.raises(EnvironmentFault, match="another run holds"), Lock(folder, "too early"):
            pass
        holder.kill()
        holder.wait()
        with Lock(folder, "next"):
            assert all(member.is_running() for member in family)
    finally:
        for member in family:
            member.kill()
        holder.kill()
        holder.communicate()


def test_a_lock_whose_file_was_removed_is_lost(tmp_path: Path) -> None:
    with Lock(tmp_path, "first") as first:
        first.confirm()
        (tmp_path / LOCK_FILE).unlink()
        with Lock(tmp_path, "second"), pytest.raises(EnvironmentFault, match="lost the lock"):
            first.confirm()
    assert list(tmp_path.iterdir()) == []


def fail_after_losing(lock: Path) -> None:
    lock.unlink()
    raise FileNotFoundError("another run has removed a file")


def test_a_block_that_fails_because_the_lock_was_lost_says_so(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="lost the lock"), Lock(tmp_path, "first"):
        fail_after_losing(tmp_path / LOCK_FILE)
    with pytest.raises(KeyError), Lock(tmp_path, "second"):
        raise KeyError


def test_a_lock_survives_a_folder_that_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that cannot be removed is no fault, and no lock."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patched, Lock(tmp_path, "first"):
        patched.setattr(Path, "unlink", refuse)
    with Lock(tmp_path, "second"):
        pass


def test_other_errors_of_the_system_are_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output"), Lock(tmp_path, "first"):
        pass
