"""What a run takes over from earlier ones, and how the summary tells it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.history.inventory import Inventory
from pipeline.history.journal import Journal, ledger_of
from pipeline.history.known_files import KnownFile
from pipeline.history.state import History
from pipeline.preprocess.ledger import Phase1
from pipeline.publish.notes import _notes
from pipeline.publish.result import RunResult, Share


@dataclass(frozen=True)
class TakeOver:
    """``ids``: of all files that count in the new version; ``share``: what is known of this run's before Phase 2;
    ``before``: counts of the version before; ``notes``: lines for the summary."""

    ids: tuple[int, ...]
    share: Share
    before: dict[str, int]
    notes: tuple[str, ...]

    def finish(self, result: RunResult) -> RunResult:
        """The result with this run's share."""
        share = replace(
            self.share,
            kept=result.kept - self.before.get("kept", 0),
            duplicates=result.duplicates - self.before.get("all_duplicates", 0),
            conflicts=result.conflicts - self.before.get("conflicts", 0),
        )
        speed = share.bytes_read / result.seconds.total
        return replace(result, new=share, throughput_bytes_per_second=speed)


def take_over(
    history: History, outcome: Phase1, inventory: Inventory, departed: Sequence[KnownFile], journal: Journal
) -> TakeOver:
    """Add to ``outcome`` the files that are not read again: those used again, those that have left, and those whose
    successor was refused."""
    read = list(outcome.ledgers)
    fingerprint = journal.fingerprint
    retained = {
        path: file
        for path, file in inventory.replaced.items()
        if path in outcome.refused and file.fingerprint == fingerprint
    }
    outcome.ledgers += [ledger_of(file, path, at_hand=True) for path, file in inventory.reused.items()]
    outcome.ledgers += [ledger_of(file, file.shown, at_hand=False) for file in (*departed, *retained.values())]
    outcome.ledgers.sort(key=lambda ledger: ledger.file.path)
    history.meet_again(inventory)
    share = Share(
        files=len(read),
        bytes_read=sum(ledger.file.size for ledger in read),
        records_read=sum(ledger.records for ledger in read),
        rejected=sum(ledger.rejected_by_reason.total() for ledger in read),
        reused_files=len(inventory.reused),
        reused_splits=outcome.resumed_splits + sum(len(file.splits) for file in inventory.reused.values()),
        renamed_files=len(inventory.renamed),
        replaced_files=len(inventory.replaced) - len(retained),
        missing_files=sum(file in departed for file in inventory.missing),
        pruned_files=sum(file not in departed for file in inventory.missing),
    )
    kept = [*inventory.reused.values(), *departed, *retained.values()]
    ids = (*journal.ids.values(), *(file.id for file in kept))
    return TakeOver(ids, share, history.counts, tuple(_notes(history, outcome, inventory, departed, retained, share)))


def finest_buckets(inventory: Inventory) -> int:
    """In how many buckets new splits are written at least: as finely as those that are used again, or Phase 2 would
    have to read all in the coarsest."""
    results = [part.result for file in inventory.reused.values() for part in file.splits if part.result]
    return max((len(json.loads(result)["bucket_rows"]) for result in results), default=0)
