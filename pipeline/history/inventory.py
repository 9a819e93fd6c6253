"""Compares the input with the known files: which are read, which are used again, which are missing.

A file is recognized by the hash of its bytes. Its hint (size, times and inode) saves the hashing where it proves that
nothing changed.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from pipeline.history.known_files import Hint, KnownFile
from pipeline.history.known_list import FileIds, FilesByPath, KnownFiles
from pipeline.reading.archives import is_archive
from pipeline.reading.file_access import exists, real_folders
from pipeline.reading.input_files import hash_beginnings, hash_file


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
    ``moved``      reused files that were recognized by their hash, by path
    ``renamed``    (old path, new path) of the moved and appended files that have another path than before
    ``replaced``   files that count, have other bytes now, and whose bytes were found nowhere else, by path
    ``missing``    files that count and no longer exist
    ``elsewhere``  files that count and exist, but not in this input
    ``outdated``   paths whose file counts, has the same size still, and was read with other settings
    =============  ==============================================================================================
    """

    hints: Mapping[str, Hint] = field(default_factory=dict)
    reused: FilesByPath = field(default_factory=FilesByPath)
    resumed: Mapping[str, KnownFile] = field(default_factory=dict)
    appended: Mapping[str, KnownFile] = field(default_factory=dict)
    grown: Mapping[str, KnownFile] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()
    moved: Mapping[str, KnownFile] = field(default_factory=dict)
    renamed: tuple[tuple[str, str], ...] = ()
    replaced: Mapping[str, KnownFile] = field(default_factory=dict)
    missing: Sequence[KnownFile] = ()
    elsewhere: Sequence[KnownFile] = ()
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
        known = chain(self.reused.values(), self.appended.values())
        results = (split.result for file in known for split in file.splits if split.result)
        return max((len(json.loads(result)["bucket_rows"]) for result in results), default=0)


def identity(path: str) -> str:
    """The path by which the manifest knows a file: absolute, with the links of its folders followed.

    A link to a file stays: it is an input by its own name. The URL of an object is its identity.
    """
    return next(identities((path,)))


def identities(paths: Sequence[str]) -> Iterator[str]:
    """The ``identity`` of each path, which is the path itself where they are equal: one text in memory, not two."""
    return (path if found == path else found for path, found in zip(paths, real_folders(paths), strict=True))


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
    names = dict(zip(identities(paths), paths, strict=True))
    if not known and not counted:
        return Inventory(hints=hints, fresh=tuple(names.values()))
    known, counted_ids = KnownFiles.of(known), FileIds(KnownFiles.of(counted).ids)
    ids = list(known.ids)
    counts = [id_ in counted_ids for id_ in ids]
    usable = [place for place in range(len(known)) if known.has_fingerprint(place, fingerprint)]
    # Of several entries for one path or content, the one that counts goes first, then the latest.
    usable.sort(key=lambda place: (counts[place], ids[place]), reverse=True)
    proven = _find_by_hint(names, hints, known, usable)
    claimed = bytearray(len(known))
    _claim(claimed, proven)
    free = _may_be_renamed(known, counts, names)
    movable = [place for place in usable if not claimed[place] and known.finished(place)]
    unproven = {name: path for name, path in names.items() if path not in proven}
    moved = _find_by_hash(unproven, hints, _Contents(known, movable if unproven else (), free), hash_of)
    _claim(claimed, moved)
    unknown = {name: path for name, path in unproven.items() if path not in moved}
    beginnings = [place for place in movable if not claimed[place]]
    appended = _find_appended(unknown, hints, known, beginnings, free, beginnings_of)
    _claim(claimed, appended)

    unclaimed = [place for place, counts_now in enumerate(counts) if counts_now and not claimed[place]]
    replaced = {names[known.path(place)]: place for place in unclaimed if known.path(place) in names}
    not_found = [place for place in unclaimed if known.path(place) not in names]
    elsewhere = {place for place in not_found if exists(known.path(place))}
    return Inventory(
        hints=hints,
        reused=FilesByPath(known, {path: place for path, place in proven.items() if known.finished(place)} | moved),
        resumed=FilesByPath(known, {path: place for path, place in proven.items() if not known.finished(place)}),
        appended=FilesByPath(known, appended),
        grown=FilesByPath(known, {path: place for path, place in appended.items() if counts[place]}),
        fresh=tuple(path for path in unknown.values() if path not in appended),
        moved=FilesByPath(known, moved),
        renamed=tuple(
            (known.path(place), path)
            for path, place in (moved | appended).items()
            if known.path(place) != identity(path)
        ),
        replaced=FilesByPath(known, replaced),
        missing=known.chosen(place for place in not_found if place not in elsewhere),
        elsewhere=known.chosen(sorted(elsewhere)),
        outdated=tuple(
            path for path, place in replaced.items() if _is_outdated(known[place], hints.get(path), fingerprint)
        ),
    )


def _claim(claimed: bytearray, found: Mapping[str, int]) -> None:
    for place in found.values():
        claimed[place] = True


def _may_be_renamed(known: KnownFiles, counts: Sequence[bool], names: Mapping[str, str]) -> Callable[[int], bool]:
    """Tells of a place of ``known`` whether its file counts and may have another name now: its old one is gone, or is
    that of an input."""

    def may_be_renamed(place: int) -> bool:
        path = known.path(place)
        return counts[place] and (path in names or not exists(path))

    return may_be_renamed


def _find_by_hint(
    names: Mapping[str, str], hints: Mapping[str, Hint], known: KnownFiles, usable: Iterable[int]
) -> dict[str, int]:
    """By path, the first usable file of the same name that its hint proves to be unchanged, in order of the names."""
    proven: dict[str, int] = {}
    for place in usable:
        path = names.get(known.path(place))
        if path is None or path in proven or path not in hints:
            continue
        if known.hint(place).proves_same(hints[path]):
            proven[path] = place
    return {path: proven[path] for path in names.values() if path in proven}


class _Contents:
    """Files that can be recognized by their bytes, each of them once. Very many of them may have one size.

    ``usable``: places of ``known``, the best first. A file is found under its own name; if it is ``free``, under any.
    """

    def __init__(self, known: KnownFiles, usable: Iterable[int], free: Callable[[int], bool]) -> None:
        self._by_name: dict[str, list[tuple[int, str, int]]] = {}
        self._by_bytes: dict[tuple[int, str], list[int]] = {}
        self._free_sizes: dict[int, int] = {}
        self._sizes: Counter[int] = Counter()
        self._taken: set[int] = set()
        for place in usable:
            file = known[place]
            self._by_name.setdefault(file.path, []).append((file.hint.size, file.file_hash, place))
            if free(place):
                self._by_bytes.setdefault((file.hint.size, file.file_hash), []).append(place)
                self._free_sizes[place] = file.hint.size
                self._sizes[file.hint.size] += 1

    def sizes(self, name: str) -> set[int]:
        """The sizes of the files that may have this name."""
        return {*self._sizes, *self._sizes_of(name)}

    def has_size(self, name: str, size: int) -> bool:
        """Whether a file of this size may have this name."""
        return size in self._sizes or size in self._sizes_of(name)

    def _sizes_of(self, name: str) -> list[int]:
        return [size for size, _, place in self._by_name.get(name, ()) if place not in self._taken]

    def take(self, name: str, contents: Sequence[tuple[int, str]]) -> int | None:
        """Take the first file with one of these (size, hash); one of the same name goes before all others."""
        of_name = self._by_name.get(name, ())
        same_name = (place for found in contents for *facts, place in of_name if found == tuple(facts))
        others = (place for found in contents for place in self._by_bytes.get(found, ()))
        place = next((place for place in chain(same_name, others) if place not in self._taken), None)
        if place is not None:
            self._taken.add(place)
            self._leave(place)
        return place

    def _leave(self, place: int) -> None:
        size = self._free_sizes.get(place)
        if size is not None:
            self._sizes[size] -= 1
            if not self._sizes[size]:
                del self._sizes[size]


def _find_by_hash(
    names: Mapping[str, str], hints: Mapping[str, Hint], contents: _Contents, hash_of: Callable[[str], str]
) -> dict[str, int]:
    """By path, the file in ``contents`` with the same bytes. A path is hashed only where such a file has its size."""

    def sizes_of(name: str, size: int) -> list[int]:
        return [size] if contents.has_size(name, size) else []

    return _find_by_bytes(names, hints, contents, sizes_of, lambda path, _: [hash_of(path)])


def _find_by_beginning(
    names: Mapping[str, str],
    hints: Mapping[str, Hint],
    contents: _Contents,
    beginnings_of: Callable[[str, Sequence[int]], list[str]],
) -> dict[str, int]:
    """By path, the file in ``contents`` whose bytes are the beginning of what lies there: of several, the one of the
    same name, then the longest."""

    def sizes_of(name: str, size: int) -> list[int]:
        return sorted((smaller for smaller in contents.sizes(name) if smaller < size), reverse=True)

    return _find_by_bytes(names, hints, contents, sizes_of, beginnings_of)


def _find_by_bytes(
    names: Mapping[str, str],
    hints: Mapping[str, Hint],
    contents: _Contents,
    sizes_of: Callable[[str, int], list[int]],
    hashes_of: Callable[[str, Sequence[int]], list[str]],
) -> dict[str, int]:
    """By path, the file in ``contents`` that the hash of so many of its bytes names.

    ``sizes_of``: how many bytes are worth hashing, by name and size. ``hashes_of``: hashes them; may raise OSError.
    """
    found: dict[str, int] = {}
    for name, path in names.items():
        sizes = sizes_of(name, hints[path].size) if path in hints else []
        if not sizes:
            continue
        try:
            hashes = hashes_of(path, sizes)
        except OSError:
            continue  # Phase 1 reads it and says what is wrong
        same = contents.take(name, list(zip(sizes, hashes, strict=False)))
        if same is not None:
            found[path] = same
    return found


def _find_appended(
    names: Mapping[str, str],
    hints: Mapping[str, Hint],
    known: KnownFiles,
    usable: Sequence[int],
    free: Callable[[int], bool],
    beginnings_of: Callable[[str, Sequence[int]], list[str]],
) -> dict[str, int]:
    """``_find_by_beginning`` for archives and for other files. A file without records is found under its name only."""
    found: dict[str, int] = {}
    for archives in (False, True) if names and usable else ():
        alike = {name: path for name, path in names.items() if is_archive(path) == archives}
        places = (place for place in usable if is_archive(known.path(place)) == archives)
        contents = _Contents(known, places, lambda place: bool(known[place].splits) and free(place))
        found |= _find_by_beginning(alike, hints, contents, beginnings_of)
    return found


def _is_outdated(file: KnownFile, hint: Hint | None, fingerprint: str) -> bool:
    return file.fingerprint != fingerprint and hint is not None and file.hint.size == hint.size
