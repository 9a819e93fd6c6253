"""The Spark cluster of the contenders that run on one: as many cores as others have threads, as processes of this
machine. Nobody waits for its start, because a cluster is there before a job."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.peers import MASTER_VARIABLE, THREADS
from scripts import cluster as scripted

_HEAP = "4g"
"""Of each executor, as PySpark needs it for these inputs. Logmill's kernels use memory outside of the heap."""

CLUSTER_NOTE = (
    f"on a cluster: a master and {THREADS} workers with one core each, processes of this machine that were there "
    "before the runs; each run starts its driver and executors; memory counts that of master and workers, too"
)


@dataclass(frozen=True)
class BenchCluster:
    """``variables``: by which contenders find it; ``processes``: the numbers of its master and workers."""

    variables: Mapping[str, str]
    processes: Sequence[int]


NO_CLUSTER = BenchCluster({}, ())


@contextmanager
def cluster_for(contenders: Sequence[Contender], folder: Path) -> Iterator[BenchCluster]:
    """A cluster with its files below ``folder`` for the block, if one of the contenders runs on one. Raises
    RuntimeError where it does not start."""
    if not any(contender.on_cluster for contender in contenders):
        yield NO_CLUSTER
        return
    running = scripted.start(folder.absolute() / "cluster", workers=THREADS, cores=1, memory=_HEAP)
    try:
        variables = {
            "SPARK_CONF_DIR": running.conf,
            MASTER_VARIABLE: running.master,
            "LOGMILL_SPARK_MASTER": running.master,
            "LOGMILL_SPARK_EXECUTORS": str(THREADS),
            "LOGMILL_SPARK_EXECUTOR_CORES": "1",
        }
        yield BenchCluster(variables, [pid for name, pid in running.pids.items() if name != "history"])
    finally:
        scripted.stop(running)
