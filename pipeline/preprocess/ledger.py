"""What Phase 1 begins with, and what it leaves of every file: its splits in order, and counts that balance."""

import marshal
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import chain, islice
from operator import attrgetter
from typing import cast, overload

from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile
from pipeline.reading.packed_files import PackedFiles
from pipeline.reading.splits import Split


@dataclass(frozen=True)
class StartingPoint:
    """What Phase 1 begins with.

    ===========  ======================================================================
    ``splits``   the numbered splits of every file, in order, by the file's path
    ``results``  results of splits that an interrupted run finished, by split number
    ``carried``  results of splits that count already: the file goes on behind them
    ===========  ======================================================================
    """

    splits: Mapping[str, Sequence[Split]]
    results: Mapping[int, SplitResult] = field(default_factory=dict)
    carried: Mapping[int, SplitResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlacedSplit:
    """A split's result with the physical line (from 1) on which its records begin."""

    result: SplitResult
    first_line: int


@dataclass(frozen=True, slots=True)
class FileLedger:
    """One file that counts, and the sums over its splits.

    =============  ========================================================================================
    ``splits``     in order
    ``file_hash``  of its bytes as they lie on disk
    ``at_hand``    whether its bytes can be read again at its path
    ``listed_as``  its name in the record of the version before; empty for a new file
    ``read_at``    when an earlier run read it (seconds since 1970 UTC); infinite if this run read it
    ``carried``    how many of its first splits an earlier run read
    ``unsettled``  bytes behind its last whole record, where it was being appended while it was read
    =============  ========================================================================================
    """

    file: InputFile
    splits: tuple[PlacedSplit, ...] = ()
    file_hash: str = ""
    at_hand: bool = True
    listed_as: str = ""
    read_at: float = math.inf
    carried: int = 0
    unsettled: int = 0

    @property
    def new_part(self) -> "FileLedger":
        """The part that this run read. ``file`` stays the whole file."""
        if not self.carried:
            return self
        return replace(self, splits=self.splits[self.carried :], carried=0)

    @property
    def new_bytes(self) -> int:
        """Bytes of text that this run read."""
        return self.file.size - (self.splits[self.carried - 1].result.stop if self.carried else 0)

    @property
    def records(self) -> int:
        """Records, as the scanner counts them."""
        return sum(split.result.records for split in self.splits)

    @property
    def duplicates(self) -> int:
        """Copies that Phase 1 dropped."""
        return sum(split.result.duplicates for split in self.splits)

    @property
    def handed_over(self) -> int:
        """Rows that went to Phase 2."""
        return sum(split.result.handed_over for split in self.splits)

    @property
    def blank_lines(self) -> int:
        """Blank lines, which are no records."""
        return sum(split.result.blank_lines for split in self.splits)

    @property
    def preamble_lines(self) -> int:
        """Lines before the header that are no records."""
        return self.file.header.preamble_lines if self.file.header else 0

    @property
    def rejected_by_reason(self) -> Counter[str]:
        """Rejected records by reason."""
        return sum((Counter(split.result.rejected_by_reason) for split in self.splits), Counter())

    @property
    def warned(self) -> Counter[str]:
        """Records that break a warning rule, by the reason of the rule."""
        return sum((Counter(split.result.warned) for split in self.splits), Counter())

    @property
    def undated(self) -> int:
        """Good records without a timestamp that can be read, where timestamps decide."""
        return sum(split.result.undated for split in self.splits)

    @property
    def over_a_day(self) -> int:
        """Good records with a watch time of more than a day."""
        return sum(split.result.over_a_day for split in self.splits)

    @property
    def likely(self) -> Counter[str]:
        """Setting and value → number of records that look as if the setting should have the value."""
        return sum((Counter(split.result.likely) for split in self.splits), Counter())

    def balances(self) -> bool:
        """Whether every record is rejected, dropped or handed over."""
        rejected = self.rejected_by_reason.total()
        return self.records == rejected + self.duplicates + self.handed_over


_MANY = 1_000
"""More ledgers than these are packed."""
_OF_LEDGER = attrgetter(*(field.name for field in fields(FileLedger)[2:]))
"""What follows ``file`` and ``splits``, in order."""
_OF_RESULT = attrgetter(*(field.name for field in fields(SplitResult)[1:]))
"""What follows ``split``, in order."""
_OF_SPLIT = attrgetter("number", "size", "start", "stop", "exact", "spool")


class PackedLedgers(Sequence[FileLedger]):
    """The ledgers of very many files in little memory: each is made when it is asked for.

    All splits of a packed ledger have the path and the header of its file. Ledgers of files with several headers, which
    are few, stay as they are.
    """

    def __init__(self, ledgers: Iterable[FileLedger] = ()) -> None:
        self._files = PackedFiles()
        self._rest: list[bytes | FileLedger] = []
        for ledger in ledgers:
            self.append(ledger)

    def append(self, ledger: FileLedger) -> None:
        """Add a ledger."""
        if any(placed.result.changes for placed in ledger.splits):
            self._files.append(ledger.file)
            self._rest.append(ledger)
            return
        splits = [
            (placed.first_line, tuple(map(_plain, _OF_RESULT(placed.result))), _OF_SPLIT(placed.result.split))
            for placed in ledger.splits
        ]
        self._files.append(ledger.file)
        self._rest.append(marshal.dumps((_OF_LEDGER(ledger), splits)))

    def with_more(self, more: Iterable[FileLedger]) -> "PackedLedgers":
        """These ledgers and ``more``; what is packed is in memory once."""
        together = PackedLedgers()
        together._files, together._rest = PackedFiles(self._files), list(self._rest)
        for ledger in more:
            together.append(ledger)
        return together

    @property
    def files(self) -> Sequence[InputFile]:
        """The files of the ledgers."""
        return self._files

    def sorted_by_path(self) -> "PackedLedgers":
        """The ledgers in order of their paths."""
        order = sorted(range(len(self._files)), key=self._files.path)
        ordered = PackedLedgers()
        ordered._files = PackedFiles(self._files[index] for index in order)
        ordered._rest = [self._rest[index] for index in order]
        return ordered

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[FileLedger]:
        return map(_unpack, self._files, self._rest)

    @overload
    def __getitem__(self, index: int) -> FileLedger: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FileLedger]: ...

    def __getitem__(self, index: int | slice) -> FileLedger | Sequence[FileLedger]:
        if isinstance(index, slice):
            return tuple(map(_unpack, self._files[index], self._rest[index]))
        return _unpack(self._files[index], self._rest[index])


def _plain(value: object) -> object:
    """A Counter as the dict that it is, because ``marshal`` takes no other kind."""
    return dict(value) if isinstance(value, dict) else value


def _unpack(file: InputFile, rest: bytes | FileLedger) -> FileLedger:
    if isinstance(rest, FileLedger):
        return rest
    of_ledger, splits = marshal.loads(rest)
    path, header = file.path, cast(Header, file.header)
    placed = tuple(
        PlacedSplit(SplitResult(Split(number, path, size, start, stop, exact, header, spool), *of_result), first_line)
        for first_line, of_result, (number, size, start, stop, exact, spool) in splits
    )
    return FileLedger(file, placed, *of_ledger)


def pack_many(ledgers: Iterable[FileLedger], more: Iterable[FileLedger] = ()) -> Sequence[FileLedger]:
    """The ledgers and ``more`` as they come; where they are many, packed and in order of their paths."""
    if isinstance(ledgers, PackedLedgers):
        return ledgers.with_more(more).sorted_by_path()
    all_ledgers = chain(ledgers, more)
    first = tuple(islice(all_ledgers, _MANY))
    another = next(all_ledgers, None)
    return PackedLedgers(chain(first, (another,), all_ledgers)).sorted_by_path() if another else first


class Splits:
    """The splits of ledgers, one after the other."""

    def __init__(self, ledgers: Sequence[FileLedger]) -> None:
        self._ledgers = ledgers

    def __iter__(self) -> Iterator[PlacedSplit]:
        return (split for ledger in self._ledgers for split in ledger.splits)

    def __len__(self) -> int:
        return sum(len(ledger.splits) for ledger in self._ledgers)


@dataclass
class Phase1Counts:
    """The sums over all files that count, of what the properties of ``FileLedger`` have the same names for.

    ============  ================================================================
    ``splits``    number of splits
    ``bytes``     bytes of text
    ``rejected``  rejected records by reason
    ``changes``   headers among the records that change how the records behind them are read
    ============  ================================================================
    """

    splits: int = 0
    bytes: int = 0
    records: int = 0
    duplicates: int = 0
    handed_over: int = 0
    blank_lines: int = 0
    preamble_lines: int = 0
    undated: int = 0
    over_a_day: int = 0
    changes: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    warned: Counter[str] = field(default_factory=Counter)
    likely: Counter[str] = field(default_factory=Counter)

    def add(self, ledger: FileLedger) -> None:
        """Add what a file has."""
        self.bytes += ledger.file.size
        self.preamble_lines += ledger.preamble_lines
        self.splits += len(ledger.splits)
        for placed in ledger.splits:
            result = placed.result
            self.records += result.records
            self.duplicates += result.duplicates
            self.handed_over += result.handed_over
            self.blank_lines += result.blank_lines
            self.undated += result.undated
            self.over_a_day += result.over_a_day
            self.changes += len(result.changes)
            self.rejected.update(result.rejected_by_reason)
            self.warned.update(result.warned)
            self.likely.update(result.likely)


@dataclass(frozen=True)
class Phase1Result:
    """The result of Phase 1.

    ==================  =====================================================================
    ``ledgers``         the files that count
    ``refused``         path of a refused file → the reason
    ``resumed_splits``  how many splits of these files an interrupted run had finished
    ==================  =====================================================================
    """

    ledgers: Sequence[FileLedger] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    resumed_splits: int = 0

    @property
    def files(self) -> Iterable[InputFile]:
        """The files that count."""
        ledgers = self.ledgers
        return ledgers.files if isinstance(ledgers, PackedLedgers) else [ledger.file for ledger in ledgers]

    @property
    def splits(self) -> Splits:
        """All splits that count; they can be gone over again and again."""
        return Splits(self.ledgers)

    @cached_property
    def counts(self) -> Phase1Counts:
        """The sums over all files that count; they are added up once, because there may be very many files."""
        counts = Phase1Counts()
        for ledger in self.ledgers:
            counts.add(ledger)
        return counts

    def refusing(self, more: Mapping[str, str]) -> "Phase1Result":
        """This result with the refused files in ``more``, too."""
        return replace(self, refused={**self.refused, **more})

    def counting(self, more: Iterable[FileLedger]) -> "Phase1Result":
        """This result with the files in ``more``, too; all files in order of their paths."""
        ledgers = pack_many(self.ledgers, more)
        if isinstance(ledgers, tuple):
            ledgers = tuple(sorted(ledgers, key=lambda ledger: ledger.file.path))
        return replace(self, ledgers=ledgers)
