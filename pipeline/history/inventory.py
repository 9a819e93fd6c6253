"""What a run finds, compared with what is known: which files are read, which are used again, which have left.

A file is known by its content. Size, times and inode spare the hashing where they prove that nothing changed.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.history.known_files import Hint, KnownFile
from pipeline.reading.input_files import hash_file


@dataclass(frozen=True)
class Inventory:
    """The inputs of a run. Paths are as the user named them.

    =============  =======================================================================================
    ``hints``      the hint of every path that was found
    ``reused``     files that are not read, by path
    ``resumed``    files whose reading was interrupted, by path
    ``fresh``      paths that are read from their beginning
    ``moved``      reused files, each with the path under which it was met again
    ``renamed``    (old path, path)
    ``replaced``   by path, the file that counts until its successor is read
    ``missing``    files that count and are no longer there
    ``elsewhere``  files that count and lie outside this input
    ``outdated``   paths that count, have their size still, and were read with other settings
    =============  =======================================================================================
    """

    hints: Mapping[str, Hint] = field(default_factory=dict)
    reused: Mapping[str, KnownFile] = field(default_factory=dict)
    resumed: Mapping[str, KnownFile] = field(default_factory=dict)
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
        return [*self.fresh, *self.resumed]

    @property
    def finest_buckets(self) -> int:
        """In how many buckets new splits are written at least: as finely as those that are used again, or Phase 2 would
        have to read all in the coarsest."""
        results = [part.result for file in self.reused.values() for part in file.splits if part.result]
        return max((len(json.loads(result)["bucket_rows"]) for result in results), default=0)


def identity(path: str) -> str:
    """The one name of a path: absolute, links of its folders followed."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def take_inventory(
    paths: Sequence[str],
    hints: Mapping[str, Hint],
    known: Sequence[KnownFile],
    counted: Sequence[KnownFile],
    fingerprint: str,
    hash_of: Callable[[str], str] = hash_file,
) -> Inventory:
    """Compare the ``paths`` that were found with the ``known`` files, of which those in ``counted`` count now.

    ``hints`` of the paths that exist; only files of the same ``fingerprint`` are used again.
    """
    usable = [file for file in known if file.fingerprint == fingerprint]
    counted_ids = {file.id for file in counted}
    # Of several entries for one path the one that counts, then the latest, is met first.
    usable.sort(key=lambda file: (file.id in counted_ids, file.id), reverse=True)
    by_path: dict[str, list[KnownFile]] = {}
    by_size: dict[int, list[KnownFile]] = {}
    for file in usable:
        by_path.setdefault(file.path, []).append(file)
        if file.finished:
            by_size.setdefault(file.hint.size, []).append(file)
    names = {identity(path): path for path in paths}
    proven = {
        path: same
        for name, path in names.items()
        if path in hints and (same := _find_proven(by_path.get(name, ()), hints[path]))
    }
    claimed = {file.id for file in proven.values()}
    reused = {path: file for path, file in proven.items() if file.finished}
    fresh, moved = [], []
    for name, path in names.items():
        if path in proven:
            continue
        candidates = [
            file
            for file in (by_size.get(hints[path].size, ()) if path in hints else ())
            if file.id not in claimed and (file.path == name or (file.id in counted_ids and _left(file, names)))
        ]
        match = _find_same_content(name, path, candidates, hash_of)
        if match:
            claimed.add(match.id)
            reused[path] = match
            moved.append((match, path))
        else:
            fresh.append(path)
    rest = [file for file in counted if file.id not in claimed]
    replaced = {names[file.path]: file for file in rest if file.path in names}
    gone = [file for file in rest if file.path not in names]
    elsewhere = [file for file in gone if os.path.lexists(file.path)]
    return Inventory(
        hints=dict(hints),
        reused=reused,
        resumed={path: file for path, file in proven.items() if not file.finished},
        fresh=tuple(fresh),
        moved=tuple(moved),
        renamed=tuple((file.path, path) for file, path in moved if file.path != identity(path)),
        replaced=replaced,
        missing=tuple(file for file in gone if file not in elsewhere),
        elsewhere=tuple(elsewhere),
        outdated=tuple(
            path
            for path, file in replaced.items()
            if file.fingerprint != fingerprint and path in hints and file.hint.size == hints[path].size
        ),
    )


def _find_proven(files: Sequence[KnownFile], hint: Hint) -> KnownFile | None:
    """The first of the ``files`` that its hint proves to be the one with ``hint``."""
    return next((file for file in files if file.hint.proves_same(hint)), None)


def _left(file: KnownFile, names: Mapping[str, str]) -> bool:
    """Whether the file's name is free or has other bytes now: only then may another name be its new one."""
    return file.path in names or not os.path.lexists(file.path)


def _find_same_content(
    name: str, path: str, candidates: Sequence[KnownFile], hash_of: Callable[[str], str]
) -> KnownFile | None:
    """The candidate with the bytes of ``path``, of the same name if there are several."""
    if not candidates:
        return None
    try:
        content = hash_of(path)
    except OSError:
        return None  # Phase 1 will say why
    same = [file for file in candidates if file.file_hash == content]
    return min(same, key=lambda file: file.path != name, default=None)
