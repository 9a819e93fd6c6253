"""A look at the manifest while a run writes it, and after one that died: always one commit, and nothing is touched."""

import errno
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import EnvironmentFault
from pipeline.history import manifest_snapshot
from pipeline.history.known_files import Hint
from pipeline.history.manifest import MANIFEST_FILE, Manifest, NewFile
from pipeline.history.manifest_snapshot import read_manifest
from tests.pace import patient

ROOT = Path(__file__).parents[3]
HINT = Hint(1, 2, 3, 4, True)


def journal_head() -> bytes:
    """What SQLite writes before the first frame of a journal (https://sqlite.org/fileformat2.html)."""
    head = struct.pack(">6I", 0x377F0682, 3007000, 4096, 0, 1, 2)
    one = two = 0
    for first, second in struct.iter_unpack("<2I", head):
        one = (one + first + two) % 2**32
        two = (two + second + one) % 2**32
    return head + struct.pack(">2I", one, two)


# Two transactions add a file of 30 splits, whose text is so long that SQLite moves its journal into the database now
# and then; every opening is a new run.
WRITER = """
import sys
from pathlib import Path
from pipeline.history.manifest import Manifest
from tests.pipeline.history.test_manifest_snapshot import new_file
while True:
    with Manifest(Path(sys.argv[1])) as manifest:
        for _ in range(int(sys.argv[2])):
            ((file, splits),) = manifest.begin_files([new_file()])
            manifest.finish(((split, "{}" + " " * 2000) for split in splits), [])
            manifest.forget_files([file - 50])
"""


def new_file() -> NewFile:
    return NewFile("/a", "a", HINT, "mark", 1, "", tuple((n, n + 1, True) for n in range(30)))


@contextmanager
def writer(place: Path, rounds: int = 20) -> Iterator[None]:
    """Another process, which commits until it is killed; ``rounds``: pairs of commits until it closes the manifest."""
    program = subprocess.Popen([sys.executable, "-c", WRITER, str(place), str(rounds)], cwd=ROOT)
    try:
        until = time.monotonic() + patient(30)
        while not (place / f"{MANIFEST_FILE}-wal").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        yield
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()


def picture(place: Path) -> dict[str, tuple[int, int]]:
    status = {str(path): path.stat() for path in [place, *place.iterdir()]}
    return {name: (found.st_size, found.st_mtime_ns) for name, found in status.items()}


def check(place: Path) -> int:
    """The latest file's id; each has its splits, all finished or none."""
    with read_manifest(place) as manifest:
        assert manifest
        files = manifest.files()
    for file in files:
        assert len(file.splits) == 30
        assert len({part.result for part in file.splits}) == 1
    return max((file.id for file in files), default=0)


@pytest.mark.parametrize("rounds", [1, 20])
def test_a_look_beside_a_writer_sees_one_commit(rounds: int, tmp_path: Path) -> None:
    with writer(tmp_path, rounds):
        seen = [check(tmp_path) for _ in range(100)]
    assert seen == sorted(seen), "a later look is never one at an earlier state"
    assert len(set(seen)) > 3


def test_a_large_manifest_is_copied_to_a_nameless_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory it would be larger than all else in a look, where there are very many files."""
    folder, scratch = tmp_path / "intermediate", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    with Manifest(folder) as manifest:
        for _ in range(300):
            manifest.begin_files([new_file()])
    monkeypatch.setenv("SQLITE_TMPDIR", str(scratch))
    monkeypatch.setattr(manifest_snapshot, "_MOST_IN_MEMORY", 100_000)
    size = (folder / MANIFEST_FILE).stat().st_size
    tables = sqlite3.connect(":memory:").execute("PRAGMA cache_size").fetchone()[0] * -1024
    assert size > 100_000
    with read_manifest(folder) as manifest:
        assert manifest
        assert len(manifest.files()) == 300
        assert [name for _, _, name in manifest._db.execute("PRAGMA database_list")] == [""]
        held = [entry for entry in Path("/proc/self/fd").iterdir() if str(scratch) in os.path.realpath(entry)]
        assert len(held) == (size > tables)
    assert list(scratch.iterdir()) == []


def test_a_look_after_a_writer_died_touches_nothing(tmp_path: Path) -> None:
    journal, index = tmp_path / f"{MANIFEST_FILE}-wal", tmp_path / f"{MANIFEST_FILE}-shm"
    while not (journal.exists() and index.exists()):  # a writer that dies between closing and opening leaves none
        with writer(tmp_path):
            until = time.monotonic() + patient(30)
            while not check(tmp_path):
                assert time.monotonic() < until
    before = picture(tmp_path)
    assert str(journal) in before
    found = check(tmp_path)
    assert picture(tmp_path) == before
    index.unlink()  # as in a copy of the folder
    before = picture(tmp_path)
    assert check(tmp_path) == found
    assert picture(tmp_path) == before
    with Manifest(tmp_path) as manifest:
        assert manifest.files()[-1].id == found


def test_a_look_after_a_writer_died_at_its_first_commit_touches_nothing(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.begin_files([new_file()])
    program = (
        "import os, sys; from pathlib import Path; from pipeline.history.manifest import Manifest\n"
        "manifest = Manifest(Path(sys.argv[1])); manifest._db.execute('BEGIN IMMEDIATE'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True)
    (tmp_path / f"{MANIFEST_FILE}-wal").write_bytes(journal_head())  # frames follow it in a second write
    before = picture(tmp_path)
    assert len(before) == 4
    assert check(tmp_path) == 1
    assert picture(tmp_path) == before


@pytest.mark.parametrize("kind", ["BUSY", "CANTOPEN", "LOCKED", "IOERR_SHORT_READ", "READONLY_RECOVERY", "PROTOCOL"])
def test_what_passes_is_tried_again_whatever_the_folder_looks_like(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.begin_files([new_file()])
    fault = sqlite3.OperationalError("passes")
    fault.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{kind}")
    faults = [fault] * 3
    read = manifest_snapshot._duplicate

    def fail_first(*arguments: Any) -> sqlite3.Connection:
        if faults:
            raise faults.pop()
        return read(*arguments)

    monkeypatch.setattr(manifest_snapshot, "_duplicate", fail_first)
    before = picture(tmp_path)
    assert check(tmp_path) == 1
    assert picture(tmp_path) == before
    assert not faults
    faults[:] = [fault] * 1000
    pauses: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append)
    monkeypatch.setattr(manifest_snapshot, "time", clock)
    with pytest.raises(EnvironmentFault, match="passes"), read_manifest(tmp_path):
        pass
    assert pauses[:9] == [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.1, 0.1]
    assert manifest_snapshot.PATIENCE < sum(pauses) < manifest_snapshot.PATIENCE + 0.2
    assert len(faults) == 1000 - len(pauses) - 1, "an attempt after every pause"


@pytest.mark.parametrize("dies", [False, True])
def test_a_writer_that_comes_and_goes_during_a_look_is_seen(
    dies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file has the same size and may have the same time: it writes within one tick of the clock."""
    with Manifest(tmp_path) as manifest:
        manifest.begin_files([new_file()])
    program = (
        "import os, sys; from pathlib import Path; from pipeline.history.manifest import Manifest\n"
        "from tests.pipeline.history.test_manifest_snapshot import new_file\n"
        "with Manifest(Path(sys.argv[1])) as manifest:\n"
        "    manifest.begin_files([new_file()])\n"
        f"    if {dies}: os._exit(0)"
    )
    left = [[sys.executable, "-c", program, str(tmp_path)]]
    read = manifest_snapshot._duplicate

    def write_first(*arguments: Any) -> sqlite3.Connection:
        if left:
            subprocess.run(left.pop(), cwd=ROOT, check=True)
        return read(*arguments)

    monkeypatch.setattr(manifest_snapshot, "_duplicate", write_first)
    assert check(tmp_path) == 2
    monkeypatch.undo()
    assert check(tmp_path) == 2
    with Manifest(tmp_path) as manifest:
        assert [file.id for file in manifest.files()] == [1, 2]
    assert len(picture(tmp_path)) == 2, "the next run folds the journal"


def test_a_journal_that_begins_anew_during_a_look_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database was copied before the journal was moved into it, the journal after it had begun anew."""
    copy_file = shutil.copyfile
    with Manifest(tmp_path) as manifest:
        manifest.begin_files([new_file()])
        steps = [lambda: manifest._db.execute("PRAGMA wal_checkpoint(RESTART)"), lambda: manifest.forget_files([1])]

        def write_first(source: Path, target: Path) -> None:
            while steps:
                steps.pop(0)()
            copy_file(source, target)

        monkeypatch.setattr(shutil, "copyfile", write_first)
        assert check(tmp_path) == 0
        manifest.begin_files([new_file()])
        assert check(tmp_path) == 2


def test_a_look_does_not_lock_what_a_run_has_only_begun_to_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite makes the file, and then needs it for itself alone until it says that there will be a journal."""
    (tmp_path / MANIFEST_FILE).touch()

    def refuse(_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(manifest_snapshot, "_keep_files", refuse)
    assert_empty(tmp_path)


def test_a_manifest_that_may_not_be_read_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MANIFEST_FILE).touch()

    def refuse(path: Path, _: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(manifest_snapshot, "open", refuse, raising=False)
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=f"{MANIFEST_FILE}.*Permission denied"), read_manifest(tmp_path):
        pass
    assert time.monotonic() - began < manifest_snapshot.PATIENCE / 2


def test_a_look_at_what_nobody_writes_touches_nothing(tmp_path: Path) -> None:
    place = tmp_path / "100%? #1"
    place.mkdir()
    with Manifest(place) as manifest:
        manifest.begin_files([new_file()])
        assert check(place) == 1, "committed, not yet in the one file"
    before = picture(place)
    assert check(place) == 1
    assert picture(place) == before
    with read_manifest(tmp_path) as none:
        assert none is None


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(EnvironmentFault, match=MANIFEST_FILE), read_manifest(tmp_path):
        pass
    (tmp_path / MANIFEST_FILE).write_bytes(b"")
    os.utime(tmp_path / MANIFEST_FILE, (1, 1))
    before = picture(tmp_path)
    assert_empty(tmp_path)
    assert picture(tmp_path) == before


def assert_empty(place: Path) -> None:
    with read_manifest(place) as manifest:
        assert manifest
        assert manifest.files() == []


def test_a_machine_without_a_temporary_folder_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none(**_: str) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    with Manifest(tmp_path) as manifest:
        manifest.begin_files([new_file()])
        monkeypatch.setattr(manifest_snapshot.tempfile, "TemporaryDirectory", find_none)
        with pytest.raises(EnvironmentFault, match=r"No usable temporary directory.*TMPDIR"), read_manifest(tmp_path):
            pass
