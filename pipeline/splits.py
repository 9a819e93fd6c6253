"""Discover the input files and cut them into byte ranges, the splits that workers read."""

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from pipeline.archives import ARCHIVE_SUFFIXES, Expanded
from pipeline.errors import FileRefused, InputError
from pipeline.header import NO_NAMES, Header, Names, read_header

SUFFIXES = tuple(text + packed for text in (".csv", ".tsv") for packed in ("", *ARCHIVE_SUFFIXES))
"""Endings of the files that are read, in small or capital letters."""


@dataclass(frozen=True)
class InputFile:
    """One input file as it was found: ``stamp`` (size, mtime in ns, inode) tells later whether it changed.

    Of a compressed file, ``expanded`` says where its text is.
    """

    path: str
    stamp: tuple[int, int, int]
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
    spool: str | None = None

    @property
    def source(self) -> str:
        """The file to read: ``path``, or where its text is if that is compressed. Only ``path`` is ever shown."""
        return self.spool or self.path

    def ending_at(self, stop: int) -> "Split":
        """The same split, of which the records from ``stop`` on are left to others."""
        return replace(self, stop=stop)

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


def open_inputs(
    paths: list[str],
    wanted: Names,
    max_record: int,
    optional: Names = NO_NAMES,
    expanded: Mapping[str, Expanded] = MappingProxyType({}),
) -> tuple[list[InputFile], dict[str, str]]:
    """Read every header: (files, reasons of the refused ones by path); columns: see ``read_header``.

    The header of a compressed file is that of what it was expanded to.
    """
    files: list[InputFile] = []
    refused: dict[str, str] = {}
    for path in paths:
        try:
            spool = expanded.get(path)
            found = spool.stamp if spool else stamp(path)
            header = read_header(Path(spool.spool if spool else path), wanted, max_record, optional)
            files.append(InputFile(path, found, header, spool))
        except FileRefused as reason:
            refused[path] = str(reason)
        except OSError as fault:
            refused[path] = f"cannot be read: {fault.strerror or fault}. Check that it exists and its permissions."
    return files, refused


def cut_rest(split: Split, begin: int, stop: int) -> list[Split]:
    """What a split that began at ``begin`` and ended early at ``stop`` leaves, in pieces somewhat shorter than it was.

    They have its number until they get their own.
    """
    left = split.stop - stop
    pieces = -(-left * 5 // ((stop - begin) * 4))
    bounds = [stop + left * i // pieces for i in range(pieces + 1)]
    return [replace(split, start=bounds[i], stop=bounds[i + 1], exact=i == 0) for i in range(pieces)]


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
        spool = file.expanded.spool if file.expanded else None
        for i in range(pieces):
            splits.append(Split(len(splits), file.path, file.size, bounds[i], bounds[i + 1], i == 0, header, spool))
    return splits
