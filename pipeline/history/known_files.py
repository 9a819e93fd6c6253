"""Files and splits as the manifest remembers them, and their headers and counts as JSON."""

import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

from pipeline.preprocess.ledger import FileLedger, PlacedSplit
from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.archives import Expanded, is_archive
from pipeline.reading.file_access import stamp
from pipeline.reading.header import Header
from pipeline.reading.header_changes import HeaderChange
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split
from pipeline.storage.urls import is_url

DAMAGED = "damaged"
"""The fingerprint of files that lack a file in the store, or whose rows in the manifest contradict each other. No run
has it, so that they are read again."""

_STABLE_NS = 2 * 10**9
"""A file that was written less than so many ns ago may change again and keep its time: file systems count coarsely."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Facts by which an unchanged file is recognized without reading it.

    ============  ========================================================================================
    ``size``      bytes on disk
    ``mtime_ns``  when its bytes were last written (epoch, ns)
    ``ctime_ns``  when its inode was last changed (epoch, ns)
    ``inode``     its number in the file system
    ``stable``    whether its last write was so long ago that a further one would have given it another time
    ============  ========================================================================================
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    stable: bool

    def proves_same(self, later: "Hint") -> bool:
        """Whether a file whose hint is ``later`` surely has the bytes that it had when this hint was taken."""
        return self.stable and _facts(later)[:-1] == _facts(self)[:-1]


def take_hint(path: str, now_ns: int) -> Hint:
    """Take the hint of a file at the time ``now_ns`` (epoch, ns). Raises OSError where there is no such file.

    The mark of an object proves by itself that its bytes are the same.
    """
    if is_url(path):
        size, modified_ns, mark = stamp(path)
        return Hint(size, modified_ns, modified_ns, mark, stable=True)
    status = os.stat(path)
    stable = now_ns - status.st_mtime_ns > _STABLE_NS
    return Hint(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, stable)


_PACKED = struct.Struct("<3qQ?")


class Hints(Mapping[str, Hint]):
    """Hints by path, in a quarter of the memory that so many objects take: there may be very many files."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def __setitem__(self, path: str, hint: Hint) -> None:
        self._packed[path] = _PACKED.pack(*_facts(hint))

    def __getitem__(self, path: str) -> Hint:
        return Hint(*_PACKED.unpack(self._packed[path]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


@lru_cache(maxsize=4)  # one set for all splits, of which there may be very many
def files_of(has_rows: bool, has_rejects: bool) -> frozenset[str]:
    """The kinds of files (keys of ``SPLIT_KINDS``) that Phase 1 writes for a split, by what the split has."""
    return frozenset({"lines"} | ({"rows", "index"} if has_rows else set()) | ({"rejects"} if has_rejects else set()))


@dataclass(frozen=True, slots=True)
class KnownSplit:
    """A split of a known file: the records that begin in bytes ``start <= position < stop`` (see ``Split``).

    ``result``: the counts as JSON (``result_to_json``); None until the split is finished.
    """

    number: int
    start: int
    stop: int
    exact: bool
    result: str | None

    def needs(self) -> frozenset[str]:
        """The kinds of files (keys of ``SPLIT_KINDS``) that a finished split must have in the store."""
        counts = json.loads(self.result or "{}")
        return files_of(bool(counts.get("handed_over")), bool(counts.get("rejected_by_reason")))


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file that was read, or whose reading has begun.

    ===============  ==========================================================================================
    ``id``           its number in the manifest
    ``path``         its absolute path (``inventory.identity``)
    ``shown``        the name by which run.json of its last version lists it
    ``hint``         size, times and inode when it was last found
    ``fingerprint``  of all settings that decide what its splits hold
    ``file_hash``    of its bytes on disk (``input_files.hash_file``); empty until all of it was read
    ``text_size``    bytes of text, which differ from the bytes on disk for a compressed file
    ``header``       its header as JSON (``header_to_json``); empty for a file without one
    ``read_at``      when it was read (epoch seconds)
    ``splits``       its splits, in the order of their bytes
    ===============  ==========================================================================================
    """

    id: int
    path: str
    shown: str
    hint: Hint
    fingerprint: str
    file_hash: str
    text_size: int
    header: str
    read_at: float
    splits: tuple[KnownSplit, ...]

    @property
    def finished(self) -> bool:
        """Whether the whole file was read and its counts balance.

        Not so where a split has no result, whatever the manifest says of the file: an earlier release could note a
        file and lose the note of its last splits to a full disk.
        """
        return bool(self.file_hash) and all(split.result for split in self.splits)

    def usable(self, fingerprint: str) -> bool:
        """Whether all of it was read with settings of this fingerprint, so that its splits can count."""
        return self.finished and self.fingerprint == fingerprint

    @property
    def handed_over(self) -> int:
        """Rows that its finished splits hand over to Phase 2."""
        return sum(json.loads(split.result)["handed_over"] for split in self.splits if split.result)

    def input_file(self, path: str) -> InputFile:
        """The file as an input of Phase 1; ``path``: its present name."""
        stamp = (self.hint.size, self.hint.mtime_ns, self.hint.inode)
        expanded = Expanded("", self.text_size, stamp, self.file_hash) if is_archive(self.path) else None
        return InputFile(path, stamp, header_from_json(self.header), expanded)

    def split(self, known: KnownSplit, path: str) -> Split:
        """One of its splits as Phase 1 reads it; ``path``: the file's present name."""
        header = header_from_json(self.header)
        assert header, "only a file with a header has splits"
        return Split(known.number, path, self.text_size, known.start, known.stop, known.exact, header)


_NO_HINT = Hint(-1, 0, 0, 0, False)
"""The hint of no file."""


def hint_to_json(hint: Hint) -> str:
    """Write a hint as JSON."""
    return json.dumps(_facts(hint))


def _facts(hint: Hint) -> tuple[int, int, int, int, bool]:
    return hint.size, hint.mtime_ns, hint.ctime_ns, hint.inode, hint.stable  # astuple takes ten times as long


def hint_from_json(text: str) -> Hint:
    """Read what ``hint_to_json`` wrote; a hint that proves nothing where it wrote something else."""
    try:
        size, mtime_ns, ctime_ns, inode, stable = json.loads(text)
    except (ValueError, TypeError):
        return _NO_HINT
    numbers = (size, mtime_ns, ctime_ns, inode)
    sound = all(type(n) is int and -(2**63) <= n < 2**63 for n in numbers[:3]) and type(stable) is bool
    return Hint(*numbers, stable) if sound and type(inode) is int and 0 <= inode < 2**64 else _NO_HINT


@lru_cache(maxsize=1024)
def header_to_json(header: Header | None) -> str:
    """Write a header as JSON; empty text for None."""
    return json.dumps(_header_values(header)) if header else ""


@lru_cache(maxsize=1024)
def header_from_json(text: str) -> Header | None:
    """Read what ``header_to_json`` wrote."""
    if not text:
        return None
    return _header_of(json.loads(text))


def _header_values(header: Header) -> dict[str, Any]:
    """The fields of a header, less those that are usual."""
    values = asdict(header) | {"columns": dict(header.columns)}
    usual = {"preamble_lines": max(0, header.first_line - 2), "early_records": 0}
    return {name: value for name, value in values.items() if name not in usual or value != usual[name]}


def _header_of(values: dict[str, Any]) -> Header:
    usual = {"preamble_lines": max(0, values["first_line"] - 2)}
    return Header(**(usual | values | {"names": tuple(values["names"])}))


def result_to_json(result: SplitResult) -> str:
    """Write the counts of a split as JSON: every field of ``SplitResult`` but the split itself. Of the split it has the
    header, if that is not the one of its file."""
    values = {field.name: getattr(result, field.name) for field in fields(result) if field.name != "split"}
    values["bucket_rows"] = list(result.bucket_rows)
    values["changes"] = [(offset, line, _header_values(header)) for offset, line, header in result.changes]
    values = {name: value for name, value in values.items() if value or name not in ("changes", "repeated")}
    if result.split.header.first_line == 0:
        values["header"] = _header_values(result.split.header)
    return json.dumps(values)


def result_from_json(split: Split, text: str) -> SplitResult:
    """Read what ``result_to_json`` wrote for ``split``."""
    values: dict[str, Any] = json.loads(text)
    if header := values.pop("header", None):
        split = replace(split, header=_header_of(header))
    changes = tuple(HeaderChange(offset, line, _header_of(found)) for offset, line, found in values.pop("changes", ()))
    return SplitResult(split, **(values | {"changes": changes}))


def is_sound(file: KnownFile) -> bool:
    """Whether what the manifest says of a file and its splits can be true; results that are missing aside."""
    if not file.file_hash and not any(split.result for split in file.splits):
        return True
    try:
        header = header_from_json(file.header)
        if not header or not _is_sound_header(header):
            return not file.splits and not file.header
        results = [
            result_from_json(file.split(split, file.path), split.result) for split in file.splits if split.result
        ]
        if not all(result.is_sound() for result in results):
            return False
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return False
    if not file.finished or not results:
        return True
    bounds = [header.begin[0], *(result.stop for result in results)]
    return bounds[:-1] == [result.start for result in results] and bounds[-1] == file.text_size


def _is_sound_header(header: Header) -> bool:
    numbers = (header.data_start, header.first_line, *header.columns.values())
    return (
        all(type(number) is int and number >= 0 for number in numbers)
        and all(index < header.fields for index in header.columns.values())
        and type(header.delimiter) is str
        and len(header.delimiter) == 1
    )


def ledger_of(file: KnownFile, path: str, at_hand: bool) -> FileLedger:
    """The ledger of a finished file that is not read again.

    ``path``: its present name. ``at_hand``: whether its bytes lie there. The ledger of a compressed file says that they
    do not, because they would have to be expanded before a record could be read.
    """
    placed = []
    found = file.input_file(path)
    line = found.header.begin[1] if found.header else 1
    for split in file.splits:
        assert split.result, "all splits of a finished file are finished"
        result = result_from_json(file.split(split, path), split.result)
        placed.append(PlacedSplit(result, line))
        line += result.lines
    at_hand = at_hand and not found.expanded
    return FileLedger(found, tuple(placed), file.file_hash, at_hand, file.shown, file.read_at)
