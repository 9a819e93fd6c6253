"""Says what a run of a job would do, without reading a row."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.datasets.bronze import Listed, fingerprint, list_sources
from pipeline.datasets.dataset import DataSet
from pipeline.datasets.job import Job
from pipeline.datasets.run import JobOptions
from pipeline.datasets.state import JobState, read_state
from pipeline.sources.databases.address import is_database, parse_address
from pipeline.sources.protection import BEFORE_KEY, Protection, choose_methods
from pipeline.versions.outputs import open_output


@dataclass(frozen=True)
class Step:
    """What a run would do with a source or table.

    ``work``: ``extract``, ``compute`` (all rows), ``compute changes`` (at most what changed rows affect), or ``keep``.
    """

    name: str
    layer: str
    work: str
    reason: str = ""


def plan_job(job: Job, options: JobOptions) -> list[Step]:
    """The steps of a run with these options. Raises InputError where a source has no file."""
    before = read_state(open_output(options.output))
    known = None if options.full_refresh else before
    wanted = job.needed(options.only)
    needed = {name for one in wanted.values() for name in (*one.inputs, *one.references)}
    names = [name for name in job.sources if name in needed]
    if is_database(options.source):
        parse_address(options.source)
        steps = {
            name: Step(name, "source", "extract", "rows of its table are compared when they are read") for name in names
        }
    else:
        listed = list_sources(job, names, options.source, known)
        methods = {**job.personal, **options.personal}
        steps = {name: _plan_source(job, name, listed, known, methods) for name in names}
    for one in wanted.values():
        steps[one.name] = _plan_table(job, one, known, steps)
    return list(steps.values())


def _plan_source(job: Job, name: str, listed: list[Listed], known: JobState | None, methods: Mapping[str, str]) -> Step:
    files = [file for file in listed if file.source == name]
    old = known.sources.get(name) if known else None
    if old is None or old.fingerprint != fingerprint(job.sources[name]):
        return Step(name, "source", "extract", "new" if old is None else "its declaration changed")
    if old.protection.partition(BEFORE_KEY)[0] != Protection(choose_methods(job.sources[name].contract, methods)).mark:
        return Step(name, "source", "extract", "its personal values are to be hidden otherwise")
    new = sum(1 for file in files if not file.known)
    gone = len({file.name for file in old.files} - {file.name for file in files})
    if not new and (not gone or job.sources[name].snapshots):
        return Step(name, "source", "keep")
    told = [f"{count} {what}" for count, what in ((new, "new or changed"), (gone, "no longer there")) if count]
    return Step(name, "source", "extract", f"files: {', '.join(told)}")


def _plan_table(job: Job, one: DataSet, known: JobState | None, steps: Mapping[str, Step]) -> Step:
    old = known.tables.get(one.name) if known else None
    if old is None:
        return Step(one.name, one.layer, "compute", "new")
    if old.made_with.partition(" ")[0] != job.fingerprint:
        return Step(one.name, one.layer, "compute", "the code changed")
    if "as_of" in one.parameters:
        return Step(one.name, one.layer, "compute", "it depends on as-of")
    changed = [name for name in dict.fromkeys((*one.inputs, *one.references)) if steps[name].work != "keep"]
    if not changed:
        return Step(one.name, one.layer, "keep")
    whole = [name for name in one.read_whole if name in changed]
    everything = [name for name in changed if steps[name].work == "compute"]
    if whole or everything or not one.by:
        named = (whole or everything or changed)[0]
        return Step(one.name, one.layer, "compute", f"{named} changed{', which is read whole' if whole else ''}")
    return Step(one.name, one.layer, "compute changes", f"{', '.join(changed)} changed")
