"""Says what a run of a job would do, without reading a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.datasets.bronze import Listed, bronze_folder, fingerprint, list_sources
from pipeline.datasets.dataset import DataSet
from pipeline.datasets.job import Job
from pipeline.datasets.positions import with_positions
from pipeline.datasets.run import JobOptions
from pipeline.datasets.state import JobState, SourceState, read_state
from pipeline.sources.databases.address import is_database, parse_address
from pipeline.sources.protection import BEFORE_KEY, Protection, choose_methods
from pipeline.sources.source import Source
from pipeline.versions.outputs import open_output

_UNCERTAIN = ("compare", "if changed")


@dataclass(frozen=True)
class Step:
    """What a run would do with a source or table.

    ``work``: ``extract``; ``compare`` (a table of a database is read, and compared); ``compute`` (all rows); ``compute
    changes`` (at most what changed rows affect); ``if changed`` (what was compared decides); or ``keep``.
    """

    name: str
    layer: str
    work: str
    reason: str = ""


def plan_job(job: Job, options: JobOptions) -> list[Step]:
    """The steps of a run with these options. A database is not asked. Raises InputError where a source has no file."""
    settings = job.with_settings(options.settings)
    job = job.named(options.names).under(settings)
    output = open_output(options.output)
    before = with_positions(read_state(output), bronze_folder(output.link))
    known = None if options.full_refresh else before
    wanted = job.needed(options.only)
    needed = {name for one in wanted.values() for name in (*one.inputs, *one.references)}
    names = [name for name in job.sources if name in needed]
    methods = {**job.personal, **options.personal}
    origin = parse_address(options.source).origin if is_database(options.source) else ""
    listed, _ = ([], ()) if origin else list_sources(job, names, options.source, known)
    steps = {}
    for name in names:
        source, old = job.sources[name], known.sources.get(name) if known else None
        if old is None or (reason := _declared_otherwise(source, old, methods)):
            steps[name] = Step(name, "source", "extract", "new" if old is None else reason)
        elif origin:
            steps[name] = Step(name, "source", "compare", _what_is_read(old, origin, source))
        else:
            steps[name] = _plan_files(source, old, name, [file for file in listed if file.source == name])
    for one in wanted.values():
        steps[one.name] = _plan_table(one, known, steps, job.made_with(one, job.own(settings)))
    return list(steps.values())


def _declared_otherwise(source: Source, old: SourceState, methods: Mapping[str, str]) -> str:
    """Why all of a source is extracted again, whatever it has now; empty: what it has decides."""
    if old.fingerprint != fingerprint(source):
        return "its declaration changed"
    if old.protection.partition(BEFORE_KEY)[0] != Protection(choose_methods(source.contract, methods)).mark:
        return "its personal values are to be hidden otherwise"
    return ""


def _what_is_read(old: SourceState, origin: str, source: Source) -> str:
    """Which rows of a table are read and compared."""
    if old.position.get("of", "").startswith(f"{origin} ") and old.position["watermark"]:
        return f"rows since {old.position['watermark']}, and {source.overlap} before"
    return "all rows"


def _plan_files(source: Source, old: SourceState, name: str, files: Sequence[Listed]) -> Step:
    new = sum(1 for file in files if not file.known)
    gone = len({file.name for file in old.files} - {file.name for file in files})
    if not new and (not gone or source.snapshots):
        return Step(name, "source", "keep")
    told = [f"{count} {what}" for count, what in ((new, "new or changed"), (gone, "no longer there")) if count]
    return Step(name, "source", "extract", f"files: {', '.join(told)}")


def _plan_table(one: DataSet, known: JobState | None, steps: Mapping[str, Step], made_with: str) -> Step:
    old = known.tables.get(one.name) if known else None
    if old is None:
        return Step(one.name, one.layer, "compute", "new")
    if old.made_with != made_with:
        return Step(one.name, one.layer, "compute", "the code or the settings changed")
    if "as_of" in one.parameters:
        return Step(one.name, one.layer, "compute", "it depends on as-of")
    inputs = [name for name in dict.fromkeys((*one.inputs, *one.references)) if steps[name].work != "keep"]
    changed = [name for name in inputs if steps[name].work not in _UNCERTAIN]
    if not changed:
        return Step(one.name, one.layer, "if changed" if inputs else "keep", ", ".join(inputs))
    whole = [name for name in one.read_whole if name in changed]
    everything = [name for name in changed if steps[name].work == "compute"]
    if whole or everything or not one.by:
        named = (whole or everything or changed)[0]
        return Step(one.name, one.layer, "compute", f"{named} changed{', which is read whole' if whole else ''}")
    lets_in = [check.to[0] for check in one.outer_references if check.removes and check.to[0] in changed]
    if lets_in and old.rejected + old.dropped:
        reason = f"{lets_in[0]} changed, and rows are rejected that it may let in"
        return Step(one.name, one.layer, "compute", reason)
    return Step(one.name, one.layer, "compute changes", f"{', '.join(changed)} changed")
