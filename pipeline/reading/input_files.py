"""Finds the input files, refuses links that lead out of the input folder, and tells whether a file has changed."""

import glob
import itertools
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import xxhash

from pipeline.errors import InputError
from pipeline.machine import display_name
from pipeline.reading.archives import ARCHIVE_SUFFIXES, Expanded
from pipeline.reading.file_access import (
    Stamp,
    file_size,
    object_hash,
    real_folders,
    stamp,
)
from pipeline.reading.header import Header
from pipeline.reading.rotated_names import USUAL_ROTATED
from pipeline.storage.faults import StorageFault
from pipeline.storage.urls import has_magic, is_url

SUFFIXES = tuple(text + packed for text in (".csv", ".tsv") for packed in ("", *ARCHIVE_SUFFIXES))
"""Endings of the files that are read; case does not matter. Rotation may put something before .gz and .zst."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file as it was found.

    ============  ======================================================
    ``path``      as the input names it
    ``stamp``     stamp of the file itself, by which a change is noticed
    ``header``    header of the file; None if it is empty
    ``expanded``  the expanded text, if the file is compressed
    ============  ======================================================
    """

    path: str
    stamp: Stamp
    header: Header | None
    expanded: Expanded | None = None

    @property
    def size(self) -> int:
        """Bytes of text."""
        return self.expanded.size if self.expanded else self.stamp[0]

    def settled_at(self, size: int) -> "InputFile":
        """The file as if only its first ``size`` bytes were there."""
        return replace(self, stamp=(size, *self.stamp[1:]))

    @property
    def expected_rows(self) -> float:
        """Estimated number of records, from the mean length of sampled lines; 0 without a header or records."""
        if not self.header or not self.header.row_width:
            return 0.0
        return max(0, self.size - self.header.data_start) / self.header.row_width

    @property
    def size_on_disk(self) -> int:
        """Bytes of the file itself, compressed if it is an archive."""
        return self.stamp[0]


def total_size(paths: Sequence[str]) -> int:
    """Bytes of all files together, as ``file_size`` counts them."""
    return sum(map(file_size, paths))


def unchanged(file: InputFile) -> bool:
    """Whether the file still has the stamp with which it was found.

    Of an object, no bytes but those that were found are ever read (``storage.reader``).
    """
    if is_url(file.path):
        return True
    try:
        return stamp(file.path) == file.stamp
    except OSError:
        return False


def has_grown(file: InputFile) -> bool:
    """Whether the file is the one that was found, has at least as many bytes, and was written since."""
    try:
        size, _, inode = stamp(file.path)
    except OSError:
        return False
    return inode == file.stamp[2] and size > file.stamp[0]


def find_inputs(pattern: str, rotated: str = USUAL_ROTATED) -> tuple[list[str], list[str]]:
    """(files to read, entries skipped), both sorted by their bytes, of a file, a folder or a glob.

    In a storage, a URL is the name of an object, that of a folder (what comes before a slash in keys), or a glob.

    ``rotated``: ROTATED_NAMES.
    ``pattern`` is a glob only where no file or folder has that name. Of a folder only its own entries are taken.
    Raises InputError where nothing matches, a file has no ending of ``SUFFIXES``, or a folder cannot be listed, and
    StorageFault.
    """
    if is_url(pattern):
        return _find_objects(pattern, rotated)
    try:
        return _find_inputs(pattern, rotated)
    except PermissionError as fault:
        raise InputError(
            f"input {display_name(pattern)!r} cannot be listed: {fault.strerror}. Allow this user to read and enter it."
        ) from fault


def _find_inputs(pattern: str, rotated: str) -> tuple[list[str], list[str]]:
    path = Path(pattern)
    if path.is_file():
        if not _log_name(rotated).fullmatch(pattern):
            raise InputError(
                f"input {display_name(pattern)!r} is no log by its name: expected an ending of {', '.join(SUFFIXES)}. "
                "Convert it, or rename it if it is one."
            )
        return [pattern], []
    if path.is_dir():
        return _choose([entry.path for entry in os.scandir(pattern)], rotated)
    if path.exists():
        raise InputError(f"input {display_name(pattern)!r} is neither a file nor a folder. Name one with --input.")
    if os.path.lexists(pattern) or not glob.has_magic(pattern):
        raise InputError(f"input {pattern!r} does not exist. Name an existing file, folder or glob with --input.")
    matches = glob.glob(pattern, recursive=True)
    if not matches:
        raise InputError(f"no file matches the input {pattern!r}. Check the pattern, and quote it in the shell.")
    return _choose(matches, rotated, hidden=os.path.basename(pattern).startswith("."))


def _find_objects(pattern: str, rotated: str) -> tuple[list[str], list[str]]:
    from pipeline.storage.objects import find_objects, look_at

    name = _log_name(rotated)
    chosen: list[str] = []
    skipped: list[str] = []
    try:
        if not has_magic(pattern) and name.fullmatch(pattern):
            with suppress(FileNotFoundError):
                return [look_at(pattern)], []
        for found in find_objects(pattern):
            readable = name.fullmatch(found) and not found.rpartition("/")[2].startswith(".")
            (chosen if readable else skipped).append(found)
    except StorageFault as fault:
        if fault.no_bucket:
            raise InputError(str(fault)) from None
        raise
    if not chosen and not skipped:
        what = "no object matches" if has_magic(pattern) else "there is no object, and no folder with objects, at"
        raise InputError(f"{what} the input {pattern!r}. Check bucket and key, and quote a glob in the shell.")
    return chosen, skipped


@lru_cache(maxsize=4)
def _log_name(rotated: str) -> re.Pattern[str]:
    """The pattern of a log's name; ``rotated``: ROTATED_NAMES."""
    between = f"(?:{rotated})?" if rotated else ""
    packed = "|".join(map(re.escape, ARCHIVE_SUFFIXES))
    return re.compile(rf".*\.(?:csv|tsv){between}(?:{packed})?", re.IGNORECASE | re.DOTALL)


def _choose(paths: list[str], rotated: str, *, hidden: bool = False) -> tuple[list[str], list[str]]:
    """(files to read, entries skipped): hidden files, other endings, folders and links to nowhere are skipped.

    With ``hidden`` files may be hidden, but those of AppleDouble, in which macOS keeps what other systems cannot, are
    skipped all the same.
    """
    chosen: list[str] = []
    skipped: list[str] = []
    for path in sorted(paths, key=os.fsencode):
        shown = not os.path.basename(path).startswith("._" if hidden else ".")
        readable = shown and bool(_log_name(rotated).fullmatch(path)) and os.path.isfile(path)
        (chosen if readable else skipped).append(path)
    return chosen, skipped


def refuse_outside(pattern: str, paths: list[str]) -> tuple[list[str], dict[str, str]]:
    """(paths whose targets lie in the input folder, path → reason of each other one), after all links are followed.

    ``pattern`` is what the user named. The input folder of a glob is the part before the first wildcard. A file is
    taken as it is named, wherever it lies.
    """
    if is_url(pattern) or os.path.isfile(pattern):
        return paths, {}
    within = os.path.join(_folder(pattern), "")
    inside: list[str] = []
    refused: dict[str, str] = {}
    for path, place in zip(paths, real_folders(paths), strict=True):
        target = os.path.realpath(path) if os.path.islink(path) else place
        if target.startswith(within):
            inside.append(path)
        else:
            refused[path] = (
                f"a link leads out of the input folder, to {display_name(target)}; it is not followed. Put the "
                "file itself there, or name it with --input."
            )
    return inside, refused


def _folder(pattern: str) -> Path:
    if os.path.isdir(pattern):
        return Path(os.path.realpath(pattern))
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    return Path(os.path.realpath(Path(*fixed)))


_STEP = 2**20
"""Bytes that are read at a time: few enough to stay in the processor's cache between reading and hashing."""


def hash_file(path: str) -> str:
    """xxh3_128 of all bytes of a file, as 32 hexadecimal digits; of an object ``object_hash``.

    Raises OSError where the file cannot be read.
    """
    return hash_beginnings(path, ())[-1]


def hash_beginnings(path: str, sizes: Sequence[int]) -> list[str]:
    """The hashes (as ``hash_file``) of the first so many bytes of a file for each of ``sizes``, and last of all bytes.

    The hash of a size beyond the file's end is empty; so is that of a part of an object, to which nothing can be
    appended. Each byte is read once. Raises OSError where the file cannot be
    read.
    """
    if is_url(path):
        return [*("" for _ in sizes), object_hash(path)]
    digest = xxhash.xxh3_128()
    buffer = memoryview(bytearray(_STEP))
    found = dict.fromkeys(sizes, "")
    position = 0
    with open(path, "rb", buffering=0) as stream:
        for stop in [*sorted(found), None]:
            while stop is None or position < stop:
                size = stream.readinto(buffer if stop is None else buffer[: stop - position])
                if not size:
                    break
                digest.update(buffer[:size])
                position += size
            if stop is not None and position == stop:
                found[stop] = digest.hexdigest()
    return [*(found[size] for size in sizes), digest.hexdigest()]


def hash_beginning(path: str, size: int) -> str:
    """The hash (as ``hash_file``) of the first ``size`` bytes of a file; empty where it has fewer. Raises OSError."""
    if is_url(path):
        return object_hash(path) if size == file_size(path) else ""
    digest = xxhash.xxh3_128()
    buffer = memoryview(bytearray(min(_STEP, size)))
    left = size
    with open(path, "rb", buffering=0) as stream:
        while left and (read := stream.readinto(buffer[: min(_STEP, left)])):
            digest.update(buffer[:read])
            left -= read
    return "" if left else digest.hexdigest()


@dataclass(frozen=True)
class FoundInput:
    """The entries of the input.

    ===========  =============================================================
    ``paths``    files to read, sorted
    ``outside``  path → reason of each link that leads out of the input folder
    ``skipped``  entries that are no logs by their name, sorted
    ===========  =============================================================
    """

    paths: list[str]
    outside: dict[str, str]
    skipped: list[str]

    @property
    def bytes(self) -> int:
        """Size on disk of the files to read."""
        return total_size(self.paths)


def find_input(source: str, would_go: str | None = None, rotated: str = USUAL_ROTATED) -> FoundInput:
    """List the files of the input. Raises InputError where there is no file to read.

    ``rotated``: ROTATED_NAMES.
    ``would_go``: name of the published version, if it would lose the files that are no longer there (--prune-missing).
    """
    paths, skipped = find_inputs(source, rotated)
    if paths:
        inside, outside = refuse_outside(source, paths)
        return FoundInput(inside, outside, skipped)
    others = ", ".join(display_name(path) for path in skipped[:10])
    raise InputError(
        f"nothing to process: no *.csv or *.tsv (or these with .gz or .zst) in {display_name(source)!r}"
        f"{f' (skipped: {others})' if others else ''}. {_all_would_go(would_go) if would_go else ''}"
        "Name the logs with --input."
    )


def _all_would_go(version: str) -> str:
    """Why nothing is pruned: a disk that is not mounted also makes an empty input, and nobody means that."""
    return (
        f"With --prune-missing every file would be removed from version {version}, and an empty result would replace "
        "it; it stays, because a disk that is not mounted looks just so. Mount it and run again, or remove the output "
        "and its versions if all of it shall go. "
    )
