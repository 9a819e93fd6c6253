"""A Spark cluster for the tests: its executors see neither this checkout nor the user's cache, as on other machines.

Workers run in a mount namespace of their own, where empty folders hide both. They have the same Python at another
path. Input, intermediate files and output lie in a folder that all see, as on NFS.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.machine import PROJECT, cache_folder
from scripts import cluster as scripted
from tests.end_to_end.program import environment
from tests.networks import Network

WORKERS = 2
CORES = 1
"""Of each worker."""

_SETTINGS = {
    "SPARK_EXECUTORS": str(WORKERS),
    "SPARK_EXECUTOR_CORES": str(CORES),
    "SPARK_EXECUTOR_MEMORY": "512MiB",
    "SPARK_PYTHON_MEMORY": "600MB",
    "SPARK_DRIVER_MEMORY": "512MiB",
}


_SPARK = {
    "spark.history.fs.update.interval": "1s",
    # On a crowded machine nobody is taken for dead because he is slow.
    "spark.network.timeout": "600s",
    "spark.worker.timeout": "600",
}


@dataclass(frozen=True)
class IsolatedCluster:
    """A cluster that runs; ``python``: the program by which executors run Python; ``around``: by worker, the command
    that runs its command; ``network``: where workers have one that can be cut."""

    running: scripted.Cluster
    python: str
    spark_home: Path
    around: tuple[tuple[str, ...], ...]
    network: Network | None = None

    def settings(self) -> dict[str, str]:
        """Settings of a run on this cluster, by name."""
        return {"SPARK_MASTER": self.running.master, "SPARK_EXECUTOR_PYTHON": self.python, **_SETTINGS}

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a program that runs on this cluster."""
        return environment(**self.settings(), **more) | {"SPARK_CONF_DIR": self.running.conf}

    def processes(self, what: str) -> list[psutil.Process]:
        """The processes of workers, executors or their Python workers whose command has the text ``what``."""
        found = []
        for number in range(1, WORKERS + 1):
            try:
                family = psutil.Process(self.running.pids[f"worker-{number}"])
                found += [child for child in [family, *family.children(recursive=True)] if what in _command(child)]
            except psutil.Error:
                continue
        return found

    def restart_worker(self, number: int) -> None:
        """Start a worker again that a test has killed."""
        host = self.network.address(number) if self.network else scripted.HOST
        pid = scripted.start_worker(
            self.running, number, CORES, "1g", self.spark_home, self.around[number - 1], host
        )  # fmt: skip
        self.running.pids[f"worker-{number}"] = pid

    def mend(self) -> None:
        """Start the workers again that have died."""
        for name, pid in list(self.running.pids.items()):
            if name.startswith("worker-") and not _runs(pid):
                self.restart_worker(int(name.removeprefix("worker-")))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def can_hide() -> bool:
    """Whether this user may hide folders from a process."""
    try:
        return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def open_cluster(folder: Path, network: Network | None = None, **spark: str) -> Iterator[IsolatedCluster]:
    """Start a cluster with its files in ``folder``, for the block, each worker on a machine of ``network`` if there is
    one. ``spark``: its settings, with _ for dots."""
    environment_folder = Path(sys.prefix).resolve()
    python, empty = folder / "python", folder / "empty"
    for made in (python, empty, cache_folder()):
        made.mkdir(parents=True, exist_ok=True)
    hidden = [str(PROJECT), str(cache_folder())]
    if PROJECT not in environment_folder.parents:
        hidden.append(str(environment_folder))
    binds = [
        f"mount --bind '{environment_folder}' '{python}'",
        *(f"mount --bind '{empty}' '{path}'" for path in hidden),
    ]
    hide = ("unshare", "-m", "sh", "-c", f'{" && ".join(binds)} && cd / && exec "$@"', "sh")
    around = tuple((*(network.around(number) if network else ()), *hide) for number in range(1, WORKERS + 1))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    spark_home = python / "lib" / version / "site-packages" / "pyspark"
    running = scripted.start(
        folder / "cluster", workers=WORKERS, cores=CORES, memory="1g", spark_home=spark_home, around=around,
        settings=_SPARK | {f"spark.{name.replace('_', '.')}": value for name, value in spark.items()},
        hosts=[network.address(number) for number in range(WORKERS + 1)] if network else (),
    )  # fmt: skip
    try:
        yield IsolatedCluster(running, str(python / "bin" / "python"), spark_home, around, network)
    finally:
        scripted.stop(running)
