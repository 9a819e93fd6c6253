"""Bringing the store's files to the disk: few by themselves, very many at once."""

import errno
import os
from pathlib import Path

import pytest

from pipeline.history import split_store


def make(folder: Path, number: int) -> list[Path]:
    paths = [folder / str(n) for n in range(number)]
    for path in paths:
        path.write_bytes(b"x")
    return paths


@pytest.mark.skipif(split_store._syncfs is None, reason="this system has no syncfs")
def test_few_files_by_themselves_and_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone: list[int] = []
    whole: list[str] = []
    fsync, syncfs = os.fsync, split_store._syncfs
    monkeypatch.setattr(os, "fsync", lambda handle: (alone.append(handle), fsync(handle)))
    monkeypatch.setattr(
        split_store, "_syncfs", lambda handle: whole.append(os.readlink(f"/proc/self/fd/{handle}")) or syncfs(handle)
    )
    paths = make(tmp_path, 1_000)
    split_store.sync_files(paths[:50])
    assert (len(alone), whole) == (50, [])
    split_store.sync_files(paths)
    assert (len(alone), whole) == (50, [str(paths[0])])


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> int:
        split_store.ctypes.set_errno(errno.EIO)
        return -1

    monkeypatch.setattr(split_store, "_syncfs", fails)
    with pytest.raises(OSError, match="Input/output error") as told:
        split_store.sync_files(make(tmp_path, 1_000))
    assert told.value.errno == errno.EIO
    (tmp_path / "0").unlink()
    with pytest.raises(FileNotFoundError):
        split_store.sync_files([tmp_path / "0"])
