"""What a run carries over from earlier ones: files that it need not read again, and those that it no longer finds."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.history.inventory import Inventory
from pipeline.history.journal import Journal, ledger_of
from pipeline.history.known_files import KnownFile
from pipeline.history.state import History
from pipeline.preprocess.ledger import FileLedger, Phase1Result


@dataclass(frozen=True)
class Intake:
    """The input compared with the history: ``still_counted`` are files that count though they are not in the input."""

    inventory: Inventory
    still_counted: tuple[KnownFile, ...]

    @property
    def known_rows(self) -> int:
        """Rows for Phase 2 of the files that need not be read."""
        return sum(file.handed_over for file in (*self.inventory.reused.values(), *self.still_counted))


@dataclass(frozen=True)
class Counted:
    """What counts in the new version.

    ==============  ================================================================================
    ``phase1``      all files that count, and those refused
    ``read``        the files among them that this run read
    ``retained``    by path, files that count because their successor was refused
    ``ids``         the files that count, as the manifest numbers them
    ==============  ================================================================================
    """

    phase1: Phase1Result
    read: tuple[FileLedger, ...]
    retained: Mapping[str, KnownFile]
    ids: tuple[int, ...]


def carry_over(history: History, intake: Intake, phase1: Phase1Result, journal: Journal) -> Counted:
    """Count the files of ``phase1`` and those that are not read again: the ones used again, the ones that are missing
    and still counted, and the ones whose successor was refused. Notes new names of files in the manifest."""
    inventory = intake.inventory
    retained = {
        path: file
        for path, file in inventory.replaced.items()
        if path in phase1.refused and file.fingerprint == journal.fingerprint
    }
    reused = [ledger_of(file, path, at_hand=True) for path, file in inventory.reused.items()]
    not_found = (*intake.still_counted, *retained.values())
    carried_over = [*reused, *(ledger_of(file, file.shown, at_hand=False) for file in not_found)]
    history.meet_again(inventory)
    kept = (*inventory.reused.values(), *not_found)
    ids = (*journal.ids.values(), *(file.id for file in kept))
    return Counted(phase1.counting(carried_over), phase1.ledgers, retained, ids)
