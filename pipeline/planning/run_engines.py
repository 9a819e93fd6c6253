"""Who runs the kernels of a run: a pool of processes, with Spark on this machine for Phase 2, or a cluster for both."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from config import Config
from pipeline import KERNEL_MODULES
from pipeline.engines import Engine
from pipeline.engines.capacity import Capacity
from pipeline.engines.choose import EngineChoice
from pipeline.engines.cluster import ClusterEngine
from pipeline.engines.code_archive import pack_code
from pipeline.engines.jvm import Jvm
from pipeline.engines.local import LocalEngine
from pipeline.engines.spark import SparkEngine
from pipeline.engines.workers import Workers
from pipeline.geo.table import GeoTable
from pipeline.machine import PROJECT, cache_folder
from pipeline.native.build import PROCESSOR_FILE, portable_libraries, system_and_processor
from pipeline.planning.planner import choose_workers
from pipeline.planning.run_settings import Library
from pipeline.staging import Exchange
from pipeline.timing import Watch


class RunEngines:
    """The engines of one run, which end with ``resources``.

    ``pool`` is there from the beginning, and has ``started`` processes where these are as many as it needs. Spark, if
    ``choice`` has it, keeps its files in ``folder``; ``jvm``: one that was launched for it before. ``watch`` counts the
    tasks of all engines.
    """

    def __init__(
        self,
        config: Config,
        choice: EngineChoice,
        folder: Path,
        resources: ExitStack,
        watch: Watch,
        started: Workers | None,
        jvm: Jvm | None,
    ) -> None:
        self._config, self._choice, self._folder, self._jvm = config, choice, folder, jvm
        self._resources, self._watch = resources, watch
        self._spark: SparkEngine | None = None
        self._cluster: ClusterEngine | None = None
        workers = choose_workers(config, spark=choice.spark)
        self.pool = self._resources.enter_context(LocalEngine(workers, KERNEL_MODULES, started))
        watch.follow(self.pool)

    def join_cluster(self, geo: GeoTable, library: Library, exchange: Exchange | None = None) -> None:
        """Have a cluster, if one was chosen, begin to start executors with the program, ``geo`` and ``library``.

        ``exchange``: where executors that share no disk exchange their files.
        """
        if self._choice.cluster:
            archive = _program_archive(geo, library)
            self._cluster = ClusterEngine(
                self._config, self._folder, KERNEL_MODULES, archive, exchange=exchange, jvm=self._jvm
            )
            self._spark = self._resources.enter_context(self._cluster)
            self._watch.follow(self._cluster)

    def capacity(self) -> Capacity | None:
        """What the executors of a cluster have, when they are there; None without a cluster."""
        if not self._cluster:
            return None
        with self._watch.starting():
            return self._cluster.capacity()

    def start_spark(self, workers: int) -> None:
        """Start Spark on this machine, if it was chosen, beside what follows. ``workers``: tasks at once."""
        if self._choice.spark and not self._cluster:
            self._spark = SparkEngine(self._config, self._folder, workers, KERNEL_MODULES, self._jvm)
            self._resources.enter_context(self._spark)

    @property
    def reading(self) -> Engine:
        """The engine of Phase 1."""
        return self._cluster or self.pool

    def adding_up(self) -> Engine:
        """The engine of Phase 2 and publication. Where it is Spark, the pool ends: its memory is Spark's now."""
        if self._spark is None:
            return self.pool
        self.pool.close()
        if not self._cluster:
            self._watch.follow(self._spark)
        return self._spark


def _program_archive(geo: GeoTable, library: Library) -> Callable[[], Path]:
    """Makes the archive of the program for executors, with geo table and libraries, and returns its path; raises
    OSError."""
    portable = portable_libraries(cache_folder()) if library.path else []
    found = [library.path, *portable, Path(geo.source.prepared), Path(geo.source.compiled)]
    shipped = [path for path in found if path and path.exists() and PROJECT not in path.parents]
    return partial(pack_code, cache_folder(), shipped, {PROCESSOR_FILE: system_and_processor()})
