"""What became of the records that a run was asked to replay."""

from collections import Counter
from collections.abc import Iterator

from pipeline.publish.facts import RunFacts
from pipeline.reading.header_changes import DIRECTIVE, REPEATED_HEADER
from utils.units import format_count

HEADERS = REPEATED_HEADER, DIRECTIVE
"""Reasons of lines that are counted among the rejected records, and that nobody asked to replay."""

_REASONS = 5


def replay_notes(facts: RunFacts) -> Iterator[str]:
    """How many records of the files that this run added count, are duplicates, lost a conflict, or were rejected.

    Where the run read other files, too, only the rejected ones can be told from theirs. A warning where none counts.
    """
    ledgers = [ledger for ledger in facts.counted.read if ledger.file.path in facts.place.replays.added]
    if not ledgers:
        return
    rejected: Counter[str] = Counter()
    for ledger in ledgers:
        rejected.update(ledger.rejected_by_reason)
    records = sum(ledger.records for ledger in ledgers) - sum(rejected.pop(reason, 0) for reason in HEADERS)
    if len(ledgers) < len(facts.counted.read):
        other = len(facts.counted.read) - len(ledgers)
        yield (
            f"replayed: {format_count(records, 'record')}, {_rejected(rejected)}; what else became of them is in the "
            f"counts of all files, because {other:,} more were read"
        )
    else:
        yield from _alone(facts, records, rejected)


def _alone(facts: RunFacts, records: int, rejected: Counter[str]) -> Iterator[str]:
    """The notes of a run that read nothing else: all that changed came from the replayed records."""
    phase1, phase2, before = facts.counted.phase1.counts, facts.added_up.result, facts.place.history.counts
    kept = phase2.kept - before.get("kept", 0)
    duplicates = phase1.duplicates + phase2.duplicates - before.get("all_duplicates", 0)
    conflicts = phase2.conflicts - before.get("conflicts", 0)
    yield (
        f"replayed: {format_count(records, 'record')}: {kept:,} counted, {format_count(duplicates, 'duplicate')} of "
        f"what counts, {conflicts:,} in conflict with it, {_rejected(rejected)}"
    )
    if kept <= 0 and conflicts <= 0:
        yield (
            "warning: none of the replayed records counts: correct what is rejected again; a duplicate counted before"
        )


def _rejected(rejected: Counter[str]) -> str:
    listed = ", ".join(f"{reason} {count:,}" for reason, count in rejected.most_common(_REASONS))
    return f"{rejected.total():,} rejected again" + (f" ({listed})" if listed else "")
