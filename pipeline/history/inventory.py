"""What a run finds, compared with what is known: which files are read, which are used again, which have left.

A file is known by its content. Size, times and inode spare the hashing where they prove that nothing changed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.history.known_files import Hint, KnownFile
from pipeline.reading.input_files import hash_file


@dataclass
class Inventory:
    """The inputs of a run. Paths are as the user named them.

    reused: files that are not read, by path; hints: of every path that was found; resumed: files whose reading was
    interrupted, by path; fresh: what must be read; moved: reused files with the path and hint under which they were
    met again; renamed: (old path, path); replaced: by path, the file that counts until its successor is read;
    missing: files that count and are no longer there; elsewhere: files that count and lie outside this input;
    outdated: paths that count and were read with other settings (and have their size still).
    """

    hints: dict[str, Hint] = field(default_factory=dict)
    reused: dict[str, KnownFile] = field(default_factory=dict)
    resumed: dict[str, KnownFile] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    moved: list[tuple[KnownFile, str]] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    replaced: dict[str, KnownFile] = field(default_factory=dict)
    missing: list[KnownFile] = field(default_factory=list)
    elsewhere: list[KnownFile] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)

    @property
    def to_read(self) -> list[str]:
        """Paths that are read, wholly or in part."""
        return [*self.fresh, *self.resumed]


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
    hash_content: Callable[[str], str] = hash_file,
) -> Inventory:
    """Compare the ``paths`` that were found with the ``known`` files, of which those in ``counted`` count now.

    ``hints`` of the paths that exist; only files of the same ``fingerprint`` are used again.
    """
    found = Inventory(hints=dict(hints))
    usable = [file for file in known if file.fingerprint == fingerprint]
    ours = {file.id for file in counted}
    # Of several entries for one path the one that counts, then the latest, is met first.
    usable.sort(key=lambda file: (file.id in ours, file.id), reverse=True)
    by_path: dict[str, list[KnownFile]] = {}
    for file in usable:
        by_path.setdefault(file.path, []).append(file)
    by_size: dict[int, list[KnownFile]] = {}
    for file in usable:
        if file.finished:
            by_size.setdefault(file.hint.size, []).append(file)
    names = {identity(path): path for path in paths}
    claimed: set[int] = set()
    for name, path in names.items():
        hint = hints.get(path)
        for file in by_path.get(name, []) if hint else []:
            if hint and file.hint.proves_same(hint):
                if file.finished:
                    found.reused[path] = file
                else:
                    found.resumed[path] = file
                claimed.add(file.id)
                break
    for name, path in names.items():
        if path not in found.reused and path not in found.resumed:
            same_size = by_size.get(hints[path].size, []) if path in hints else []
            candidates = [
                file
                for file in same_size
                if file.id not in claimed and (file.path == name or (file.id in ours and _left(file, names)))
            ]
            match = _find_same_content(name, path, candidates, hash_content)
            if match:
                claimed.add(match.id)
                found.reused[path] = match
                found.moved.append((match, path))
                if match.path != name:
                    found.renamed.append((match.path, path))
            else:
                found.fresh.append(path)
    for file in counted:
        if file.id in claimed:
            continue
        if file.path in names:
            path = names[file.path]
            found.replaced[path] = file
            if file.fingerprint != fingerprint and path in hints and file.hint.size == hints[path].size:
                found.outdated.append(path)
        elif os.path.lexists(file.path):
            found.elsewhere.append(file)
        else:
            found.missing.append(file)
    return found


def _left(file: KnownFile, names: Mapping[str, str]) -> bool:
    """Whether the file's name is free or has other bytes now: only then may another name be its new one."""
    return file.path in names or not os.path.lexists(file.path)


def _find_same_content(
    name: str, path: str, candidates: Sequence[KnownFile], hash_content: Callable[[str], str]
) -> KnownFile | None:
    """The candidate with the bytes of ``path``, of the same name if there are several."""
    if not candidates:
        return None
    try:
        content = hash_content(path)
    except OSError:
        return None  # Phase 1 will say why
    same = [file for file in candidates if file.content_hash == content]
    return min(same, key=lambda file: file.path != name, default=None)
