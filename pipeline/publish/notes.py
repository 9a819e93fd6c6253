"""Lines of the summary: every fallback, default and decision that the user should know."""

from collections.abc import Sequence

from config import Config
from pipeline.aggregate.incremental.driver import MOST_CHANGED, Base, Change
from pipeline.history.inventory import Inventory
from pipeline.history.known_files import KnownFile
from pipeline.history.state import History
from pipeline.machine import display_name
from pipeline.planning.planner import Plan
from pipeline.preprocess.ledger import Phase1
from pipeline.publish.result import Share
from pipeline.reading.record_rules import BoundRule

BY_SQL = "added up by Spark's own plan: a bucket's rows are more than fit a worker's memory (SPARK_PLAN)"
"""What is said of a run where ``SPARK_PLAN = auto`` decided so."""


def decisions(config: Config, sizes: Plan, expired: Sequence[str], forgotten: int, no_kernel: str) -> list[str]:
    """What was decided for the user, in lines. ``expired``: versions that lost their quarantines; ``forgotten``: files
    whose rejected records lost their texts; ``no_kernel``: why there is no compiled parser, if there is none."""
    notes = []
    if sizes.workers < config.PREPROCESSING_WORKERS:
        notes.append(f"{sizes.workers} of {config.PREPROCESSING_WORKERS} workers: the memory limit allows no more")
    if expired:
        notes.append(
            f"quarantines older than {config.QUARANTINE_RETENTION_DAYS} days were removed, of versions "
            f"{', '.join(expired)} (QUARANTINE_RETENTION_DAYS)"
        )
    if forgotten:
        notes.append(
            f"texts of rejected records of {forgotten:,} files, read more than {config.QUARANTINE_RETENTION_DAYS} days "
            "ago, were removed (QUARANTINE_RETENTION_DAYS)"
        )
    if no_kernel:
        notes.append(f"reading took about twice as long as it could: no compiled parser, because {no_kernel}")
    return notes


_LISTED = 10


def _notes(
    history: History,
    outcome: Phase1,
    inventory: Inventory,
    departed: Sequence[KnownFile],
    retained: dict[str, KnownFile],
    share: Share,
) -> list[str]:
    notes = []
    if history.unknown_version:
        notes.append(
            f"version {history.unknown_version} was made with another intermediate folder: every file was read, and "
            "those that had left no longer count"
        )
    if share.reused_files:
        splits = share.reused_splits - outcome.resumed_splits
        notes.append(f"not read again: {share.reused_files:,} files that were read before, in {splits:,} splits")
    if outcome.resumed_splits:
        notes.append(f"an interrupted run had finished {outcome.resumed_splits:,} splits, which were not read again")
    other = [path for path in inventory.outdated if path not in outcome.refused]
    if other:
        notes.append(f"read again, because settings, geo data or the program have changed: {_listed(other)}")
    if inventory.renamed:
        notes.append("renamed: " + _listed([f"{old} is now {new}" for old, new in inventory.renamed]))
    changed = [path for path in inventory.replaced if path not in retained and path not in other]
    if changed:
        notes.append(f"changed, the new contents count instead: {_listed(changed)}")
    if retained:
        notes.append(f"refused, the contents that were read before still count: {_listed(list(retained))}")
    left = [file.path for file in inventory.missing if file in departed]
    if left:
        notes.append(f"no longer there, but still counted (--prune-missing takes them out): {_listed(left)}")
    if inventory.elsewhere:
        notes.append(f"counted, outside this input: {_listed([file.path for file in inventory.elsewhere])}")
    gone = [file.path for file in inventory.missing if file not in departed]
    if gone:
        notes.append(f"no longer there and taken out: {_listed(gone)}")
    return notes


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(display_name(name) for name in names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED:,} more"


_FILES_NAMED = 5


def missing_columns(rules: Sequence[BoundRule], outcome: Phase1) -> list[str]:
    """A line for each warning rule whose column some files lack."""
    notes = []
    for bound in rules:
        files = [
            display_name(ledger.file.path)
            for ledger in outcome.ledgers
            if ledger.file.header and bound.role not in ledger.file.header.columns
        ]
        if files:
            more = f" and {len(files) - _FILES_NAMED:,} more" if len(files) > _FILES_NAMED else ""
            notes.append(
                f"{bound.rule.reason} was not applied to files without the column {bound.names[0]!r}: "
                f"{', '.join(files[:_FILES_NAMED])}{more}"
            )
    return notes


def column_layouts(outcome: Phase1) -> list[str]:
    """A line where the files' headers differ."""
    layouts = {ledger.file.header.names for ledger in outcome.ledgers if ledger.file.header}
    if len(layouts) < 2:
        return []
    return [f"the headers differ: {len(layouts):,} layouts of columns in {len(outcome.ledgers):,} files, see run.json"]


def why_anew(base: Base | None, change: Change | None) -> list[str]:
    """A line for the summary where there was a ``base`` and all rows were added up nevertheless."""
    if not base:
        return []
    why = (
        "ids that changed occur so often in one split that its rows might not fit into memory"
        if change
        else f"more than {MOST_CHANGED:.0%} of them changed, or buckets did"
    )
    return [f"all rows were added up anew, not only what changed: {why}"]
