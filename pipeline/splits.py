"""Discover the input files and cut them into byte ranges, the splits that workers read."""

import glob
import os
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import FileRefused, InputError
from pipeline.header import NO_NAMES, Header, Names, read_header

SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class InputFile:
    """One input file as it was found: ``stamp`` (size, mtime in ns, inode) tells later whether it changed."""

    path: str
    stamp: tuple[int, int, int]
    header: Header | None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stamp[0]


@dataclass(frozen=True)
class Split:
    """The records of ``path`` that begin in bytes ``start <= position < stop``.

    ``start`` is speculative unless ``exact``: the first record is then taken to begin after the next line end, which a
    quoted field that spans the place would belie. ``number`` counts the splits of a run and names its files.
    """

    number: int
    path: str
    size: int
    start: int
    stop: int
    exact: bool
    header: Header

    def restarted_at(self, start: int) -> "Split":
        """The same split with its true start, for a second reading."""
        return replace(self, start=start, exact=True)


def display_name(path: str) -> str:
    """``path`` as valid UTF-8 text: bytes of a file name that are not UTF-8 are shown as \\xNN."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def stamp(path: str) -> tuple[int, int, int]:
    """(size, mtime in ns, inode) of a file."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino


def unchanged(file: InputFile) -> bool:
    """Whether the file is still the one that was found."""
    try:
        return stamp(file.path) == file.stamp
    except OSError:
        return False


def find_inputs(pattern: str) -> tuple[list[str], list[str]]:
    """(files to read, entries skipped) for an existing file or folder, or else a glob; both sorted.

    Raises InputError where nothing is found.
    """
    place = Path(pattern)
    if place.is_file():
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


def open_inputs(
    paths: list[str], wanted: Names, max_record: int, optional: Names = NO_NAMES
) -> tuple[list[InputFile], dict[str, str]]:
    """Read every header: (files, reasons of the refused ones by path); columns: see ``read_header``."""
    files: list[InputFile] = []
    refused: dict[str, str] = {}
    for path in paths:
        try:
            files.append(InputFile(path, stamp(path), read_header(Path(path), wanted, max_record, optional)))
        except FileRefused as reason:
            refused[path] = str(reason)
        except OSError as fault:
            refused[path] = f"cannot be read: {fault.strerror or fault}. Check that it exists and its permissions."
    return files, refused


def cut(files: list[InputFile], split_bytes: int) -> list[Split]:
    """Cut files into splits of at most ``split_bytes``, nearly equal within a file; small files stay whole."""
    splits: list[Split] = []
    for file in files:
        header = file.header
        if header is None or header.data_start >= file.size:
            continue
        length = file.size - header.data_start
        pieces = max(1, -(-length // split_bytes))
        bounds = [header.data_start + length * i // pieces for i in range(pieces + 1)]
        for i in range(pieces):
            splits.append(Split(len(splits), file.path, file.size, bounds[i], bounds[i + 1], i == 0, header))
    return splits
