"""Checks the laws on the published tables: no number of buckets and no order of rows changes a byte."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from config import Config
from pipeline.datasets.bronze import bronze_folder
from pipeline.datasets.job import Job
from pipeline.datasets.laws import try_law
from pipeline.datasets.run import JobOptions, open_engine
from pipeline.datasets.state import published_state
from pipeline.datasets.tasks import Digest, JobContext, LawTask, TableFiles
from pipeline.engines import Advance, Engine, run_tasks
from pipeline.timing import Progress
from pipeline.versions.outputs import open_output
from utils.units import format_count

BUCKETS = (1, 3, 64)


@dataclass(frozen=True)
class Law:
    """A law that a data set keeps, or breaks: ``broken`` says how; empty: it keeps it."""

    table: str
    law: str
    broken: str = ""


def check_job(job: Job, config: Config, options: JobOptions, progress: Progress) -> list[Law]:
    """Try the laws of the tables of the version that the output shows, on the engine of the settings.

    Raises InputError where nothing is published.
    """
    output = open_output(options.output)
    state = published_state(output)
    bronze = bronze_folder(output.link)
    files = {name: TableFiles(source.paths(bronze)) for name, source in state.sources.items()}
    files |= {name: TableFiles(table.paths(state.table_folder(name))) for name, table in state.tables.items()}
    tables = [name for name in job.needed(options.only) if name in state.tables]
    as_of = options.as_of or datetime.fromisoformat(state.record["as_of"])
    with (
        TemporaryDirectory(prefix=".check-", dir=output.versions) as work,
        open_engine(config, Path(work), job.folder) as engine,
    ):
        context = JobContext(str(job.folder), state.run_id, as_of, job.with_settings(options.settings), work)
        progress.phase("check", len(tables) * len(BUCKETS), "rows")
        return check_laws(job, tables, files, context, engine, progress.advance)


def check_laws(
    job: Job,
    tables: Sequence[str],
    files: Mapping[str, TableFiles],
    context: JobContext,
    engine: Engine,
    advance: Advance,
) -> list[Law]:
    """Try the laws of some data sets. ``files``: of all sources and tables of a version."""
    tasks = []
    for name in tables:
        one = job.datasets[name]
        inputs = {
            given: TableFiles(files[given].files, (one.keyed.get(given) or one.whole.get(given, ())))
            for given in one.inputs
        }
        tasks += [LawTask(name, inputs, buckets, seed) for seed, buckets in enumerate(BUCKETS if one.by else (1, 1))]
        if one.by and set(one.by) <= set(one.contract.columns):
            tasks += [LawTask(name, inputs, 1, 0, lookup) for lookup in one.lookup]
    found: dict[str, list[tuple[LawTask, Digest]]] = {name: [] for name in tables}
    for task, digest in run_tasks(engine, try_law, context, tasks, advance):
        found[task.table].append((task, digest))
    return [law for name in tables for law in _judge(name, found[name])]


def _judge(name: str, found: list[tuple[LawTask, Digest]]) -> list[Law]:
    plain = sorted(((task, digest) for task, digest in found if not task.without), key=lambda pair: pair[0].seed)
    (_, first), *others = plain
    laws = []
    for task, digest in others:
        law = f"{task.buckets} buckets, shuffled" if task.buckets > 1 else "shuffled"
        rows = (
            f"{format_count(digest.rows, 'row')} instead of {first.rows:,}"
            if digest.rows != first.rows
            else "other values"
        )
        told = "" if digest == first else (
            f"{rows} than in one bucket: the function looks beyond one value of by, or depends on the order of rows"
        )  # fmt: skip
        laws.append(Law(name, law, told))
    for task, digest in found:
        if task.without:
            same = digest.digest == digest.complete
            told = "" if same else f"rows change that use no changed row of {task.without}: declare it as whole instead"
            laws.append(Law(name, f"lookup {task.without}", told))
    return laws
