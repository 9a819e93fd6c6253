"""A look at the manifest that changes nothing, not even beside a run that is writing it."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import EnvironmentFault
from pipeline.manifest import MANIFEST_FILE, Manifest, told_plainly

_ATTEMPTS = 100


@dataclass(frozen=True)
class _Files:
    """Which files of the database are there, and the state of the main one."""

    journal: bool
    index: bool
    stamp: tuple[int, int, int]


@contextmanager
def read_manifest(place: Path) -> Iterator[Manifest | None]:
    """The manifest of ``place`` as of one commit, in memory; None where there is none.

    Raises EnvironmentFault where it cannot be read.
    """
    path = place / MANIFEST_FILE
    if not path.is_file():
        yield None
        return
    with told_plainly(path):
        copy = _copy(path)
    with Manifest(place, copy) as manifest:
        yield manifest


def _copy(path: Path) -> sqlite3.Connection:
    for _ in range(_ATTEMPTS):
        before = _files(path)
        try:
            copy = _read(path, before)
        except (sqlite3.OperationalError, FileNotFoundError):
            if before == _files(path):
                raise
            continue
        if (before.journal and before.index) or before == _files(path):
            return copy
        copy.close()
    raise EnvironmentFault(f"{str(path)!r} changed whenever it was read. Wait until the run that holds it has ended.")


def _read(path: Path, files: _Files) -> sqlite3.Connection:
    """With a journal and its index SQLite reads both as a run commits, as one that may write neither: it waits for
    locks and takes none that would make a run wait. With a journal alone, whose writer is dead, it would make an index,
    hence a copy. Without journal nobody writes, and the one file is all."""
    if files.journal and not files.index:
        with tempfile.TemporaryDirectory(prefix="logmill-") as folder:
            for name in (path.name, f"{path.name}-wal"):
                shutil.copyfile(path.with_name(name), Path(folder) / name)
            return _into_memory(f"{(Path(folder) / path.name).as_uri()}?mode=rw")
    return _into_memory(f"{path.absolute().as_uri()}?{'mode=ro&readonly_shm=1' if files.journal else 'immutable=1'}")


def _into_memory(uri: str) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        with closing(sqlite3.connect(uri, uri=True)) as source:
            source.backup(copy)  # in one step, within one transaction
    except BaseException:
        copy.close()
        raise
    return copy


def _files(path: Path) -> _Files:
    status = os.stat(path)
    journal, index = (path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-shm"))
    return _Files(journal, index, (status.st_size, status.st_mtime_ns, status.st_ino))
