"""Compares the input with the known files: which are read, which are used again, which are missing.

A file is recognized by the hash of its bytes. Its hint (size, times and inode) saves the hashing where it proves that
nothing changed.
"""

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.history.known_files import Hint, KnownFile
from pipeline.reading.archives import is_archive
from pipeline.reading.file_access import exists
from pipeline.reading.input_files import hash_beginnings, hash_file
from pipeline.storage.urls import is_url


@dataclass(frozen=True)
class Inventory:
    """The input of a run, compared with the known files. Paths are as the user named them.

    =============  ==============================================================================================
    ``hints``      the hint of every path that was found
    ``reused``     files that are not read again, by path
    ``resumed``    files whose reading was interrupted, by path
    ``appended``   by path, the file whose bytes are the beginning of what lies there now: only the rest is read
    ``grown``      those of them whose beginning counts
    ``fresh``      paths that are read from their beginning
    ``moved``      reused files that were recognized by their hash, each with its path
    ``renamed``    (old path, new path) of the moved and appended files that have another path than before
    ``replaced``   files that count, have other bytes now, and whose bytes were found nowhere else, by path
    ``missing``    files that count and no longer exist
    ``elsewhere``  files that count and exist, but not in this input
    ``outdated``   paths whose file counts, has the same size still, and was read with other settings
    =============  ==============================================================================================
    """

    hints: Mapping[str, Hint] = field(default_factory=dict)
    reused: Mapping[str, KnownFile] = field(default_factory=dict)
    resumed: Mapping[str, KnownFile] = field(default_factory=dict)
    appended: Mapping[str, KnownFile] = field(default_factory=dict)
    grown: Mapping[str, KnownFile] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()
    moved: tuple[tuple[KnownFile, str], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    replaced: Mapping[str, KnownFile] = field(default_factory=dict)
    missing: tuple[KnownFile, ...] = ()
    elsewhere: tuple[KnownFile, ...] = ()
    outdated: tuple[str, ...] = ()

    @property
    def to_read(self) -> list[str]:
        """Paths that are read, wholly or in part."""
        return [*self.fresh, *self.resumed, *self.appended]

    @property
    def finest_buckets(self) -> int:
        """The most buckets of any reused split; 0 where none is reused.

        New splits get at least as many: Phase 2 reads all splits in as few buckets as the coarsest of them has.
        """
        known = (*self.reused.values(), *self.appended.values())
        results = [split.result for file in known for split in file.splits if split.result]
        return max((len(json.loads(result)["bucket_rows"]) for result in results), default=0)


def identity(path: str) -> str:
    """The path by which the manifest knows a file: absolute, with the links of its folders followed.

    A link to a file stays: it is an input by its own name. The URL of an object is its identity.
    """
    if is_url(path):
        return path
    folder, name = os.path.split(os.path.abspath(path))
    found = os.path.join(os.path.realpath(folder), name)
    return path if found == path else found  # one text in memory, not two


def take_inventory(
    paths: Sequence[str],
    hints: Mapping[str, Hint],
    known: Sequence[KnownFile],
    counted: Sequence[KnownFile],
    fingerprint: str,
    hash_of: Callable[[str], str] = hash_file,
    beginnings_of: Callable[[str, Sequence[int]], list[str]] = hash_beginnings,
) -> Inventory:
    """Compare the ``paths`` that were found with the ``known`` files.

    ===============  ==========================================================================
    ``hints``        of the paths that exist
    ``counted``      the known files that count in the current version
    ``fingerprint``  of the settings of this run; files of another one are not used again
    ``hash_of``      hashes the bytes of a file; may raise OSError
    ``beginnings_of``  hashes beginnings of a file, of these sizes; may raise OSError
    ===============  ==========================================================================
    """
    names = {identity(path): path for path in paths}
    if not known and not counted:
        return Inventory(hints=hints, fresh=tuple(names.values()))
    counted_ids = {file.id for file in counted}
    usable = [file for file in known if file.fingerprint == fingerprint]
    # Of several entries for one path or content, the one that counts goes first, then the latest.
    usable.sort(key=lambda file: (file.id in counted_ids, file.id), reverse=True)
    proven = _find_by_hint(names, hints, usable)
    unproven = {name: path for name, path in names.items() if path not in proven}
    claimed = {file.id for file in proven.values()}
    movable = [file for file in usable if file.finished and file.id not in claimed]
    moved = _find_by_hash(unproven, hints, movable, _ids_with_free_name(counted, names), hash_of)
    claimed |= {file.id for file in moved.values()}
    unknown = {name: path for name, path in unproven.items() if path not in moved}
    beginnings = [file for file in movable if file.id not in claimed]
    appended = _find_by_beginning(unknown, hints, beginnings, _ids_with_free_name(counted, names), beginnings_of)
    claimed |= {file.id for file in appended.values()}

    unclaimed = [file for file in counted if file.id not in claimed]
    replaced = {names[file.path]: file for file in unclaimed if file.path in names}
    not_found = [file for file in unclaimed if file.path not in names]
    elsewhere = [file for file in not_found if exists(file.path)]
    return Inventory(
        hints=hints,
        reused={path: file for path, file in proven.items() if file.finished} | moved,
        resumed={path: file for path, file in proven.items() if not file.finished},
        appended=appended,
        grown={path: file for path, file in appended.items() if file.id in counted_ids},
        fresh=tuple(path for path in unknown.values() if path not in appended),
        moved=tuple((file, path) for path, file in moved.items()),
        renamed=tuple((file.path, path) for path, file in (moved | appended).items() if file.path != identity(path)),
        replaced=replaced,
        missing=tuple(file for file in not_found if file not in elsewhere),
        elsewhere=tuple(elsewhere),
        outdated=tuple(path for path, file in replaced.items() if _is_outdated(file, hints.get(path), fingerprint)),
    )


def _find_by_hint(
    names: Mapping[str, str], hints: Mapping[str, Hint], usable: Iterable[KnownFile]
) -> dict[str, KnownFile]:
    """By path, the first usable file of the same name that its hint proves to be unchanged."""
    by_name: dict[str, list[KnownFile]] = {}
    for file in usable:
        by_name.setdefault(file.path, []).append(file)
    proven = {}
    for name, path in names.items():
        same = [file for file in by_name.get(name, ()) if path in hints and file.hint.proves_same(hints[path])]
        if same:
            proven[path] = same[0]
    return proven


def _ids_with_free_name(counted: Iterable[KnownFile], names: Mapping[str, str]) -> set[int]:
    """The ids of counted files that may have another name now: their old one is gone, or is that of an input."""
    return {file.id for file in counted if file.path in names or not exists(file.path)}


def _find_by_hash(
    names: Mapping[str, str],
    hints: Mapping[str, Hint],
    usable: Iterable[KnownFile],
    free: Collection[int],
    hash_of: Callable[[str], str],
) -> dict[str, KnownFile]:
    """By path, the usable file with the same bytes: of the same name, or one of the ``free`` ids. Each is taken once.

    A path is hashed only where such a file has its size.
    """
    by_size: dict[int, list[KnownFile]] = {}
    for file in usable:
        by_size.setdefault(file.hint.size, []).append(file)
    found: dict[str, KnownFile] = {}
    claimed: set[int] = set()
    for name, path in names.items():
        same_size = by_size.get(hints[path].size, ()) if path in hints else ()
        candidates = [file for file in same_size if file.id not in claimed and (file.path == name or file.id in free)]
        same = _find_same_bytes(name, path, candidates, hash_of)
        if same:
            claimed.add(same.id)
            found[path] = same
    return found


def _find_same_bytes(
    name: str, path: str, candidates: Sequence[KnownFile], hash_of: Callable[[str], str]
) -> KnownFile | None:
    """The candidate with the bytes of ``path``; of several, the one of the same name."""
    if not candidates:
        return None
    try:
        file_hash = hash_of(path)
    except OSError:
        return None  # Phase 1 reads it and says what is wrong
    same = [file for file in candidates if file.file_hash == file_hash]
    return min(same, key=lambda file: file.path != name, default=None)


def _find_by_beginning(
    names: Mapping[str, str],
    hints: Mapping[str, Hint],
    usable: Iterable[KnownFile],
    free: Collection[int],
    beginnings_of: Callable[[str, Sequence[int]], list[str]],
) -> dict[str, KnownFile]:
    """By path, the usable file whose bytes are the beginning of what lies there: of the same name, or one of the
    ``free`` ids that has records. Each is taken once; of several, the one of the same name, then the longest."""
    by_size = sorted(usable, key=lambda file: -file.hint.size)
    found: dict[str, KnownFile] = {}
    claimed: set[int] = set()
    for name, path in names.items():
        candidates = [
            file
            for file in by_size
            if path in hints
            and file.id not in claimed
            and file.hint.size < hints[path].size
            and (file.path == name or (file.id in free and file.splits))
            and is_archive(file.path) == is_archive(path)
        ]
        if not candidates:
            continue
        sizes = [file.hint.size for file in candidates]
        try:
            hashes = beginnings_of(path, sizes)
        except OSError:
            continue  # Phase 1 reads it and says what is wrong
        same = [file for file, file_hash in zip(candidates, hashes, strict=False) if file.file_hash == file_hash]
        if same:
            found[path] = min(same, key=lambda file: file.path != name)
            claimed.add(found[path].id)
    return found


def _is_outdated(file: KnownFile, hint: Hint | None, fingerprint: str) -> bool:
    return file.fingerprint != fingerprint and hint is not None and file.hint.size == hint.size
