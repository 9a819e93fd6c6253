"""Runs a job: extracts its sources, makes and judges its tables in order, and publishes them at once."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import ALERT_KEY_VARIABLE, Config
from pipeline.datasets.alerts import find_alerts, payload, send, write_quality
from pipeline.datasets.bronze import check_all_forgotten, extract_sources, list_sources, mark_published, remove_orphans
from pipeline.datasets.changes import UNCHANGED, Change, source_change
from pipeline.datasets.days import days_of, keep_other_days
from pipeline.datasets.divide import memory_of
from pipeline.datasets.gates import failure, judge_table
from pipeline.datasets.job import Job
from pipeline.datasets.judge_sources import judge_sources
from pipeline.datasets.kernels import input_schema
from pipeline.datasets.lineage_events import tell_lineage
from pipeline.datasets.make_table import make_table, take_over
from pipeline.datasets.positions import save_positions, with_positions
from pipeline.datasets.publication import publish
from pipeline.datasets.report import describe_columns, write_report
from pipeline.datasets.result import CheckResult, JobResult, TableResult
from pipeline.datasets.retention import expire
from pipeline.datasets.rewrite import hide_again
from pipeline.datasets.run import JobOptions, Run
from pipeline.datasets.scores import extend_history, score_checks, unusual
from pipeline.datasets.side_by_side import side_by_side
from pipeline.datasets.state import JobState, SourceState, kept_states
from pipeline.errors import ConfigError
from pipeline.machine import os_errors_explained
from pipeline.sources.contract import SOURCE_FACTS
from pipeline.sources.databases.address import is_database
from pipeline.sources.forgotten import Forgotten
from pipeline.timing import Progress, Watch
from pipeline.versions.folders import new_run_id
from pipeline.versions.outputs import locked, open_output

_POOL_PAYS_BYTES = 2 * 10**9
"""Bytes of files from which workers that each extract one are faster than one process with all threads."""


def run_job(job: Job, config: Config, options: JobOptions, progress: Progress) -> JobResult:
    """Make the tables of a job and publish them as a new version. Returns what was made, also where a check stopped it.

    Raises LogmillError where the run cannot go on; nothing is published then.
    """
    with open_run(job, config, options, progress) as run:
        check_all_forgotten(run.bronze)
        extract(run)
        result = _with_alerts(run, complete(run, config.KEEP_VERSIONS))
        return _with_lineage(run, result)


@contextmanager
def open_run(job: Job, config: Config, options: JobOptions, progress: Progress) -> Iterator[Run]:
    """A run that holds the lock of its output. Raises LogmillError where the output is none, or is held."""
    output = open_output(options.output)
    with (
        Watch(new_run_id(), progress) as watch,
        os_errors_explained((options.output,), lambda: output.current() == watch.run_id),
        ExitStack() as resources,
    ):
        output.check()
        locks = resources.enter_context(locked(output, watch.run_id))
        output.discard()
        yield Run(job, config, options, watch, output, locks, resources)


def complete(run: Run, keep: int, forgotten: Forgotten | None = None) -> JobResult:
    """Make the tables of a run whose sources are extracted, and publish them; ``keep``: versions that stay.

    ``forgotten``: who has to leave the days before, of a job that publishes by day.
    """
    with ThreadPoolExecutor(1) as beside:
        columns = beside.submit(describe_columns, run.job)  # which takes long, and needs nothing that is made
        reasons, checks = make_tables(run)
    checks = [*judge_sources(run), *checks]
    if error := failure(checks):
        return _result(run, reasons, checks, "failed", error)
    status = "ok" if _is_new(run, reasons) or (forgotten and run.day) else "nothing new"
    if status == "ok":
        run.confirm_locks()
        keep_other_days(run, forgotten)
        record = _record(run, _result(run, reasons, checks, status))
        write_report(run.folder, run.job, record, columns.result())
        state = JobState(run.folder, run.watch.run_id, run.sources, run.tables)
        publish(run.output, run.folder, state, record, run.bronze, run.rejects, keep)
        mark_published(run.bronze, run.sources)
    elif run.before:
        save_positions(run.bronze, run.before.run_id, run.sources)
    notes = expire(run.bronze, kept_states(run.output), run.options.bronze_days, run.watch.run_id)
    return replace(_result(run, reasons, checks, status), notes=[*run.notes, *notes])


def _with_alerts(run: Run, result: JobResult) -> JobResult:
    """Tell what a person should see of the run: in files beside the output, and to the webhook where there is one."""
    scores, settings = score_checks(result.checks), run.common_settings
    history = extend_history(run.before.record if run.before else {}, result.run_id, scores)
    told = unusual(history) if result.status == "ok" else []
    alerts = find_alerts(result, scores, told, float(settings["least_score"]))
    found = replace(result, alerts=tuple(alerts))
    files = write_quality(run.output.link, found, scores, alerts)
    run.output.share(files[0].parent, [file.name for file in files])
    if not alerts or not settings["alert_url"]:
        return found
    secret = os.environ.get(ALERT_KEY_VARIABLE, "")
    failed = send(str(settings["alert_url"]), secret, payload(found, scores, alerts))
    return replace(found, notes=(*found.notes, failed) if failed else found.notes)


def _with_lineage(run: Run, result: JobResult) -> JobResult:
    """Tell a catalogue of data about the run, where there is one."""
    settings = run.common_settings
    if not settings["lineage_to"]:
        return result
    failed = tell_lineage(run.job, settings, run.options.source, result)
    return replace(result, notes=(*result.notes, failed) if failed else result.notes)


def extract(run: Run) -> None:
    """Extract what is new in the sources that are needed, and find how each changed."""
    needed = {name for one in run.wanted.values() for name in (*one.inputs, *one.references)}
    names = [name for name in run.job.sources if name in needed]
    remove_orphans(run.bronze, [run.before] if run.before else [])
    before = with_positions(hidden_as_wanted(run), run.bronze)
    extracted = (
        _extract_tables(run, names, before) if is_database(run.options.source) else _extract_files(run, names, before)
    )
    run.sources = {**(before.sources if before else {}), **extracted}
    find_changes(run, names)


def _extract_tables(run: Run, names: Sequence[str], before: JobState | None) -> dict[str, SourceState]:
    from pipeline.datasets.bronze_tables import Readers, extract_tables  # with all that reads databases

    known = before if run.known else None
    return extract_tables(
        run.job,
        names,
        run.options.source,
        run.context,
        run.bronze,
        before,
        known,
        run.watch.progress,
        run.notes,
        Readers(run.memory.workers, run.memory.alone, (lambda: run.engine) if run.uses_spark else None),
    )


def _extract_files(run: Run, names: Sequence[str], before: JobState | None) -> dict[str, SourceState]:
    listed, run.skipped = list_sources(run.job, names, run.options.source, before if run.known else None)
    new = [file for file in listed if not file.known]
    size = sum(file.bytes for file in new)
    run.watch.progress.phase("extract", max(1, size))
    many = len(new) >= 2 * run.memory.workers and size > _POOL_PAYS_BYTES and run.memory.has_room_for_workers
    engine, threads = (run.engine, 1) if many or run.uses_spark else (run.direct, run.memory.workers)
    return extract_sources(
        run.job, names, listed, engine, run.context, run.bronze, before, run.watch.progress.advance, threads
    )


def find_changes(run: Run, names: Iterable[str]) -> None:
    """Find how sources changed since the version before."""
    for name in names:
        run.changes[name] = _source_change(run, name)


def hidden_as_wanted(run: Run) -> JobState | None:
    """The version before, with sources whose personal values are hidden as this run wants it."""
    if run.before is None:
        return None
    fresh = run.known is None
    sources = hide_again(run.job, run.before, run.context.protections, run.bronze, run.watch.run_id, fresh=fresh)
    if sources != run.before.sources and set(run.wanted) != set(run.job.datasets):
        raise ConfigError("personal values are to be hidden otherwise than until now, in all tables: omit --only once.")
    return replace(run.before, sources=sources)


def _source_change(run: Run, name: str) -> Change:
    if run.known is None:
        return Change(everything="first run")
    old, new = run.known.sources.get(name), run.sources[name]
    if old and old.changed_in == new.changed_in:
        return UNCHANGED
    reading = [found for one in run.job.datasets.values() for found in (one.keyed, one.whole) if name in found]
    read = {column for found in reading for column in found[name] or input_schema(run.job, name)}
    columns = (*run.job.sources[name].contract.columns, *(fact for fact in SOURCE_FACTS if fact in read))
    return source_change(name, old, new, run.bronze, columns, run.work)


def make_tables(run: Run) -> tuple[dict[str, str], list[CheckResult]]:
    """Make each table after its inputs, or take it over from the version before; tables of one process side by side.

    Returns by table why it was made (empty: it was not), and what the checks of all tables found.
    """
    if run.before:
        run.tables.update({name: state for name, state in run.before.tables.items() if name in run.job.datasets})
    run.watch.progress.phase("tables", max(1, len(run.wanted)), "rows")
    tables = [one for one in run.job.datasets.values() if one.name in run.wanted or one.name in run.tables]
    names = {one.name for one in tables}
    steps = {one.name: [name for name in (*one.inputs, *one.references) if name in names] for one in tables}
    threads = 1 if run.uses_spark else run.memory.workers
    reasons: dict[str, str] = {}
    checks: dict[str, list[CheckResult]] = {}
    for name, reason, found in side_by_side(
        steps, lambda name: _make(run, name), lambda name: memory_of(run, name), run.memory.alone, threads
    ):
        reasons[name], checks[name] = reason, found
        run.watch.progress.advance(1)
    return {name: reasons[name] for name in steps}, [check for name in steps for check in checks[name]]


def _make(run: Run, name: str) -> tuple[str, str, list[CheckResult]]:
    """Make and judge a table. Returns its name, why it was made, and what its checks found."""
    one, begin = run.job.datasets[name], time.monotonic()
    made = make_table(run, one) if name in run.wanted else take_over(run, one)
    run.changes[name] = made.change
    run.tables[name] = made.state(round(time.monotonic() - begin, 6))
    return name, made.reason, judge_table(run, one, made)


def _record(run: Run, result: JobResult) -> dict[str, Any]:
    """What ``run.json`` says of a run that is published."""
    scores = score_checks(result.checks)
    history = extend_history(run.before.record if run.before else {}, run.watch.run_id, scores)
    days = {"days": days_of(run.folder / "data")} if run.day else {}
    return {
        **result.to_json(), **days, "settings": dict(run.context.settings), "personal": dict(run.options.personal),
        "source": run.options.source,
        "quality": scores, "quality_history": history, "unusual": unusual(history),
    }  # fmt: skip


def _is_new(run: Run, reasons: dict[str, str]) -> bool:
    """Whether the version would say anything that the one before does not."""
    if run.before is None or run.before.day != run.day or set(run.before.tables) != set(run.tables):
        return True
    changed_in = [state.changed_in for state in run.tables.values()]
    changed_in += [state.changed_in for state in run.sources.values()]
    return run.watch.run_id in changed_in or any(reasons.values())


def _result(
    run: Run, reasons: dict[str, str], checks: Sequence[CheckResult], status: str, error: str | None = None
) -> JobResult:
    """The result as it is now."""
    return JobResult(
        run.job.name, run.watch.run_id, status, "spark" if run.uses_spark else "polars",
        run.context.as_of.isoformat(), _source_results(run.sources, run.watch.run_id),
        {name: _table_result(run, name, reasons.get(name, "")) for name in run.job.datasets if name in run.tables},
        tuple(checks), round(run.watch.seconds().total, 3), run.watch.peak_memory(),
        run.output.key, error, day=run.day or None, skipped_files=run.skipped,
    )  # fmt: skip


def _table_result(run: Run, name: str, reason: str) -> TableResult:
    state = run.tables[name]
    recomputed, seconds = (state.recomputed, state.seconds) if reason else (0, 0.0)
    filled = state.filled if reason else {}
    return TableResult(state.rows, state.rejected, recomputed, seconds, reason, state.dropped, state.place, filled)


def _source_results(states: dict[str, SourceState], run_id: str) -> dict[str, TableResult]:
    results = {}
    for name, state in states.items():
        new = [file.rows for file in state.files if Path(file.folder).name.startswith(run_id)]
        results[name] = TableResult(state.rows, state.rejected, sum(new), 0.0)
    return results
