"""The notes of the summary: a line for every fallback, default and decision that the user should know of."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from pipeline.history.known_files import KnownFile
from pipeline.history.left_records import count_left
from pipeline.machine import display_name
from pipeline.preprocess.ledger import FileLedger, Phase1Result
from pipeline.publish.facts import RunFacts, repaired
from pipeline.publish.header_notes import header_notes
from pipeline.publish.hints import find_hints
from pipeline.publish.replay_notes import replay_notes
from pipeline.reading.header import Header
from pipeline.reading.record_rules import BoundRule
from pipeline.timing import Span
from pipeline.versions.container import volume_note
from pipeline.versions.delta_table import table_folder
from utils.units import format_count, format_list

_FILES_OF_RULE = 5
_NAMES = 10


def make_notes(facts: RunFacts, spans: Sequence[Span] = ()) -> list[str]:
    """All notes, in the order in which the summary shows them. ``spans``: the tasks that have ended."""
    phase1 = facts.counted.phase1
    return [
        *_decisions(facts),
        *without_library(spans),
        *replay_notes(facts),
        *facts.place.replays.describe({display_name(file.path) for file in phase1.files}),
        *_carried_over(facts),
        *_added_up_anew(facts),
        *header_notes(phase1),
        *column_layouts(phase1),
        *missing_columns(facts.settings.rules, phase1),
        *find_hints(facts.settings.config, phase1),
    ]


def notes_if_unchanged(facts: RunFacts) -> list[str]:
    """The notes of a run after this one that finds nothing new."""
    phase1 = facts.counted.phase1
    return [
        *_decisions(facts, lasting=True),
        *facts.place.replays.describe_kept({display_name(file.path) for file in phase1.files}),
        _not_read_again(len(phase1.ledgers), phase1.counts.splits),
        *header_notes(phase1),
        *column_layouts(phase1),
        *missing_columns(facts.settings.rules, phase1),
    ]


def _not_read_again(files: int, splits: int) -> str:
    return f"not read again: {format_count(files, 'file')} of earlier runs, in {format_count(splits, 'split')}"


def _decisions(facts: RunFacts, *, lasting: bool = False) -> Iterator[str]:
    """What the run decided, where the settings left it open or could not be followed.

    ``lasting``: only what a run after this one decides again.
    """
    config, sizes, place = facts.settings.config, facts.sizes, facts.place
    days = config.QUARANTINE_RETENTION_DAYS
    if facts.engine.cluster and not lasting:
        yield f"both phases ran on {sizes.workers} cores of {config.SPARK_MASTER}"
    if place.exchange:
        yield f"executors exchanged their files over {config.INTERMEDIATE_DIR}, and added up all rows"
    if sizes.workers < config.PREPROCESSING_WORKERS and not facts.engine.cluster:
        yield f"{sizes.workers} of {config.PREPROCESSING_WORKERS} workers: the memory limit allows no more"
    lost = None if lasting else volume_note([config.INTERMEDIATE_DIR, config.OUTPUT_DIR])
    if lost:
        yield lost
    if place.expired and not lasting:
        versions = ", ".join(place.expired)
        yield f"quarantines older than {days} days were removed, of versions {versions} (QUARANTINE_RETENTION_DAYS)"
    if place.forgotten and not lasting:
        yield (
            f"texts of rejected records of {format_count(place.forgotten, 'file')}, read more than {days} days ago, "
            "were removed (QUARANTINE_RETENTION_DAYS)"
        )
    stale = table_folder(place.output.link)
    if config.TABLE_FORMAT == "parquet" and stale.exists():
        yield (
            f"the Delta table {display_name(str(stale))} does not follow any more and keeps files of old versions: set "
            "TABLE_FORMAT = delta, or remove it"
        )
    if facts.library.why_not:
        yield f"reading took about twice as long as it could: no compiled parser, because {facts.library.why_not}"
    if facts.added_up.way == "sql" and not lasting and config.SPARK_PLAN == "auto":
        yield "added up by Spark's own plan: a bucket's rows are more than fit a worker's memory (SPARK_PLAN)"


def without_library(spans: Sequence[Span]) -> Iterator[str]:
    """How many tasks ran where there was no compiled library although the run has one."""
    slow = [span for span in spans if span.slow]
    if slow:
        machines = sorted({span.worker.partition(":")[0] for span in slow})
        yield (
            f"{len(slow):,} of {len(spans):,} tasks took about twice as long as they could: no compiled library fits "
            f"the processor of {format_list(machines, 5)}, and ziglang is not installed there"
        )


def _carried_over(facts: RunFacts) -> Iterator[str]:
    """What became of the files that earlier runs read."""
    inventory, counted, history = facts.intake.inventory, facts.counted, facts.place.history
    phase1 = counted.phase1
    if history.unknown_version and not history.set_aside:
        yield (
            f"version {history.unknown_version} was made with another intermediate folder: every file was read, and "
            "those that had left no longer count"
        )
    if history.set_aside:
        yield f"the manifest of earlier runs could not be used, and every file was read: {history.set_aside}"
    if contradicted := repaired(facts):
        yield f"read again, because the manifest contradicted itself about them: {_listed(contradicted)}"
    if history.lost:
        yield f"lost from the manifest: {format_count(history.lost, 'file')}; what of them is in the input counts again"
    if inventory.reused:
        splits = sum(len(file.splits) for file in inventory.reused.values())
        yield _not_read_again(len(inventory.reused), splits)
    if phase1.resumed_splits:
        yield f"an interrupted run had finished {format_count(phase1.resumed_splits, 'split')}, not read again"
    if appended := sorted(ledger.file.path for ledger in counted.read if ledger.carried):
        yield f"appended, only what is new was read: {_listed(appended)}"
    if unsettled := sorted(ledger.file.path for ledger in counted.read if ledger.unsettled):
        yield (
            "being appended while they were read, what follows their last whole record counts with the next run: "
            f"{_listed(unsettled)}"
        )
    outdated = [path for path in inventory.outdated if path not in phase1.refused]
    if outdated:
        yield f"read again, because settings, geo data or the program have changed: {_listed(outdated)}"
    if inventory.renamed:
        yield "renamed: " + _listed([f"{old} is now {new}" for old, new in inventory.renamed])
    changed = [path for path in inventory.replaced if path not in counted.predecessors and path not in outdated]
    yield from _changed({path: inventory.replaced[path] for path in changed}, facts)
    if counted.predecessors:
        yield f"refused, the contents that were read before still count: {_listed(list(counted.predecessors))}"
    if missing := facts.intake.missing:
        listed = _listed([file.path for file in missing])
        yield f"no longer there, but still counted (--prune-missing removes them): {listed}"
    if inventory.elsewhere:
        yield f"counted, outside this input: {_listed([file.path for file in inventory.elsewhere])}"
    if pruned := facts.intake.pruned:
        yield f"no longer there and removed: {_listed([file.path for file in pruned])}"


def _changed(replaced: Mapping[str, KnownFile], facts: RunFacts) -> Iterator[str]:
    """Which files have other contents now, and how many of their records left."""
    left = count_left(replaced, facts.counted.read, partial(facts.place.history.split_file, "index"))
    leave = "would leave" if facts.verdict.stopped else "left"
    other = [path for path, (before, gone) in left.items() if before and gone == before]
    if other:
        count = sum(left[path][1] for path in other)
        yield (
            "warning: replaced by other content, and what was there before was found nowhere else: "
            f"{format_count(count, 'record')} {leave} the result: {_listed(other)}"
        )
    partly = [path for path in replaced if path not in other]
    if partly:
        count = sum(left[path][1] for path in partly if path in left)
        gone = f" ({format_count(count, 'record')} {leave} the result)" if count else ""
        yield f"changed, the new contents count instead{gone}: {_listed(partly)}"


def _added_up_anew(facts: RunFacts) -> Iterator[str]:
    if facts.added_up.why_anew:
        yield f"all rows were added up anew, not only what changed: {facts.added_up.why_anew}"


def missing_columns(rules: Sequence[BoundRule], phase1: Phase1Result) -> list[str]:
    """A note for each warning rule whose column some files lack."""
    notes = []
    for bound in rules:
        files = [
            display_name(ledger.file.path)
            for ledger in phase1.ledgers
            if any(bound.role not in header.columns for header in _headers(ledger))
        ]
        if files:
            notes.append(
                f"{bound.rule.reason} was not applied to files without the column {bound.names[0]!r}: "
                f"{format_list(files, _FILES_OF_RULE)}"
            )
    return notes


def _headers(ledger: FileLedger) -> Iterator[Header]:
    """All headers that a file was read by."""
    if ledger.file.header:
        yield ledger.file.header
    for split in ledger.splits:
        yield from (change.header for change in split.result.changes if change.header.usable)


def column_layouts(phase1: Phase1Result) -> list[str]:
    """A note where the files' headers differ."""
    layouts = {file.header.names for file in phase1.files if file.header}
    if len(layouts) < 2:
        return []
    files = format_count(len(phase1.ledgers), "file")
    return [f"the headers differ: {len(layouts):,} layouts of columns in {files}, see run.json"]


def _listed(names: Sequence[str]) -> str:
    return format_list(names, _NAMES, display_name)
