"""``job``: runs a job of data sets, asks about it, or makes a new one."""

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cli.arguments import Arguments
from cli.audit import audit_path, note, show_entries, verify_entries
from cli.console import Answer, printable, say
from cli.counts_table import counts_table
from cli.progress import open_progress
from config import Config
from pipeline.errors import GATE_EXIT_CODE, ConfigError, LogmillError, program_name
from pipeline.storage.urls import is_url
from utils.units import format_count, format_list, format_seconds, format_size

if TYPE_CHECKING:
    from pipeline.datasets.backup import Backup
    from pipeline.datasets.job import Job
    from pipeline.datasets.result import JobResult, TableResult
    from pipeline.datasets.run import JobOptions
    from pipeline.datasets.state import TableState
    from pipeline.versions.output_link import Output

DATA = Path("pipeline_data/jobs")
"""Where jobs read and write that are told nothing else."""


def job_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Do what is asked with the job; returns the exit code. Raises LogmillError where that is not possible."""
    from pipeline.engines.workers import job_environment

    os.environ.update(job_environment(config.MEMORY_LIMIT))  # before libraries are loaded, which read it then
    action = "new" if arguments.job == "new" else arguments.action or "run"
    if action not in _ACTIONS:
        raise ConfigError(f"{action} is nothing that a job does: expected one of {', '.join(_ACTIONS)}.")
    try:
        return _ACTIONS[action](arguments, config, answer)
    except LogmillError as fault:
        answer.give({"job": arguments.job, "status": "failed", "error": str(fault)})
        if action in AUDITED:
            _note_failure(arguments, action, fault)
        raise


def _note_failure(arguments: Arguments, action: str, fault: LogmillError) -> None:
    """Note in the audit that an action failed. Where the job itself is wrong, there is no audit to note it in."""
    with suppress(LogmillError, OSError):
        from pipeline.versions.outputs import open_output

        output = _options(arguments, _load(arguments)).output
        if open_output(output).versions.exists():
            note(output, action, {"status": "failed", "error": type(fault).__name__})


def _word(arguments: Arguments) -> str | None:
    """The one word after the action. Raises ConfigError where there are more."""
    if len(arguments.what) > 1:
        raise ConfigError(f"{arguments.action} takes one word, found {len(arguments.what)}. Put quotes around a query.")
    return arguments.what[0] if arguments.what else None


def _new(arguments: Arguments, _config: Config, answer: Answer) -> int:
    from pipeline.datasets.template import make_job

    if not arguments.action:
        raise ConfigError(f"job new needs a name: {program_name()} job new NAME")
    folder, files = make_job(arguments.action)
    name = arguments.action if "/" in arguments.action else folder.name
    told = f"made {printable(str(folder))}: {', '.join(files)}\nRun it: {program_name()} job {name}\n"
    _tell(arguments, answer, {"job": name, "folder": str(folder), "files": files}, told)
    return 0


def _tell(arguments: Arguments, answer: Answer, facts: Mapping[str, object], text: str) -> None:
    """Answer with ``facts`` as JSON, or with ``text`` for people unless they want no words."""
    answer.give(facts)
    if not answer.as_json and not arguments.quiet:
        answer.write(text)


def _run(arguments: Arguments, config: Config, answer: Answer) -> int:
    from pipeline.engines.workers import load_modules

    load_modules(("pipeline.datasets.driver",))  # most of what is loaded, faster than by a plain import
    from pipeline.datasets.demo import check_truth, make_demo
    from pipeline.datasets.demo_server import open_demo
    from pipeline.datasets.driver import run_job

    job = _load(arguments)
    options = _options(arguments, job)
    demo = _demo(options, job)

    def tell(text: str) -> None:
        if not arguments.quiet:
            say(text, event="demo")

    if demo and not demo.exists():
        tell(f"no --source was named: making demo data in {printable(options.source)}")
        make_demo(job, demo)
    with (
        open_demo(job, demo, tell) if demo else nullcontext(options.source) as source,
        open_progress(arguments.quiet) as progress,
    ):
        result = run_job(job, config, replace(options, source=source), progress)
    note(options.output, "run", {"status": result.status, "version": result.run_id}, result.run_id)
    differences = check_truth(result, Path(options.source))
    _tell(arguments, answer, {**result.to_json(), "truth": differences}, _summary(result, differences))
    for told in result.notes:
        say(printable(told), level="warning", event="note")
    if result.error:
        say(printable(result.error), level="error", event="failed")
        return GATE_EXIT_CODE
    return int(job.with_settings(options.settings)["alert_exit_code"]) if result.alerts else 0


def _demo(options: "JobOptions", job: "Job") -> Path | None:
    """The folder of the demo data, where a run would read these; None: it reads another source."""
    return Path(options.source) if options.source == str(DATA / job.name / "demo") else None


def _status(arguments: Arguments, _config: Config, answer: Answer) -> int:
    from pipeline.datasets.state import published_state
    from pipeline.versions.outputs import open_output

    output = open_output(_options(arguments, _load(arguments)).output)
    state = published_state(output, records_only=True)
    sources = {name: {"rows": found.rows, "rejected": found.rejected} for name, found in state.sources.items()}
    tables = {
        name: {"rows": table.rows, "rejected": table.rejected, "dropped": table.dropped, "filled": dict(table.filled)}
        for name, table in state.tables.items()
    }
    both = sources | tables
    versions = output.version_names()
    counts = [
        (name, f"{one['rows']:,}", f"{one['rejected']:,}", f"{one.get('dropped', 0):,}") for name, one in both.items()
    ]
    lines = counts_table([("table", "rows", "rejected", "dropped"), *counts], least=("dropped",))
    lines += _filled_lines(state.tables)
    days = state.record.get("days", [])
    if days:
        lines += ["", f"{state.day}, of {format_count(len(days), 'day')} from {days[0]} to {days[-1]}"]
    kept = "\n".join(f"{'* ' if name == state.run_id else '  '}{name}" for name in versions)
    told = "\n".join([*lines, "", "versions:", kept, ""])
    facts = {"version": state.run_id, "versions": versions, "sources": sources, "tables": tables, "days": days}
    _tell(arguments, answer, facts, told)
    return 0


def _rollback(arguments: Arguments, _config: Config, answer: Answer) -> int:
    from pipeline.datasets.bronze import bronze_folder, check_all_forgotten
    from pipeline.versions.outputs import open_output, roll_back

    options = _options(arguments, _load(arguments))
    check_all_forgotten(bronze_folder(open_output(options.output).link))
    before, now = roll_back(options.output, _word(arguments))
    note(options.output, "rollback", {"before": before, "current": now})
    told = f"{printable(options.output)} shows {now} again (until now {before}).\n"
    _tell(arguments, answer, {"before": before, "current": now, "output": options.output}, told)
    return 0


def _query(arguments: Arguments, config: Config, answer: Answer) -> int:
    from cli.query import ask_job, check_format, show_found

    check_format(arguments)
    sql = _word(arguments)
    if not sql:
        raise ConfigError(
            f"job {arguments.job} query needs a query: {program_name()} job {arguments.job} query 'FROM ...'"
        )
    job = _load(arguments)
    show_found(ask_job(config, job.folder, _options(arguments, job).output, sql), arguments, answer)
    return 0


def _forget(arguments: Arguments, config: Config, answer: Answer) -> int:
    from pipeline.datasets.forget import forget_people
    from pipeline.datasets.settings import read_settings

    job = _load(arguments)
    asked = read_settings(job, {}, arguments.assigned)  # all others are those of the version
    options = _options(arguments, job)
    with open_progress(arguments.quiet) as progress:
        found = forget_people(job, config, options, arguments.what, progress, asked)
    result, people = found.result, len(set(arguments.what))
    facts = {"status": result.status, "version": result.run_id, "people": people, "removed": found.removed,
             "versions_removed": found.versions_removed}  # fmt: skip
    note(options.output, "forget", facts, result.run_id)
    rows = ", ".join(f"{format_count(count, 'row')} of {name}" for name, count in found.removed.items()) or "no rows"
    gone = format_count(found.versions_removed, "version")
    told = f"{rows} and {gone} removed. Source files and backups are yours to clean.\n"
    _tell(arguments, answer, {"job": job.name, **facts, "error": result.error}, told)
    if result.error:
        say(printable(result.error), level="error", event="failed")
    return GATE_EXIT_CODE if result.status == "failed" else 0


def _audit(arguments: Arguments, _config: Config, answer: Answer) -> int:
    path = audit_path(_options(arguments, _load(arguments)).output)
    word, *noted = arguments.what or ("",)
    if word not in ("", "verify") or len(noted) > 1:
        raise ConfigError("audit takes nothing, or verify and a hash that was noted elsewhere.")
    if not word:
        facts, told = show_entries(path)
    else:
        facts, told = verify_entries(path, *noted)
    _tell(arguments, answer, facts, told)
    return GATE_EXIT_CODE if facts.get("wrong") else 0


def _load_tables(arguments: Arguments, _config: Config, answer: Answer) -> int:
    from pipeline.datasets.load_postgres import load_postgres

    job = _load(arguments)
    output = _options(arguments, job).output
    loaded = load_postgres(job, output, _word(arguments) or "")
    facts = {"version": loaded.version, "tables": dict(loaded.rows)}
    note(output, "load", facts)
    lines = [f"{name:<28}{count:>14,}" for name, count in loaded.rows.items()] or ["nothing new"]
    _tell(arguments, answer, {"job": job.name, **facts}, "\n".join([*lines, f"PostgreSQL has {loaded.version}.", ""]))
    return 0


def _backup(arguments: Arguments, _config: Config, answer: Answer) -> int:
    from pipeline.datasets.backup import back_up

    return _copy(arguments, answer, back_up)


def _restore(arguments: Arguments, _config: Config, answer: Answer) -> int:
    from pipeline.datasets.backup import restore

    return _copy(arguments, answer, restore)


def _copy(arguments: Arguments, answer: Answer, copy: "Callable[[Output, str | None, str], Backup]") -> int:
    """Copy a version to the place that the arguments name, or from it."""
    from pipeline.versions.outputs import open_output

    if not 1 <= len(arguments.what) <= 2:
        raise ConfigError(f"{arguments.action} needs a folder or URL, and may have a version after it.")
    place, version = [*arguments.what, None][:2]
    output = _options(arguments, _load(arguments)).output
    found = copy(open_output(output), version, str(place))
    facts = {"version": found.version, "place": found.place, "files": found.files, "bytes": found.bytes}
    note(output, str(arguments.action), facts)
    size, files = format_size(found.bytes), format_count(found.files, "file")
    told = f"{found.version}: {files}, {size}, {printable(found.place)}\n"
    _tell(arguments, answer, facts | {"note": found.note}, told)
    if found.note:
        say(found.note, level="warning", event="left_to_do")
    return 0


def _plan(arguments: Arguments, _config: Config, answer: Answer) -> int:
    from pipeline.datasets.demo_server import has_server
    from pipeline.datasets.plan import plan_job

    job = _load(arguments)
    options = _options(arguments, job)
    if _demo(options, job) and has_server(job):
        options = replace(options, source="postgresql://")  # the run starts a server of its own
    steps = plan_job(job, options)
    names = max((len(step.name) for step in steps), default=0) + 2
    lines = [f"{step.name:<{names}}{step.layer:<9}{step.work:<17}{printable(step.reason)}".rstrip() for step in steps]
    facts = {"job": job.name, "steps": [asdict(step) for step in steps]}
    _tell(arguments, answer, facts, "\n".join([*lines, ""]))
    return 0


def _check(arguments: Arguments, config: Config, answer: Answer) -> int:
    from pipeline.datasets.law_check import check_job
    from pipeline.datasets.result import CheckResult
    from pipeline.datasets.state import published_state
    from pipeline.versions.outputs import open_output

    job = _load(arguments)
    options = _options(arguments, job)
    with open_progress(arguments.quiet) as progress:
        laws = check_job(job, config, options, progress)
    checks = published_state(open_output(options.output), records_only=True).record["checks"]
    broken = [law for law in laws if law.broken]
    lines = [f"{'BROKEN' if law.broken else 'ok':<8}{law.table:<28}{law.law}" for law in laws]
    lines += ["", *(f"{one['outcome']}: {CheckResult(**one)}" for one in checks if one["outcome"] != "ok")]
    facts = {"job": job.name, "laws": [asdict(law) for law in laws], "broken": len(broken), "checks": checks}
    _tell(arguments, answer, facts, "\n".join([*lines, ""]))
    for law in broken:
        say(f"{law.table}: {law.broken}", level="error", event="law_broken", table=law.table, law=law.law)
    return GATE_EXIT_CODE if broken else 0


def _docs(arguments: Arguments, _config: Config, answer: Answer) -> int:
    from pipeline.datasets.ddl import Published, write_docs
    from pipeline.datasets.report import render_dictionary
    from pipeline.datasets.state import published_state
    from pipeline.versions.outputs import open_output

    job = _load(arguments)
    options = _options(arguments, job)
    output = open_output(options.output)
    job = job.under(job.with_settings(options.settings))
    day = published_state(output, records_only=True).day if job.daily else ""
    beside = output.link.with_name(f"{output.link.name}.docs")
    folder = (DATA / job.name / "docs").absolute() if is_url(output.key) else beside
    files = write_docs(job, folder, Published(_word(arguments) or _shown_at(output), day), render_dictionary(job))
    told = f"{', '.join(files)} in {printable(str(folder))}\n"
    _tell(arguments, answer, {"job": job.name, "folder": str(folder), "files": files}, told)
    return 0


def _shown_at(output: "Output") -> str:
    """Where the tables of the published version lie: the link, or below the URL of a storage. Raises InputError."""
    if not is_url(output.key):
        return str(output.link)
    from pipeline.datasets.state import published_state

    return f"{output.place_of(published_state(output, records_only=True).run_id)}/data"


_ACTIONS: dict[str, Callable[[Arguments, Config, Answer], int]] = {
    "run": _run,
    "plan": _plan,
    "check": _check,
    "status": _status,
    "docs": _docs,
    "load": _load_tables,
    "query": _query,
    "rollback": _rollback,
    "forget": _forget,
    "audit": _audit,
    "backup": _backup,
    "restore": _restore,
    "new": _new,
}
AUDITED = ("run", "query", "rollback", "load", "forget", "backup", "restore")
"""Actions that the audit tells of, also where they failed."""


def _load(arguments: Arguments) -> "Job":
    from pipeline.datasets.job import find_job, load_job

    return load_job(str(find_job(arguments.job)))


def _options(arguments: Arguments, job: "Job") -> "JobOptions":
    from config import read_sections
    from pipeline.datasets.run import JobOptions
    from pipeline.datasets.settings import read_settings

    _, jobs = read_sections(arguments.config, arguments.environment)
    found = read_settings(job, jobs.get(job.name, {}), arguments.assigned, arguments.environment)
    return JobOptions(
        arguments.source or found.source or str(DATA / job.name / "demo"),
        arguments.job_output or found.output or str(DATA / job.name / job.output),
        _moment(arguments.as_of) if arguments.as_of else None,
        settings=found.values,
        personal=found.personal,
        names=found.names,
        bronze_days=found.bronze_days,
        full_refresh=arguments.options.full_refresh,
        only=tuple(arguments.only),
    )


def _moment(text: str) -> datetime:
    """A moment as naive UTC; a day is its beginning."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--as-of: {text!r} is no time: expected one such as 2026-11-30 or 2026-11-30T10:00:00Z."
        ) from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _summary(result: "JobResult", differences: "list[str] | None") -> str:
    rows = [("table", "rows", "rejected", "dropped", "computed", "seconds"), *_rows(result)]
    lines = counts_table(rows, least=("dropped", "seconds", "computed"))
    broken = [check for check in result.checks if check.outcome != "ok"]
    lines += _filled_lines(result.tables)
    lines += ["", *(f"{check.outcome}: {check}" for check in broken)]
    if result.skipped_files:
        lines.append(
            f"other files skipped ({len(result.skipped_files):,}): {format_list(result.skipped_files, 10, printable)}"
        )
    lines += [f"alert: {alert.message}" for alert in result.alerts if not alert.table]
    if differences is not None:
        lines.append("DIFFERS from the truth: " + "; ".join(differences) if differences else "as the demo's truth says")
    checked = f"{format_count(len(result.checks), 'check')}, {len(broken)} of them broken"
    lines.append(f"{result.status}: {checked}, {format_seconds(result.seconds)}, in {printable(result.output)}")
    return "\n".join(lines) + "\n"


def _filled_lines(tables: "Mapping[str, TableResult] | Mapping[str, TableState]") -> list[str]:
    """What checks filled in the rows that the run computed."""
    return [
        f"filled: {name}.{column} in {format_count(count, 'row')}"
        for name, table in tables.items()
        for column, count in table.filled.items()
    ]


def _rows(result: "JobResult") -> "list[tuple[str, ...]]":
    facts = {**result.sources, **result.tables}
    return [
        (name, f"{one.rows:,}", f"{one.rejected:,}", f"{one.dropped:,}", f"{one.recomputed:,}", f"{one.seconds:.2f}")
        for name, one in facts.items()
    ]
