"""The manifest: which files were read, in which splits, and which of them count in which version (SQLite).

The database lies in the intermediate folder, beside the store. A split, a file and a version are noted in one
transaction each, after their files are on the disk (docs/decisions/014). Only the output's link says which version is
current.
"""

import json
import os
import shutil
import sqlite3
import threading
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import BalanceError, EnvironmentFault
from pipeline.faults import point
from pipeline.history.known_files import Hint, KnownFile, KnownSplit, hint_from_json, hint_to_json
from pipeline.history.known_list import FileIds, KnownFiles

MANIFEST_FILE = "manifest.sqlite"
UNUSABLE_FILE = f"{MANIFEST_FILE}.unusable"
"""The name of a manifest that --full-refresh could not use. There is one at most, and the program never reads it."""
_SCHEMA_VERSION = 2
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
_CONTINUED = """
CREATE TABLE continued (
    file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    split INTEGER NOT NULL REFERENCES splits ON DELETE CASCADE,
    PRIMARY KEY (file, split)) WITHOUT ROWID;
CREATE INDEX continued_splits ON continued (split);
"""
"""The splits that a file has besides its own: those of the file as it was before more was appended to it."""
_ALL_SPLITS = (
    "SELECT file AS of_file, number, start, stop, exact, result FROM splits UNION ALL "
    "SELECT continued.file, number, start, stop, exact, result FROM continued JOIN splits ON number = split "
    "ORDER BY of_file, stop, number"
)
_NEW_SPLIT = "INSERT INTO splits (file, start, stop, exact) VALUES (?, ?, ?, ?)"
_FINISH_FILE = (
    "UPDATE files SET content_hash = ?, read_at = ? WHERE id = ? "
    "AND NOT EXISTS (SELECT 1 FROM splits WHERE file = files.id AND result IS NULL)"
)
_REFERENCES = "PRAGMA foreign_key_check"
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
"""Errors that say nothing about the manifest's content, only about the disk or another process."""


class UnusableManifest(EnvironmentFault):
    """The manifest is damaged or has another format: only ``--full-refresh`` helps."""


@dataclass(frozen=True)
class KnownVersion:
    """A version of an output.

    =============  ==================================================================================
    ``name``       the id of the run that made it
    ``sources``    the inputs that it was made from, as absolute paths
    ``files``      the ids of the files that count in it
    ``base``       JSON of its counts (``run_record.counts_for_the_next``)
    ``published``  whether the manifest knows that the output's link showed it
    =============  ==================================================================================
    """

    name: str
    sources: tuple[str, ...]
    files: Set[int]
    base: str
    published: bool


@dataclass(frozen=True)
class NewFile:
    """A file before it is read: the fields of ``KnownFile``, in ``cuts`` (start, stop, exact) of its new splits, and
    in ``continued`` the numbers of the splits that it has from a file to which it was appended."""

    path: str
    shown: str
    hint: Hint
    fingerprint: str
    text_size: int
    header: str
    cuts: tuple[tuple[int, int, bool], ...]
    continued: tuple[int, ...] = ()


class Manifest:
    """The open manifest of an intermediate ``folder``; threads may share it.

    ``copy``: a database to use in place of the file. Raises EnvironmentFault where the disk is full or fails,
    UnusableManifest where the file is damaged or was made by another version of the program.
    """

    def __init__(self, folder: Path, copy: sqlite3.Connection | None = None) -> None:
        self.path = folder / MANIFEST_FILE
        self._lock = threading.Lock()  # transactions of different threads, one at a time
        if not copy and os.path.lexists(self.path) and not self.path.is_file():
            raise UnusableManifest(
                f"{str(self.path)!r} is no file: expected the manifest of earlier runs. Run again with --full-refresh "
                "to start over from the files that are there."
            )
        with sqlite_errors_explained(self.path):
            self._db = copy or sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._db.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
                "PRAGMA busy_timeout = 5000"
            )
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found == 0:
            with self._transaction("manifest.create"):
                for statement in (_SCHEMA + _CONTINUED).split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            if not copy:
                os.chmod(self.path, 0o600)
        elif found == 1:  # of a release that read a log anew when something was appended to it
            with self._transaction("manifest.create"):
                for statement in _CONTINUED.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
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
        """Close the database. SQLite then moves its journal into the main file."""
        self._db.close()

    def files(self) -> KnownFiles:
        """Return all files in the order of their ids, each with its splits in the order of their bytes."""
        with sqlite_errors_explained(self.path), _values_explained(self.path):
            return KnownFiles(self._files())

    def _files(self) -> Iterator[KnownFile]:
        splits = _Splits(self._db.execute(_ALL_SPLITS))
        rows = self._db.execute(
            "SELECT id, path, shown, hint, fingerprint, content_hash, text_size, header, read_at FROM files ORDER BY id"
        )
        for id_, path, name, hint, fingerprint, file_hash, text_size, header, read_at in rows:
            yield KnownFile(
                id=id_,
                path=os.fsdecode(path),
                shown=name,
                hint=hint_from_json(hint),
                fingerprint=fingerprint,
                file_hash=file_hash,
                text_size=text_size,
                header=header,
                read_at=read_at,
                splits=splits.of(id_),
            )

    def versions(self, output: str) -> dict[str, KnownVersion]:
        """Return the versions of an output, by name; ``output`` is its key."""
        with sqlite_errors_explained(self.path), _values_explained(self.path):
            return self._versions(output)

    def _versions(self, output: str) -> dict[str, KnownVersion]:
        key = os.fsencode(output)
        counted: dict[str, array[int]] = {}
        for version, file in self._db.execute("SELECT version, file FROM counted WHERE output = ?", (key,)):
            counted.setdefault(version, array("q")).append(file)
        rows = self._db.execute("SELECT name, sources, base, published FROM versions WHERE output = ?", (key,))
        return {
            name: KnownVersion(
                name, tuple(json.loads(sources)), FileIds(counted.pop(name, ())), counts, bool(published)
            )
            for name, sources, counts, published in rows
        }

    def begin_files(self, files: Iterable[NewFile]) -> list[tuple[int, list[int]]]:
        """Note files before they are read. Returns the id of each, and the numbers of its splits."""
        with self._transaction("manifest.begin"):
            return [self._begin_file(file) for file in files]

    def _begin_file(self, file: NewFile) -> tuple[int, list[int]]:
        row = (
            os.fsencode(file.path),
            file.shown,
            hint_to_json(file.hint),
            file.fingerprint,
            file.text_size,
            file.header,
        )
        id_ = self._insert(
            "INSERT INTO files (path, shown, hint, fingerprint, text_size, header, content_hash, read_at) "
            "VALUES (?, ?, ?, ?, ?, ?, '', ?)",
            (*row, time.time()),
        )
        self._db.executemany("INSERT INTO continued VALUES (?, ?)", [(id_, number) for number in file.continued])
        return id_, [self._insert(_NEW_SPLIT, (id_, *cut)) for cut in file.cuts]

    def _insert(self, statement: str, values: tuple[object, ...]) -> int:
        number = self._db.execute(statement, values).lastrowid
        assert number is not None
        return number

    def finish(self, results: Iterable[tuple[int, str]], hashes: Iterable[tuple[int, str]]) -> None:
        """Note splits (number, JSON of the counts) whose files are on the disk, and files (id, hash of their bytes)
        that were read whole and balance.

        Raises BalanceError, and notes nothing, where a split of such a file has no result.
        """
        with self._transaction("manifest.finish"):
            rows = [(result, number) for number, result in results]
            self._db.executemany("UPDATE splits SET result = ? WHERE number = ?", rows)
            for id_, file_hash in hashes:
                done = self._db.execute(_FINISH_FILE, (file_hash, time.time(), id_)).rowcount
                if done != 1:
                    raise BalanceError(
                        f"file {id_} of {str(self.path)!r} has splits without a result, but was to be noted as read. "
                        "Nothing was published; the previous output still stands. This is a fault in the program; "
                        "please report it, and run again."
                    )

    def reopen_split(self, number: int, start: int, exact: bool) -> None:
        """Forget a split's result, because it is read again, and its files are overwritten.

        ``start`` and ``exact``: where it is read from, and whether a record begins there.
        """
        with self._transaction("manifest.reopen"):
            self._db.execute(
                "UPDATE splits SET result = NULL, start = ?, exact = ? WHERE number = ?", (start, exact, number)
            )

    def divide_split(self, number: int, stop: int, rest: Iterable[tuple[int, int, bool]]) -> list[int]:
        """Note that a split ends at ``stop`` and that new ones (start, stop, exact) follow. Returns their numbers."""
        with self._transaction("manifest.divide"):
            self._db.execute("UPDATE splits SET stop = ? WHERE number = ?", (stop, number))
            (file,) = self._db.execute("SELECT file FROM splits WHERE number = ?", (number,)).fetchone()
            return [self._insert(_NEW_SPLIT, (file, *cut)) for cut in rest]

    def settle_file(self, id_: int, size: int, hint: Hint, kept: Iterable[int], dropped: Iterable[int]) -> None:
        """Note that only the first ``size`` bytes of a file's text are settled, which are read again.

        ``kept``: numbers of the splits that are read again, the last of which ends at ``size``. ``dropped``: numbers of
        those behind it, which are forgotten.
        """
        with self._transaction("manifest.settle"):
            self._db.execute("UPDATE files SET text_size = ?, hint = ? WHERE id = ?", (size, hint_to_json(hint), id_))
            self._db.executemany(
                "UPDATE splits SET result = NULL, stop = min(stop, ?) WHERE number = ?", [(size, n) for n in kept]
            )
            self._db.executemany("DELETE FROM splits WHERE number = ?", [(number,) for number in dropped])

    def note_names(self, files: Iterable[tuple[int, str, str, Hint, str]]) -> None:
        """Note the present path, listed name, hint and hash of the bytes of files (id, path, name, hint, hash), whose
        text is the same."""
        with self._transaction("manifest.names"):
            self._db.executemany(
                "UPDATE files SET path = ?, shown = ?, hint = ?, content_hash = ? WHERE id = ?",
                [(os.fsencode(path), name, hint_to_json(hint), hash_, id_) for id_, path, name, hint, hash_ in files],
            )

    def forget_files(self, ids: Iterable[int]) -> None:
        """Forget files, which must count in no version, and their splits."""
        with self._transaction("manifest.forget"):
            for id_ in ids:
                self._hand_over_splits(id_)
                self._db.execute("DELETE FROM files WHERE id = ?", (id_,))

    def _hand_over_splits(self, id_: int) -> None:
        """Give the splits of a file, which is about to be forgotten, to the files that have them from it."""
        shared = self._db.execute(
            "SELECT split, max(continued.file) FROM continued JOIN splits ON number = split WHERE splits.file = ? "
            "GROUP BY split",
            (id_,),
        ).fetchall()
        self._db.executemany("UPDATE splits SET file = ? WHERE number = ?", [(heir, split) for split, heir in shared])
        self._db.executemany(
            "DELETE FROM continued WHERE file = ? AND split = ?", [(heir, split) for split, heir in shared]
        )

    def prepare_version(
        self, output: str, name: str, sources: Sequence[str], files: Iterable[int], counts: str
    ) -> None:
        """Note a version that is about to be published: the ids of its ``files``, and its ``counts`` as JSON."""
        key = os.fsencode(output)
        with self._transaction("manifest.prepare"):
            self._db.execute("INSERT INTO versions VALUES (?, ?, ?, ?, 0)", (key, name, json.dumps(sources), counts))
            self._db.executemany("INSERT INTO counted VALUES (?, ?, ?)", ((key, name, id_) for id_ in files))

    def confirm_version(self, output: str, name: str) -> None:
        """Note that the output's link shows this version."""
        with self._transaction("manifest.confirm"):
            self._db.execute(
                "UPDATE versions SET published = 1 WHERE output = ? AND name = ?", (os.fsencode(output), name)
            )

    def drop_versions(self, output: str, names: Iterable[str]) -> None:
        """Forget versions of an output."""
        key = os.fsencode(output)
        with self._transaction("manifest.drop"):
            self._db.executemany("DELETE FROM versions WHERE output = ? AND name = ?", [(key, name) for name in names])

    def copy_to(self, path: Path) -> None:
        """Write a copy, as of this moment, into a new file."""
        with self._lock, sqlite_errors_explained(path), closing(sqlite3.connect(path)) as copy:
            self._db.backup(copy)

    def counted_anywhere(self) -> FileIds:
        """Return the ids of the files that count in any version of any output."""
        return FileIds(file for (file,) in self._db.execute("SELECT DISTINCT file FROM counted"))

    def unreferenced(self) -> tuple[list[int], list[int]]:
        """Return the ids of the files that count in no version of any output, and the numbers of their splits."""
        unused = "id NOT IN (SELECT file FROM counted)"
        files = [id_ for (id_,) in self._db.execute(f"SELECT id FROM files WHERE {unused}")]
        splits = self._db.execute(
            f"SELECT number FROM splits JOIN files ON file = id WHERE {unused} "
            "AND number NOT IN (SELECT split FROM continued WHERE file IN (SELECT file FROM counted))"
        )
        return files, [number for (number,) in splits]

    @contextmanager
    def _transaction(self, name: str) -> Iterator[None]:
        """Commit the statements of the block together, or none where it fails.

        ``name``: the point of faults (``pipeline.faults``) before the commit; with ``.done``, the one after it.
        """
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

    def check(self) -> None:
        """Raise UnusableManifest where the database itself is damaged: a page, an index, a reference to nothing.

        The whole file is read. What single rows say is for ``known_files.find_contradictions``.
        """
        with sqlite_errors_explained(self.path):
            found = [str(line) for (line,) in self._db.execute("PRAGMA quick_check(1)")]
            found = [] if found == ["ok"] else found
            found += [f"a row of {row[0]!r} without its {row[2]!r}" for row in self._db.execute(_REFERENCES)]
        if found:
            raise UnusableManifest(
                f"{str(self.path)!r} is damaged ({found[0]}). Run again with --full-refresh to start over from the "
                "files that are there."
            )


class _Splits:
    """The splits of files, from rows of ``_ALL_SPLITS``, which are in order of the files."""

    def __init__(self, rows: Iterable[tuple[int, int, int, int, int, str | None]]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)

    def of(self, file: int) -> tuple[KnownSplit, ...]:
        """The splits of a file; files are asked for in order."""
        found = []
        while self._next and self._next[0] <= file:
            of_file, number, start, stop, exact, result = self._next
            if of_file == file:
                found.append(KnownSplit(number, start, stop, bool(exact), result))
            self._next = next(self._rows, None)
        return tuple(found)


@contextmanager
def _values_explained(path: Path) -> Iterator[None]:
    """Turn a value that is no path, number or JSON, where one is expected, into UnusableManifest."""
    try:
        yield
    except (ValueError, TypeError, AttributeError) as fault:
        raise UnusableManifest(
            f"{str(path)!r} is damaged: a value in it is not what the program writes ({type(fault).__name__}). Run "
            "again with --full-refresh to start over from the files that are there."
        ) from fault


@contextmanager
def sqlite_errors_explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into EnvironmentFault where the disk is at fault, UnusableManifest where the file is."""
    try:
        yield
    except sqlite3.DatabaseError as fault:
        if getattr(fault, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:
            raise EnvironmentFault(
                f"cannot read and write {str(path)!r}: {fault}. Nothing was published; the previous output still "
                "stands. Free some room or fix the permission, and run again."
            ) from fault
        raise UnusableManifest(
            f"cannot read {str(path)!r}: expected the manifest of earlier runs, found: {fault}. Run again "
            "with --full-refresh to start over from the files that are there."
        ) from fault


def set_aside(folder: Path) -> Path:
    """Give the manifest of an intermediate folder the name ``UNUSABLE_FILE``; returns that path. What lies there of an
    earlier time is removed. The next run reads all files again."""
    for suffix in ("-wal", "-shm"):  # without its journal the database may be an older one; with it, it is unusable
        place = folder / f"{UNUSABLE_FILE}{suffix}"
        place.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            (folder / f"{MANIFEST_FILE}{suffix}").replace(place)
    place = folder / UNUSABLE_FILE
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)  # a folder does not take the place of a file
    (folder / MANIFEST_FILE).replace(place)
    return place
