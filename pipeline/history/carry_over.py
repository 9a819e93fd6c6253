"""What a run carries over from earlier ones: files that it does not read again, and files that are not in its input."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from pipeline.history.inventory import Inventory
from pipeline.history.known_files import KnownFile, ledger_of
from pipeline.history.known_list import FileIds, KnownFiles
from pipeline.preprocess.ledger import FileLedger, Phase1Result


@dataclass(frozen=True)
class Intake:
    """The input compared with the history. ``still_counted``: files that count though they are not in the input."""

    inventory: Inventory
    still_counted: Sequence[KnownFile]

    @property
    def missing(self) -> KnownFiles:
        """The files that no longer exist and still count."""
        return self._missing(counted=True)

    @property
    def pruned(self) -> KnownFiles:
        """The files that no longer exist and no longer count."""
        return self._missing(counted=False)

    def _missing(self, *, counted: bool) -> KnownFiles:
        ids = FileIds(file.id for file in self.still_counted)
        return KnownFiles.of(self.inventory.missing).where(lambda file: (file.id in ids) == counted)

    @property
    def known_rows(self) -> int:
        """Rows that files which are not read again hand over to Phase 2."""
        known = chain(self.inventory.reused.values(), self.inventory.appended.values(), self.still_counted)
        return sum(file.handed_over for file in known)


@dataclass(frozen=True)
class Counted:
    """What counts in the new version.

    ================  ==========================================================================================
    ``phase1``        all files that count, and those that were refused
    ``read``          the files among them that this run read
    ``predecessors``  by the path of a refused file, what counted under that path before and therefore still does
    ``ids``           the manifest's ids of the files that count
    ================  ==========================================================================================
    """

    phase1: Phase1Result
    read: Sequence[FileLedger]
    predecessors: Mapping[str, KnownFile]
    ids: FileIds


def carry_over(intake: Intake, phase1: Phase1Result, read_ids: Iterable[int], fingerprint: str) -> Counted:
    """Add to the files that ``phase1`` read those that count without being read.

    They are the files that are used again, those that are not in the input and still count, and the predecessors of
    refused files, unless they were read with settings of another ``fingerprint``. ``read_ids``: the manifest's ids of
    the files that were read.
    """
    inventory = intake.inventory
    predecessors = {
        path: file
        for path, file in chain(inventory.replaced.items(), inventory.grown.items())
        if path in phase1.refused and file.usable(fingerprint)
    }
    ledgers = chain(
        (ledger_of(file, path, at_hand=True) for path, file in inventory.reused.items()),
        (ledger_of(file, file.shown, at_hand=False) for file in chain(intake.still_counted, predecessors.values())),
    )
    known = chain(intake.still_counted, predecessors.values())
    ids = FileIds(chain(read_ids, inventory.reused.ids, (file.id for file in known)))
    return Counted(phase1.counting(ledgers), phase1.ledgers, predecessors, ids)
