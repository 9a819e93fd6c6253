"""The lease of a file system that cannot lock: it is renewed, it expires, and one alone takes over an expired one."""

import errno
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import EnvironmentFault
from pipeline.versions.lease import Lease, LeaseHeld
from pipeline.versions.lock import LEASE_FILE, Lock
from tests.end_to_end.program import wait_for
from tests.pace import patient

NO_LOCKS = """
import errno, fcntl, sys, time
from pathlib import Path
from pipeline.errors import EnvironmentFault
from pipeline.versions.lock import Lock
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
folder = Path(sys.argv[1])
"""
HOLD = f"""{NO_LOCKS}
with Lock(folder, "x", term=float(sys.argv[2])):
    (folder / "held").touch()
    time.sleep(600)
"""
RIVAL = f"""{NO_LOCKS}
try:
    with Lock(folder, "x", term=float(sys.argv[2])):
        (folder / f"won-{{sys.argv[3]}}").touch()
        while not (folder / "end").exists():
            time.sleep(0.01)
except EnvironmentFault:
    (folder / f"lost-{{sys.argv[3]}}").touch()
"""


@pytest.fixture(params=["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """flock answers as on a file system without locks."""
    code = getattr(errno, request.param)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)


def start(code: str, *words: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)])


@pytest.mark.slow
@pytest.mark.usefixtures("no_locks")
def test_a_live_lease_is_respected_and_a_dead_one_expires(tmp_path: Path) -> None:
    term = patient(2)
    holder = start(HOLD, tmp_path, term)
    try:
        wait_for((tmp_path / "held").exists)
        for _ in range(2):
            with pytest.raises(EnvironmentFault, match=f"process {holder.pid} on"), Lock(tmp_path, "second", term):
                pass
    finally:
        holder.kill()
        holder.wait()
    assert (tmp_path / LEASE_FILE).exists()
    with Lock(tmp_path, "next", term=0.2) as lock:
        lock.confirm()
        assert json.loads((tmp_path / LEASE_FILE).read_text().splitlines()[0])["run_id"] == "next"
    assert not (tmp_path / LEASE_FILE).exists()


@pytest.mark.usefixtures("no_locks")
def test_a_lease_that_was_given_up_is_free_at_once(tmp_path: Path) -> None:
    for name in "abc":
        with Lock(tmp_path, name, term=10**6):
            pass


@pytest.mark.usefixtures("no_locks")
def test_a_run_that_stood_still_finds_its_lease_lost(tmp_path: Path) -> None:
    """As on a laptop that slept: the lease was not renewed for longer than its term."""
    with Lock(tmp_path, "first", term=10**6) as first, Lock(tmp_path, "second", term=0.2) as second:
        second.confirm()
        with pytest.raises(EnvironmentFault, match="lost the lock"):
            first.confirm()
        second.confirm()


def test_a_lease_that_was_lost_is_not_removed_with_the_lock(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "lease", "first", 10**6), Lease(tmp_path / "lease", "second", 0.2)
    first.take()
    second.take()
    first.give_up()
    assert (tmp_path / "lease").read_bytes().startswith(b"second\n")
    second.give_up()
    assert list(tmp_path.iterdir()) == []


def test_clocks_and_times_of_files_decide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder whose clock is an hour behind is alive; one whose file is of tomorrow may be dead."""
    first, second = (Lease(tmp_path / "lease", name, patient(2)) for name in ("first", "second"))
    first.take()
    os.utime(tmp_path / "lease", (1, 1))
    monkeypatch.setattr(time, "time", lambda: 10**10)
    with pytest.raises(LeaseHeld) as held:
        second.take()
    assert held.value.holder.startswith(b"first\n")
    first.give_up()
    left = Lease(tmp_path / "lease", "left", 10**6)
    left.take()
    os.utime(tmp_path / "lease", (10**10, 10**10))
    third = Lease(tmp_path / "lease", "third", 0.2)
    third.take()
    assert not left.renew()
    third.give_up()


def test_a_lease_out_of_reach_lasts_for_its_term(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(tmp_path / "lease", "x", 10**6)
    lease.take()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        assert lease.renew()
        now = time.monotonic()
        patched.setattr(time, "monotonic", lambda: now + 2 * 10**6)
        assert not lease.renew()
    assert lease.renew()
    lease.give_up()


@pytest.mark.slow
def test_one_of_many_takes_over_an_expired_lease(tmp_path: Path) -> None:
    """Also where one that was about to take it over has died, and left its claim."""
    dead = Lease(tmp_path / LEASE_FILE, "dead", term=10**6)
    dead.take()
    left = (tmp_path / LEASE_FILE).read_bytes()
    claim = tmp_path / f"{LEASE_FILE}-{hashlib.sha256(left).hexdigest()[:16]}"
    claim.touch()
    claim.with_suffix(".new").write_text("half of a le")
    rivals = [start(RIVAL, tmp_path, patient(1), number) for number in range(4)]
    try:
        wait_for(lambda: len([*tmp_path.glob("won-*"), *tmp_path.glob("lost-*")]) == 4, seconds=60)
        assert len([*tmp_path.glob("won-*")]) == 1
        assert not dead.renew(), "the one that stood still has lost it"
    finally:
        (tmp_path / "end").touch()
        assert [rival.wait(patient(20)) for rival in rivals] == [0] * 4
        dead.give_up()
    assert not claim.exists()
    assert not claim.with_suffix(".new").exists()
    assert not (tmp_path / LEASE_FILE).exists()
