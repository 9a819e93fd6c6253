"""What the manifest remembers of an input file and its splits, and how that is written as JSON."""

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.archives import Expanded, is_archive
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split

_SETTLED_NS = 2 * 10**9
"""A file that was written this shortly before may be written again without a new time: file systems count coarsely."""


@dataclass(frozen=True)
class Hint:
    """What tells without reading that a file is still the same: size, times and inode, if it had settled by then."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    settled: bool

    def proves_same(self, later: "Hint") -> bool:
        """Whether a file with this hint is surely the same as when ``self`` was taken."""
        return self.settled and replace(later, settled=True) == self


def take_hint(path: str, now_ns: int) -> Hint:
    """The hint of a file at the time ``now_ns``. Raises OSError where it is gone."""
    status = os.stat(path)
    settled = now_ns - status.st_mtime_ns > _SETTLED_NS
    return Hint(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, settled)


def files_of(has_rows: bool, has_rejects: bool) -> frozenset[str]:
    """The kinds of files that Phase 1 makes of a split."""
    return frozenset({"lines"} | ({"rows", "index"} if has_rows else set()) | ({"rejects"} if has_rejects else set()))


@dataclass(frozen=True)
class KnownSplit:
    """A split as it was planned; ``result`` (JSON of its counts) once it is finished."""

    number: int
    start: int
    stop: int
    exact: bool
    result: str | None

    def needs(self) -> frozenset[str]:
        """The kinds of files that a finished split must have in the store."""
        counts = json.loads(self.result or "{}")
        return files_of(bool(counts.get("handed_over")), bool(counts.get("rejected_by_reason")))


@dataclass(frozen=True)
class KnownFile:
    """A file that was read, or whose reading began (then ``file_hash`` is empty).

    ``path``: see ``inventory.identity``; ``shown``: the name by which the records of its last version list it.

    ``fingerprint``: of all settings that shaped its splits; ``text_size``: bytes of text, which differ from those on
    disk where it is compressed; ``header``: JSON, empty for a file without one.
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
        """Whether all of it was read and it balances."""
        return bool(self.file_hash)

    @property
    def handed_over(self) -> int:
        """Rows for Phase 2 of the splits that are finished."""
        return sum(json.loads(part.result)["handed_over"] for part in self.splits if part.result)

    def input_file(self, path: str) -> InputFile:
        """The file as Phase 1 describes it, under the name that it has now."""
        stamp = (self.hint.size, self.hint.mtime_ns, self.hint.inode)
        expanded = Expanded("", self.text_size, stamp, self.file_hash) if is_archive(self.path) else None
        return InputFile(path, stamp, header_from_json(self.header), expanded)

    def split(self, part: KnownSplit, path: str) -> Split:
        """A split as Phase 1 describes it."""
        header = header_from_json(self.header)
        assert header, "only a file with a header has splits"
        return Split(part.number, path, self.text_size, part.start, part.stop, part.exact, header)


def header_to_json(header: Header | None) -> str:
    """A header as text; empty for none."""
    return json.dumps(asdict(header) | {"columns": dict(header.columns)}) if header else ""


def header_from_json(text: str) -> Header | None:
    """What ``header_to_json`` wrote."""
    if not text:
        return None
    values: dict[str, Any] = json.loads(text)
    return Header(**(values | {"names": tuple(values["names"])}))


def result_to_json(result: SplitResult) -> str:
    """The counts of a split as text."""
    values = {name: value for name, value in vars(result).items() if name != "split"}
    return json.dumps(values)


def result_from_json(split: Split, text: str) -> SplitResult:
    """What ``result_to_json`` wrote."""
    values: dict[str, Any] = json.loads(text)
    return SplitResult(split, **(values | {"bucket_rows": tuple(values["bucket_rows"])}))
