"""Forgets people: their rows leave bronze, all tables and all versions, and later extracts leave them out.

A version without them is made and published as after any other change of sources, with the settings of the version
that is shown; then all other versions go, and all extracts of which the new one is not made. A file in bronze tells
until the end that this is not done yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from config import Config
from pipeline.datasets.bronze import FORGETTING, bronze_folder, keep_only
from pipeline.datasets.days import days_tell_of
from pipeline.datasets.driver import complete, find_changes, hidden_as_wanted, open_run
from pipeline.datasets.job import Job
from pipeline.datasets.result import JobResult
from pipeline.datasets.rewrite import extract_tells_of, leave_out, tell_of
from pipeline.datasets.run import JobOptions, Run
from pipeline.datasets.settings import ASKS_NOTHING, JobSettings
from pipeline.datasets.state import kept_states, published_state
from pipeline.errors import ConfigError
from pipeline.machine import sync
from pipeline.sources.extracted import Privacy
from pipeline.sources.forgotten import SHARED_FILES, Forgotten, read_forgotten, remember
from pipeline.sources.protection import Protection, hide_text
from pipeline.timing import Progress
from pipeline.versions.outputs import open_output


@dataclass(frozen=True)
class Forgetting:
    """What was forgotten: by source how many rows are gone, how many versions were removed, and the run that published
    the version without the people."""

    removed: dict[str, int]
    versions_removed: int
    result: JobResult


def forget_people(
    job: Job,
    config: Config,
    options: JobOptions,
    ids: Sequence[str],
    progress: Progress,
    asked: JobSettings = ASKS_NOTHING,
) -> Forgetting:
    """Remove the people with these ids. Without ids: end what was interrupted.

    ``asked``: settings that take the place of those that the version was made with: where there are none, all other
    rows stay as they are. Ids of which no version has a row are noted, and nothing else is done.
    Raises ConfigError where no column of the job says whom a row is of, or there are no ids; InputError where nothing
    is published; and what a run raises. Where a check stops the run, nothing is removed, and it can be repeated.
    """
    output = open_output(options.output)
    before = published_state(output, records_only=True)
    _check(job, ids, bronze_folder(output.link))
    with open_run(job, config, _as_before(job, options, asked, before.record), progress) as run:
        people = _remember(run, ids)
        state = hidden_as_wanted(run)
        assert run.before, "something is published"
        assert state, "it has a state"
        privacy = {
            name: Privacy(run.context.protections.get(name, Protection()), people)
            for name, source in job.sources.items()
            if any(column.forget for column in source.contract.columns.values())
        }
        told_of = _may_tell(run, privacy, people)
        run.sources = leave_out(job, state, privacy, run.bronze, run.watch.run_id)
        find_changes(run, [name for name in job.sources if name in run.sources])
        versions = output.version_names()
        result = complete(run, 1 if told_of else config.KEEP_VERSIONS, people if told_of else None)
        if result.status == "failed":
            return Forgetting({}, 0, replace(result, error=f"{result.error} {_NOBODY_YET}"))
        if told_of:
            _sweep(run)
        (run.bronze / FORGETTING).unlink(missing_ok=True)
        sync(run.bronze)
        removed = {name: run.before.sources[name].rows - run.sources[name].rows for name in run.sources}
        gone = {name: count for name, count in removed.items() if count}
        left = [name for name in versions if name not in output.version_names()]
        return Forgetting(gone, len(left), result)


_NOBODY_YET = (
    "Nobody is forgotten yet, and no run goes on before that is done: repeat the action forget, without ids, with a "
    "setting (--set NAME=VALUE) by which the check does not stop it."
)


def _as_before(job: Job, options: JobOptions, asked: JobSettings, record: Mapping[str, Any]) -> JobOptions:
    """The options by which the version with this ``record`` was made, but for what is ``asked``; ``options`` have what
    the record does not tell."""
    settings = {name: value for name, value in record["settings"].items() if name in job.settings}
    return replace(
        options,
        as_of=options.as_of or datetime.fromisoformat(record["as_of"]),
        settings={**options.settings, **settings, **asked.values},
        personal={**record.get("personal", options.personal), **asked.personal},
        full_refresh=False,
        only=(),
    )


def _check(job: Job, ids: Sequence[str], bronze: Path) -> None:
    if not any(column.forget for source in job.sources.values() for column in source.contract.columns.values()):
        raise ConfigError(
            f"no source of {job.name} says whom its rows are of: declare forget='row' (or 'value') at the columns with "
            "the id of a person."
        )
    if not ids and not (bronze / FORGETTING).exists():
        raise ConfigError("forget needs the ids of the people to forget.")


def _remember(run: Run, ids: Sequence[str]) -> Forgotten:
    """Note that people are being forgotten, and who; ids also as the settings hide them, for extracts that have no
    clear values any more."""
    if not ids:
        return read_forgotten(run.bronze)
    (run.bronze / FORGETTING).touch(mode=0o600)
    sync(run.bronze)
    forms = set(ids)
    for name, protection in run.context.protections.items():
        key = protection.key.load() if protection.key else b""
        for column, (method, kind) in protection.columns.items():
            if run.job.sources[name].contract.columns[column].forget:
                forms.update(hide_text(one, method, kind, key) for one in ids)
    known = remember(run.bronze, forms)
    run.output.share(run.bronze, SHARED_FILES)
    return known


def _may_tell(run: Run, privacy: Mapping[str, Privacy], people: Forgotten) -> bool:
    """Whether a kept version has rows of the people, or an extract that is of none of them."""
    states = kept_states(run.output)
    named = {file.folder for state in states for source in state.sources.values() for file in source.files}
    return (
        any(tell_of(run.job, state, privacy, run.bronze) for state in states)
        or any(days_tell_of(run.job, state.folder / "data", people) for state in states if run.day)
        or any(
            extract_tells_of(folder, run.job.sources[folder.parent.name], privacy[folder.parent.name])
            for folder in run.bronze.glob("*/*")
            if folder.relative_to(run.bronze).as_posix() not in named and folder.parent.name in privacy
        )
    )


def _sweep(run: Run) -> None:
    """Remove all versions but the one that is shown, and the extracts of which it is not made."""
    shown = run.output.current()
    for name in run.output.version_names():
        if name != shown:
            run.output.remove(name)
    keep_only(run.bronze, published_state(run.output, records_only=True))
