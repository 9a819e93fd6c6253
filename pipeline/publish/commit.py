"""The end of a run: its version is published, or the current one stays where nothing has changed."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pipeline.history.journal import Journal
from pipeline.machine import cache_folder
from pipeline.planning.pace import save_pace
from pipeline.planning.prediction import learn
from pipeline.publish.facts import RunFacts, unchanged_result
from pipeline.publish.notes import notes_if_unchanged
from pipeline.publish.nothing_kept import ALL_REJECTED
from pipeline.publish.nothing_new import write_note
from pipeline.publish.result import RunResult
from pipeline.publish.run_record import counts_for_the_next
from pipeline.timing import PhaseSeconds, Watch, stage
from pipeline.versions.catalog import repeats


def commit(folder: Path, facts: RunFacts, journal: Journal, result: RunResult, watch: Watch) -> RunResult:
    """Publish the finished version in ``folder``, or keep the current version where the new one would repeat it.

    Returns ``result`` with the whole profile of the run; where the current version stays, its name and places.
    """
    if _repeats_current(folder, facts):
        return _keep_current(facts, journal, result, watch)
    return _publish(folder, facts, journal, result, watch)


def _repeats_current(folder: Path, facts: RunFacts) -> bool:
    """Whether the version in ``folder`` would only push an older, different version out of the kept ones.

    A run that has removed or cleared old quarantines publishes: its record says so.
    """
    place, current = facts.place, facts.place.history.current
    if not current or place.expired or place.forgotten:
        return False
    if current.files != facts.counted.ids or current.sources != place.sources:
        return False
    return repeats(folder, place.output.versions / current.name)


def _keep_current(facts: RunFacts, journal: Journal, result: RunResult, watch: Watch) -> RunResult:
    place, current = facts.place, facts.place.history.current
    assert current, "only a version that is there can be repeated"
    journal.wait()
    place.remove_runs(but=place.history.totals_folder)
    place.replays.keep()
    result = unchanged_result(replace(result, profile=watch.profile()), current.name)
    _leave_note(facts, journal.fingerprint, result, place.history.totals_folder)
    return result


def _publish(folder: Path, facts: RunFacts, journal: Journal, result: RunResult, watch: Watch) -> RunResult:
    """Make the version in ``folder`` the current one.

    The order holds against a crash between any two steps: the manifest knows every file that counts before a version
    names it, and what earlier runs left is removed only after the new version is there.
    """
    place, keep = facts.place, facts.settings.config.KEEP_VERSIONS
    counts = counts_for_the_next(result, facts.added_up.buckets)
    with stage("publish"):
        journal.wait()
        place.history.publish(folder, watch.run_id, place.sources, facts.counted.ids, counts, keep)
    place.remove_runs(but=Path(place.workspace.root))
    place.replays.keep()
    _leave_note(facts, journal.fingerprint, result, Path(place.workspace.root))
    _learn_pace(facts, result.seconds)
    return replace(result, profile=watch.profile())


def _leave_note(facts: RunFacts, fingerprint: str, result: RunResult, folder: Path) -> None:
    """Let the next run know at once if it finds nothing new; only a run without peculiarities can tell that."""
    intake, inventory = facts.intake, facts.intake.inventory
    peculiar = facts.found.outside, facts.counted.predecessors, intake.missing, intake.pruned, inventory.elsewhere
    warned = any(found.name == ALL_REJECTED for found in result.quality)  # of files that are new in this run
    if result.status != "ok" or any(peculiar) or warned:
        return
    splits, notes = facts.counted.phase1.counts.splits, notes_if_unchanged(facts)
    with suppress(OSError):  # without a note, the next run does all its steps
        write_note(folder, facts.settings.config, result, fingerprint, facts.place.oldest_kept, splits, notes)


def _learn_pace(facts: RunFacts, seconds: PhaseSeconds) -> None:
    """Learn how fast this machine is from a run that read and added up all that was predicted, and from no other."""
    if facts.added_up.way == "changes" or facts.counted.phase1.resumed_splits or facts.engine.cluster:
        return
    # Without what a first run makes for all later ones.
    took = replace(seconds, phase1=seconds.phase1 - facts.begin_seconds)
    save_pace(learn(facts.forecast.pace, facts.sizes, facts.forecast.work, took), cache_folder())
