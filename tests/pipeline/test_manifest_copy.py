"""A look at the manifest while a run writes it, and after one that died: always one commit, and nothing is touched."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import EnvironmentFault
from pipeline.known import Hint
from pipeline.manifest import MANIFEST_FILE, Manifest, NewFile
from pipeline.manifest_copy import read_manifest

ROOT = Path(__file__).parents[2]
HINT = Hint(1, 2, 3, 4, True)

# Two transactions add a file of 30 splits, whose text is so long that SQLite moves its journal into the database now
# and then; every opening is a new run.
WRITER = """
import sys
from pathlib import Path
from pipeline.manifest import Manifest
from tests.pipeline.test_manifest_copy import new_file
while True:
    with Manifest(Path(sys.argv[1])) as manifest:
        for _ in range(20):
            ((file, splits),) = manifest.begin_files([new_file()])
            manifest.finish_splits((split, "{}" + " " * 2000) for split in splits)
            manifest.forget_files([file - 50])
"""


def new_file() -> NewFile:
    return NewFile("/a", "a", HINT, "mark", 1, "", tuple((n, n + 1, True) for n in range(30)))


@contextmanager
def writer(place: Path) -> Iterator[None]:
    """Another process, which commits until it is killed."""
    program = subprocess.Popen([sys.executable, "-c", WRITER, str(place)], cwd=ROOT)
    try:
        until = time.monotonic() + 30
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


def test_a_look_beside_a_writer_sees_one_commit(tmp_path: Path) -> None:
    seen = []
    with writer(tmp_path):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            seen.append(check(tmp_path))
    assert seen == sorted(seen), "a later look is never one at an earlier state"
    assert len(set(seen)) > 3


def test_a_look_after_a_writer_died_touches_nothing(tmp_path: Path) -> None:
    journal = tmp_path / f"{MANIFEST_FILE}-wal"
    while not journal.exists():  # a writer that dies between closing and opening leaves none
        with writer(tmp_path):
            time.sleep(0.3)
    before = picture(tmp_path)
    assert str(journal) in before
    found = check(tmp_path)
    assert picture(tmp_path) == before
    (tmp_path / f"{MANIFEST_FILE}-shm").unlink()  # as in a copy of the folder
    before = picture(tmp_path)
    assert check(tmp_path) == found
    assert picture(tmp_path) == before
    with Manifest(tmp_path) as manifest:
        assert manifest.files()[-1].id == found


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
