"""The manifest: what was read, in which splits, and which files count in which published version (SQLite).

It lies beside the store. A split, a file and a version become known in one transaction each, after their files are on
the disk (docs/decisions/014). Which version is current is said by the output's link alone.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from pipeline.errors import EnvironmentFault
from pipeline.faults import point
from pipeline.history.known_files import Hint, KnownFile, KnownSplit

MANIFEST_FILE = "manifest.sqlite"
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL, shown TEXT NOT NULL, hint TEXT NOT NULL,
    fingerprint TEXT NOT NULL, content_hash TEXT NOT NULL, text_size INTEGER NOT NULL, header TEXT NOT NULL,
    read_at REAL NOT NULL);
CREATE TABLE splits (
    number INTEGER PRIMARY KEY AUTOINCREMENT, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    start INTEGER NOT NULL, stop INTEGER NOT NULL, exact INTEGER NOT NULL, result TEXT);
CREATE INDEX splits_of_file ON splits (file);
CREATE TABLE versions (
    output BLOB NOT NULL, name TEXT NOT NULL, sources TEXT NOT NULL, base TEXT NOT NULL, published INTEGER NOT NULL,
    PRIMARY KEY (output, name));
CREATE TABLE counted (
    output BLOB NOT NULL, version TEXT NOT NULL, file INTEGER NOT NULL REFERENCES files,
    PRIMARY KEY (output, version, file),
    FOREIGN KEY (output, version) REFERENCES versions ON DELETE CASCADE) WITHOUT ROWID;
"""


_NEW_SPLIT = "INSERT INTO splits (file, start, stop, exact) VALUES (?, ?, ?, ?)"
_OF_THE_DISK = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
}


class UnusableManifest(EnvironmentFault):
    """The manifest is damaged, or of another format: a run can only start over."""


@dataclass(frozen=True)
class KnownVersion:
    """A version: the ids of the files that count in it, the inputs that they came from, and what a further run adds
    to (``base``: JSON of Phase 2's counts, or empty)."""

    name: str
    sources: tuple[str, ...]
    files: frozenset[int]
    base: str
    published: bool


@dataclass(frozen=True)
class NewFile:
    """A file before it is read, with the (start, stop, exact) of its splits."""

    path: str
    shown: str
    hint: Hint
    fingerprint: str
    text_size: int
    header: str
    cuts: tuple[tuple[int, int, bool], ...]


class Manifest:
    """An open manifest; with ``copy`` that one, which is in memory.

    Raises EnvironmentFault where the disk is full or fails, UnusableManifest where the file is damaged or was made by
    another program version.
    """

    def __init__(self, place: Path, copy: sqlite3.Connection | None = None) -> None:
        self.path = place / MANIFEST_FILE
        self._lock = threading.Lock()  # one transaction at a time, of whichever thread
        with sqlite_errors_explained(self.path):
            self._db = copy or sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._db.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
                "PRAGMA busy_timeout = 5000"
            )
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found == 0:
            with self._transaction("manifest.create"):
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            if not copy:
                os.chmod(self.path, 0o600)
        elif found != _SCHEMA_VERSION:
            self.close()
            raise UnusableManifest(
                f"{str(self.path)!r} was made by another version of Logmill (format {found}, expected "
                f"{_SCHEMA_VERSION}). Use that version, or run again with --full-refresh to start over."
            )

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; SQLite then folds its journal into the one file."""
        self._db.close()

    def files(self) -> list[KnownFile]:
        """All files with their splits in order."""
        with sqlite_errors_explained(self.path):
            return self._files()

    def _files(self) -> list[KnownFile]:
        splits: dict[int, list[KnownSplit]] = {}
        for file, number, start, stop, exact, result in self._db.execute(
            "SELECT file, number, start, stop, exact, result FROM splits ORDER BY file, stop, number"
        ):
            splits.setdefault(file, []).append(KnownSplit(number, start, stop, bool(exact), result))
        rows = self._db.execute(
            "SELECT id, path, shown, hint, fingerprint, content_hash, text_size, header, read_at FROM files ORDER BY id"
        )
        files = []
        for id_, path, shown, hint, mark, content, size, header, read_at in rows:
            place = id_, os.fsdecode(path), shown, Hint(*json.loads(hint))
            files.append(KnownFile(*place, mark, content, size, header, read_at, tuple(splits.get(id_, ()))))
        return files

    def versions(self, output: Path) -> dict[str, KnownVersion]:
        """The versions of an output, by name."""
        with sqlite_errors_explained(self.path):
            return self._versions(output)

    def _versions(self, output: Path) -> dict[str, KnownVersion]:
        key = os.fsencode(output)
        counted: dict[str, set[int]] = {}
        for version, file in self._db.execute("SELECT version, file FROM counted WHERE output = ?", (key,)):
            counted.setdefault(version, set()).add(file)
        rows = self._db.execute("SELECT name, sources, base, published FROM versions WHERE output = ?", (key,))
        return {
            name: KnownVersion(
                name, tuple(json.loads(sources)), frozenset(counted.get(name, ())), base, bool(published)
            )
            for name, sources, base, published in rows
        }

    def begin_files(self, files: Iterable[NewFile]) -> list[tuple[int, list[int]]]:
        """Remember files before they are read; returns for each its id and the numbers of its splits."""
        with self._transaction("manifest.begin"):
            return [self._begin_file(file) for file in files]

    def _begin_file(self, file: NewFile) -> tuple[int, list[int]]:
        row = (
            os.fsencode(file.path),
            file.shown,
            json.dumps(astuple(file.hint)),
            file.fingerprint,
            file.text_size,
            file.header,
        )
        id_ = self._insert(
            "INSERT INTO files (path, shown, hint, fingerprint, text_size, header, content_hash, read_at) "
            "VALUES (?, ?, ?, ?, ?, ?, '', ?)",
            (*row, time.time()),
        )
        return id_, [self._insert(_NEW_SPLIT, (id_, *cut)) for cut in file.cuts]

    def _insert(self, statement: str, values: tuple[object, ...]) -> int:
        number = self._db.execute(statement, values).lastrowid
        assert number is not None
        return number

    def finish_splits(self, results: Iterable[tuple[int, str]]) -> None:
        """These splits (number, JSON of the counts) are done, and their files on the disk."""
        with self._transaction("manifest.splits"):
            self._db.executemany("UPDATE splits SET result = ? WHERE number = ?", [(r, n) for n, r in results])

    def reopen_split(self, number: int, start: int) -> None:
        """A split is read again from its true start: what it left before must not count meanwhile."""
        with self._transaction("manifest.reopen"):
            self._db.execute("UPDATE splits SET result = NULL, start = ?, exact = 1 WHERE number = ?", (start, number))

    def divide_split(self, number: int, stop: int, rest: Iterable[tuple[int, int, bool]]) -> list[int]:
        """A split ends at ``stop``, and new ones (start, stop, exact) follow: returns their numbers."""
        with self._transaction("manifest.divide"):
            self._db.execute("UPDATE splits SET stop = ? WHERE number = ?", (stop, number))
            (file,) = self._db.execute("SELECT file FROM splits WHERE number = ?", (number,)).fetchone()
            return [self._insert(_NEW_SPLIT, (file, *cut)) for cut in rest]

    def finish_files(self, hashes: Iterable[tuple[int, str]]) -> None:
        """These files (id, content hash) were read whole and balance."""
        with self._transaction("manifest.files"):
            self._db.executemany(
                "UPDATE files SET content_hash = ?, read_at = ? WHERE id = ?",
                [(content, time.time(), id_) for id_, content in hashes],
            )

    def meet_again(self, files: Iterable[tuple[int, str, str, Hint]]) -> None:
        """These files (id, path, shown, hint) have other names or times than before, and the same bytes."""
        with self._transaction("manifest.names"):
            self._db.executemany(
                "UPDATE files SET path = ?, shown = ?, hint = ? WHERE id = ?",
                [(os.fsencode(path), shown, json.dumps(astuple(hint)), id_) for id_, path, shown, hint in files],
            )

    def forget_files(self, ids: Iterable[int]) -> None:
        """Files that count in no version and are of no more use, with their splits."""
        with self._transaction("manifest.forget"):
            self._db.executemany("DELETE FROM files WHERE id = ?", [(id_,) for id_ in ids])

    def prepare_version(self, output: Path, name: str, sources: Sequence[str], files: Iterable[int], base: str) -> None:
        """What counts in a version that is about to be published."""
        key = os.fsencode(output)
        with self._transaction("manifest.prepare"):
            self._db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, 0)", (key, name, json.dumps(sources), base))
            self._db.executemany("INSERT INTO counted VALUES (?, ?, ?)", [(key, name, id_) for id_ in files])

    def confirm_version(self, output: Path, name: str) -> None:
        """The output's link shows this version."""
        with self._transaction("manifest.confirm"):
            self._db.execute(
                "UPDATE versions SET published = 1 WHERE output = ? AND name = ?", (os.fsencode(output), name)
            )

    def drop_versions(self, output: Path, names: Iterable[str]) -> None:
        """These versions are gone."""
        key = os.fsencode(output)
        with self._transaction("manifest.drop"):
            self._db.executemany("DELETE FROM versions WHERE output = ? AND name = ?", [(key, name) for name in names])

    def counted_anywhere(self) -> set[int]:
        """The files that count in some version of some output."""
        return {file for (file,) in self._db.execute("SELECT DISTINCT file FROM counted")}

    def unreferenced(self) -> tuple[list[int], list[int]]:
        """(files that count in no version of any output, the numbers of their splits)."""
        unused = "id NOT IN (SELECT file FROM counted)"
        files = [id_ for (id_,) in self._db.execute(f"SELECT id FROM files WHERE {unused}")]
        splits = self._db.execute(f"SELECT number FROM splits JOIN files ON file = id WHERE {unused}")
        return files, [number for (number,) in splits]

    @contextmanager
    def _transaction(self, name: str) -> Iterator[None]:
        """All or nothing; ``name`` is the place of faults before and after the commit."""
        with self._lock, sqlite_errors_explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                point(name)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise
            point(name + ".done")


@contextmanager
def sqlite_errors_explained(path: Path) -> Iterator[None]:
    """What SQLite says of the disk is no reason to start over; that the file is damaged is."""
    try:
        yield
    except sqlite3.DatabaseError as fault:
        if getattr(fault, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:
            raise EnvironmentFault(
                f"cannot read and write {str(path)!r}: {fault}. Nothing was published; the previous output still "
                "stands. Free some room or mend the permission, and run again."
            ) from fault
        raise UnusableManifest(
            f"cannot read {str(path)!r}: expected the manifest of earlier runs, found: {fault}. Run again "
            "with --full-refresh to start over from the files that are there."
        ) from fault


def remove_manifest(place: Path) -> None:
    """Forget everything: the next run starts over."""
    for suffix in ("", "-wal", "-shm"):
        (place / f"{MANIFEST_FILE}{suffix}").unlink(missing_ok=True)
