"""Spark's settings for a session: on this machine, or on a cluster, whose own settings files count as well."""

import importlib.util
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from config import SparkSettings
from pipeline.engines.spark_defaults import conf_folder, spark_defaults
from pipeline.engines.workers import WORKER_ENVIRONMENT
from pipeline.errors import EnvironmentFault, install_command
from pipeline.machine import PROJECT

_HEAP_RESERVED = 300 * 2**20
_HEAP_PER_SQL_TASK = 150 * 2**20
"""Bytes of the heap: for Spark itself, and for each task of the SQL plan that runs at once."""

_LONGEST_SOCKET_FOLDER = 100 - len(".01234567-0123-0123-0123-0123456789ab.sock")
"""Bytes of a folder's path, so that a socket in it has a path of at most 100 bytes: systems allow little more."""

_STEADY = "-XX:+UseSerialGC -XX:-UsePerfData"
"""One thread collects garbage: on a small heap this took about 10 % less memory than several."""

QUICK_START = f"-XX:TieredStopAtLevel=1 {_STEADY}"
"""For the kernel plan, which needs a JVM that starts soon. The SQL plan needs one that compiles well."""

_EXECUTOR_OPTIONS = "spark.executor.defaultJavaOptions"
_QUICK_EXECUTOR = "-XX:TieredStopAtLevel=1 -XX:-UsePerfData"
"""The same for executors, without a garbage collector: a JVM refuses two, and ``extraJavaOptions`` may name one."""


def settings(
    config: SparkSettings, workers: int, scratch: Path, environment: Mapping[str, str] = WORKER_ENVIRONMENT
) -> dict[str, str]:
    """Spark's settings for a run with ``workers`` tasks at once. Spark's temporary files go below ``scratch``.
    ``environment``: variables of the Python workers."""
    sql = config.SPARK_PLAN == "sql"
    if sql:
        # Each task sorts and hashes in its share of the heap; with too small a share it spills all the time.
        workers = min(workers, max(1, (config.SPARK_DRIVER_MEMORY - _HEAP_RESERVED) // _HEAP_PER_SQL_TASK))
    chosen = {
        "spark.app.name": "logmill",
        "spark.master": config.SPARK_MASTER or f"local[{workers}]",
        "spark.submit.deployMode": "client",
        "spark.driver.memory": f"{config.SPARK_DRIVER_MEMORY // 2**20}m",
        "spark.executor.memory": f"{config.SPARK_EXECUTOR_MEMORY // 2**20}m",
        "spark.driver.extraJavaOptions": " ".join(java_options(config)[1:]),
        "spark.ui.enabled": str(config.SPARK_UI).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch),
        "spark.python.worker.reuse": "true",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.adaptive.enabled": "false",  # the plan states its partitions
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
    }
    for name, value in environment.items():
        chosen[f"spark.executorEnv.{name}"] = value
    chosen["spark.python.daemon.module"] = "pipeline.engines.spark_daemon"
    sockets = str(scratch.absolute())
    if hasattr(socket, "AF_UNIX") and len(os.fsencode(sockets)) < _LONGEST_SOCKET_FOLDER:
        # For the JVM and its Python workers: over TCP every task waits 40 ms for an acknowledgement.
        chosen["spark.python.unix.domain.socket.enabled"] = "true"
        chosen["spark.python.unix.domain.socket.dir"] = sockets  # on executors the daemon chooses another folder
    if not config.spark_is_local:
        return chosen | _cluster_settings(config)
    return chosen | {
        "spark.executorEnv.PYTHONPATH": str(PROJECT),
        "spark.task.maxFailures": "1",  # a kernel that changes a file must not run twice
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }


CODE = "code"
"""The folder of the program below the folder of an executor."""

_USUAL_EXECUTORS = 2
"""Executors on YARN and Kubernetes, which start as many as are asked for."""


def _cluster_settings(config: SparkSettings) -> dict[str, str]:
    """What executors on other machines need: the program in their own folder, memory for Python, and further tries."""
    cores, executors = config.SPARK_EXECUTOR_CORES, config.SPARK_EXECUTORS
    # YARN and Kubernetes end a container that takes more than was asked for: heap, a tenth more for the JVM, Python.
    overhead = max(384 * 2**20, config.SPARK_EXECUTOR_MEMORY // 10) + config.SPARK_PYTHON_MEMORY
    chosen = {
        "spark.executor.cores": str(cores),
        "spark.executor.memoryOverhead": f"{overhead // 2**20}m",
        "spark.executor.instances": str(executors or _USUAL_EXECUTORS),
        "spark.dynamicAllocation.enabled": "false",  # sizes are chosen for the executors that came at the start
        "spark.task.maxFailures": "4",
        "spark.speculation": "false",
        "spark.executorEnv.PYTHONPATH": CODE,
        "spark.executorEnv.HOME": ".",
    }
    named = spark_defaults(conf_folder(home_of_cluster())), os.environ.get("PYSPARK_SUBMIT_ARGS", "")
    if config.SPARK_PLAN != "sql" and not any(_EXECUTOR_OPTIONS in names for names in named):
        chosen[_EXECUTOR_OPTIONS] = _QUICK_EXECUTOR
    return chosen | ({"spark.cores.max": str(executors * cores)} if executors else {})


def java_options(config: SparkSettings) -> list[str]:
    """The options of the driver's JVM. The first one sets the heap."""
    chosen = _STEADY if config.SPARK_PLAN == "sql" else QUICK_START
    return [f"-Xmx{config.SPARK_DRIVER_MEMORY // 2**20}m", *chosen.split(), "-XX:MaxDirectMemorySize=256m"]


def home_of_cluster() -> str:
    """The folder of the Spark that the driver of a cluster's session runs: of pyspark, unless the user names one."""
    return os.environ.get("SPARK_HOME") or spark_home()


def spark_home() -> str:
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        install = install_command("requirements.txt")
        raise EnvironmentFault(f"pyspark is not installed. Run: {install}, or use --engine polars.")
    return str(Path(spec.origin).parent)
