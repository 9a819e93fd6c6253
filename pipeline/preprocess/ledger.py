"""What Phase 1 begins with, and what it leaves of every file: its splits in order, and counts that balance."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.input_files import InputFile
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


@dataclass(frozen=True)
class PlacedSplit:
    """A split's result with the physical line (from 1) on which its records begin."""

    result: SplitResult
    first_line: int


@dataclass(frozen=True)
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
        """Lines before the header."""
        return self.file.header.first_line - 2 if self.file.header else 0

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


@dataclass(frozen=True)
class Phase1Result:
    """The result of Phase 1.

    ==================  =====================================================================
    ``ledgers``         the files that count
    ``refused``         path of a refused file → the reason
    ``resumed_splits``  how many splits of these files an interrupted run had finished
    ==================  =====================================================================
    """

    ledgers: tuple[FileLedger, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    resumed_splits: int = 0

    @property
    def splits(self) -> list[PlacedSplit]:
        """All splits that count."""
        return [split for ledger in self.ledgers for split in ledger.splits]

    @property
    def handed_over(self) -> int:
        """Rows that went to Phase 2."""
        return sum(ledger.handed_over for ledger in self.ledgers)

    def refusing(self, more: Mapping[str, str]) -> "Phase1Result":
        """This result with the refused files in ``more``, too."""
        return replace(self, refused={**self.refused, **more})

    def counting(self, more: Iterable[FileLedger]) -> "Phase1Result":
        """This result with the files in ``more``, too; all files in order of their paths."""
        ledgers = sorted((*self.ledgers, *more), key=lambda ledger: ledger.file.path)
        return replace(self, ledgers=tuple(ledgers))
