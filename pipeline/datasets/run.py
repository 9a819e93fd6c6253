"""What one run of a job knows and holds: its input, its folders, its engines, and what was made until now."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from config import Config
from pipeline.datasets.bronze import bronze_folder, key_file
from pipeline.datasets.changes import Change
from pipeline.datasets.job import COMMON_SETTINGS, Job
from pipeline.datasets.privacy import find_protections
from pipeline.datasets.publication import catch_up
from pipeline.datasets.sizes import Memory
from pipeline.datasets.state import SourceState, TableState, read_state
from pipeline.datasets.tasks import JobContext, Setting, TableFiles
from pipeline.engines import Engine
from pipeline.engines.choose import asks_for_spark
from pipeline.engines.direct import DirectEngine
from pipeline.engines.local import LocalEngine
from pipeline.engines.workers import THRIFTY_ENVIRONMENT
from pipeline.errors import ConfigError
from pipeline.machine import cache_folder
from pipeline.sources.databases.address import is_database
from pipeline.timing import Watch
from pipeline.versions.folders import make_own
from pipeline.versions.lock import AnyLock
from pipeline.versions.output_link import Output

KERNELS = ("pipeline.datasets.kernels", "pipeline.datasets.laws")


@dataclass(frozen=True)
class JobOptions:
    """What a user asks of one run.

    ================  =====================================================================
    ``source``        folder of the sources
    ``output``        where tables are published
    ``as_of``         moment of the run, naive UTC; None: now
    ``full_refresh``  extract and compute everything again
    ``only``          data sets to make, with those that they are made of; none: all
    ``settings``      of the job, instead of its defaults
    ``personal``      by class of personal data how it is hidden, instead of as the job says
    ``names``         by source its table, by ``source.column`` its column, instead of as the job says
    ``bronze_days``   after how many days bronze loses what no kept version needs; 0: never
    ================  =====================================================================
    """

    source: str
    output: str
    as_of: datetime | None = None
    full_refresh: bool = False
    only: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    bronze_days: int = 0


def open_engine(config: Config, work: Path, job: Path) -> AbstractContextManager[Engine]:
    """The engine of several tasks: Spark where the settings ask for it, otherwise workers. ``job``: the job's folder,
    whose code the executors of a cluster get."""
    if asks_for_spark(config) and not config.spark_is_local:
        from pipeline.engines.cluster import ClusterEngine
        from pipeline.engines.code_archive import pack_code
        from pipeline.native.build import PROCESSOR_FILE, system_and_processor

        texts = {PROCESSOR_FILE: system_and_processor()}
        archive = partial(pack_code, cache_folder(), [], texts, folders=[job])
        return ClusterEngine(config, work, KERNELS, archive, THRIFTY_ENVIRONMENT)
    if asks_for_spark(config):
        from pipeline.engines.spark import SparkEngine

        return SparkEngine(config, work, config.PREPROCESSING_WORKERS, KERNELS, environment=THRIFTY_ENVIRONMENT)
    return LocalEngine(config.PREPROCESSING_WORKERS, KERNELS, environment=THRIFTY_ENVIRONMENT)


class Run:
    """One run of a job, between its beginning and its publication.

    ``before``: the version that the output shows. ``known``: the same, or None where everything is made again.
    ``day``: of the as-of, where the job publishes by day; otherwise empty. ``rejects``: by table, the files of the rows
    that checks rejected. ``changes``: by input, since ``known``. ``notes``: what people should know of the sources.
    ``skipped``: files that lie beside those of the sources and are none.
    """

    def __init__(
        self, job: Job, config: Config, options: JobOptions, watch: Watch, output: Output, locks: Sequence[AnyLock],
        resources: ExitStack,
    ) -> None:  # fmt: skip
        settings = job.with_settings(options.settings)
        job = job.named(options.names)
        self.job, self.options, self.watch = job.under(settings), options, watch
        self.output, self._locks = output, locks
        self.config, self._resources = config, resources
        self.bronze = bronze_folder(output.link)
        make_own(self.bronze, "--output", 0o700)
        self.bronze.chmod(0o700)
        catch_up(output, self.bronze)
        self.before = read_state(output)
        self.known = None if options.full_refresh else self.before
        protections = find_protections(job, options.personal, config.PSEUDONYM_KEY_FILE, key_file(self.bronze))
        self.folder = output.begin(watch.run_id)
        resources.callback(output.discard)
        self.work = self.folder / "work"
        self.work.mkdir(mode=0o700)
        as_of = options.as_of or datetime.now(UTC).replace(tzinfo=None)
        self.day = as_of.date().isoformat() if job.daily else ""
        self.common_settings = {name: settings[name] for name in COMMON_SETTINGS}
        self.context = JobContext(
            str(job.folder), watch.run_id, as_of, job.own(settings), str(self.work), protections, dict(options.names)
        )
        self.wanted = self.job.needed(options.only)
        self._check_day()
        self.memory = Memory(config.MEMORY_LIMIT, config.PREPROCESSING_WORKERS)
        self.direct = DirectEngine()
        watch.follow(self.direct)
        self._pool: Engine | None = None
        self.uses_spark = asks_for_spark(config) is not None
        self.sources: dict[str, SourceState] = {}
        self.tables: dict[str, TableState] = {}
        self.changes: dict[str, Change] = {}
        self.rejects: dict[str, list[str]] = {}
        self.notes = _unused_names(options)
        self.skipped: tuple[str, ...] = ()
        self.scattered: dict[tuple[str, tuple[str, ...], int], TableFiles] = {}

    def _check_day(self) -> None:
        """Raise ConfigError where a table that is not made would be published under a day that it is not of."""
        if self.before is None or not self.day or self.before.day == self.day:
            return
        left = [
            one for name, one in self.job.datasets.items() if name in self.before.tables and name not in self.wanted
        ]
        moved = [one.name for one in left if one.place(self.day) != one.place(self.before.day)]
        if moved:
            raise ConfigError(
                f"this run would publish {self.day} with tables of {self.before.day}: {', '.join(moved)}. Omit --only, "
                f"or give an --as-of of {self.before.day}."
            )

    def confirm_locks(self) -> None:
        """Raise EnvironmentFault where this run no longer holds its output."""
        for lock in self._locks:
            lock.confirm()

    def threads(self, number: int) -> Engine:
        """This process, as an engine that does so many tasks at once."""
        if number == 1:
            return self.direct
        engine = DirectEngine(number)
        self.watch.follow(engine)
        return engine

    @property
    def engine(self) -> Engine:
        """The engine of several buckets, which starts when it is first used: Spark, or workers."""
        if self._pool is None:
            self._pool = self._resources.enter_context(open_engine(self.config, self.work, self.job.folder))
            self.watch.follow(self._pool)
            if self.uses_spark:
                self._ask_for_capacity(self._pool)
        return self._pool

    def _ask_for_capacity(self, pool: Engine) -> None:
        """Let sizes be those of a cluster, where the engine is one."""
        from pipeline.engines.cluster import ClusterEngine

        if isinstance(pool, ClusterEngine):
            found = pool.capacity()
            self.memory = Memory(self.config.MEMORY_LIMIT, found.cores, found.core_bytes)

    def files(self, name: str, columns: tuple[str, ...] = ()) -> TableFiles:
        """The files of a source or table as they are now."""
        if name in self.job.sources:
            return TableFiles(self.sources[name].paths(self.bronze), columns)
        return TableFiles(self.tables[name].paths(self.table_folder(name)), columns)

    def table_folder(self, name: str) -> Path:
        """The folder of a table of this run."""
        return self.folder / "data" / self.job.datasets[name].place(self.day)

    def changed_in(self, name: str) -> str:
        """The run that changed an input last."""
        return (self.sources[name] if name in self.job.sources else self.tables[name]).changed_in


def _unused_names(options: JobOptions) -> list[str]:
    """A sentence where a source that is read from files has the name of a table."""
    tables = [f"names.{name}" for name in options.names if "." not in name]
    if not tables or is_database(options.source):
        return []
    is_name = "is the name of a table" if len(tables) == 1 else "are names of tables"
    return [f"{', '.join(tables)} {is_name}: files of --source are found as the job declares them"]
