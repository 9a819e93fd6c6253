"""The input files: found, kept within their folder, named and recognized."""

import glob
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import xxhash

from pipeline.errors import InputError
from pipeline.machine import display_name
from pipeline.reading.archives import ARCHIVE_SUFFIXES, Expanded
from pipeline.reading.file_access import Stamp, stamp_of
from pipeline.reading.header import Header

SUFFIXES = tuple(text + packed for text in (".csv", ".tsv") for packed in ("", *ARCHIVE_SUFFIXES))
"""Endings of the files that are read, in small or capital letters."""


@dataclass(frozen=True)
class InputFile:
    """One input file as it was found: ``stamp`` (size, mtime in ns, inode) tells later whether it changed.

    Of a compressed file, ``expanded`` says where its text is.
    """

    path: str
    stamp: Stamp
    header: Header | None
    expanded: Expanded | None = None

    @property
    def size(self) -> int:
        """Bytes of text."""
        return self.expanded.size if self.expanded else self.stamp[0]

    @property
    def expected_rows(self) -> float:
        """About how many records, judged by lines all over it; 0 where nothing tells."""
        if not self.header or not self.header.row_width:
            return 0.0
        return max(0, self.size - self.header.data_start) / self.header.row_width

    @property
    def size_on_disk(self) -> int:
        """Bytes of the file itself."""
        return self.stamp[0]


def stamp(path: str) -> Stamp:
    """The stamp of a file. Raises OSError where the file cannot be looked at."""
    return stamp_of(os.stat(path))


def file_size(path: str) -> int:
    """Bytes of a file; 0 where it vanished, which is told when it is opened."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def unchanged(file: InputFile) -> bool:
    """Whether the file is still the one that was found."""
    try:
        return stamp(file.path) == file.stamp
    except OSError:
        return False


def find_inputs(pattern: str) -> tuple[list[str], list[str]]:
    """(files to read, entries skipped) for an existing file or folder, or else a glob; both sorted.

    Raises InputError where nothing is found, or nothing may be.
    """
    try:
        return _find_inputs(pattern)
    except PermissionError as fault:
        raise InputError(
            f"input {display_name(pattern)!r} cannot be listed: {fault.strerror}. Allow this user to read and enter it."
        ) from fault


def _find_inputs(pattern: str) -> tuple[list[str], list[str]]:
    place = Path(pattern)
    if place.is_file():
        if not pattern.lower().endswith(SUFFIXES):
            raise InputError(
                f"input {display_name(pattern)!r} is no log by its name: expected an ending of {', '.join(SUFFIXES)}. "
                "Convert it, or rename it if it is one."
            )
        return [pattern], []
    if place.is_dir():
        return _choose([entry.path for entry in os.scandir(pattern)])
    if place.exists():
        raise InputError(f"input {display_name(pattern)!r} is neither a file nor a folder. Name one with --input.")
    if os.path.lexists(pattern) or not glob.has_magic(pattern):
        raise InputError(f"input {pattern!r} does not exist. Name an existing file, folder or glob with --input.")
    matches = glob.glob(pattern, recursive=True)
    if not matches:
        raise InputError(f"no file matches the input {pattern!r}. Check the pattern, and quote it in the shell.")
    return _choose(matches)


def _choose(paths: list[str]) -> tuple[list[str], list[str]]:
    """Split into what is read and what is skipped: other endings, folders, and links to nowhere."""
    chosen: list[str] = []
    skipped: list[str] = []
    for path in sorted(paths, key=os.fsencode):
        readable = path.lower().endswith(SUFFIXES) and Path(path).is_file()
        (chosen if readable else skipped).append(path)
    return chosen, skipped


def refuse_outside(pattern: str, paths: list[str]) -> tuple[list[str], dict[str, str]]:
    """(paths that lie in the input folder, reasons of the others by path), after all links are followed.

    ``pattern`` is what the user named: a folder, a glob (its folder is the part before the first wildcard), or a file,
    which is taken as it is named. Links that lead elsewhere within the folder are followed.
    """
    if os.path.isfile(pattern):
        return paths, {}
    folder = _folder(pattern)
    inside: list[str] = []
    refused: dict[str, str] = {}
    for path in paths:
        target = Path(os.path.realpath(path))
        if target.is_relative_to(folder):
            inside.append(path)
        else:
            refused[path] = (
                f"a link leads out of the input folder, to {display_name(str(target))}; it is not followed. Put the "
                "file itself there, or name it with --input."
            )
    return inside, refused


def _folder(pattern: str) -> Path:
    if os.path.isdir(pattern):
        return Path(os.path.realpath(pattern))
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    return Path(os.path.realpath(Path(*fixed)))


_STEP = 2**20
"""Bytes read at a time: small enough to stay in the processor's cache between reading and hashing."""


def hash_file(path: str) -> str:
    """xxh3_128 of all bytes of a file, as 32 hexadecimal digits. Raises OSError where it cannot be read."""
    content = xxhash.xxh3_128()
    buffer = memoryview(bytearray(_STEP))
    with open(path, "rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            content.update(buffer[:size])
    return content.hexdigest()


@dataclass(frozen=True)
class FoundInput:
    """What lies at the input.

    ``paths``: files to read; ``outside``: reasons of files that a link leads out to, by path; ``skipped``: entries that
    are no logs by their name.
    """

    paths: list[str]
    outside: dict[str, str]
    skipped: list[str]


def find_input(source: str, would_go: str | None = None) -> FoundInput:
    """List the files of the input. Raises InputError where there is nothing to read.

    ``would_go``: the published version, if files that are no longer there shall stop counting in it.
    """
    paths, skipped = find_inputs(source)
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
    """An empty result is what a disk that is not mounted would make, and surely not what was meant then."""
    return (
        f"With --prune-missing every file would be taken out of version {version}, and an empty result would replace "
        "it; it stays, because a disk that is not mounted looks just so. Mount it and run again, or remove the output "
        "and its versions if all of it shall go. "
    )
