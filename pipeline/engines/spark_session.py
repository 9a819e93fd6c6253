"""The driver of a Spark session: its settings, its start, its log, and its end, which leaves nothing behind."""

import importlib.util
import logging
import os
import re
import shutil
import socket
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from config import SparkSettings
from pipeline.engines.java import find_java
from pipeline.engines.jvm import Jvm, launch
from pipeline.engines.workers import WORKER_ENVIRONMENT, variables_set
from pipeline.errors import EnvironmentFault, install_command
from pipeline.machine import PROJECT, cache_folder, writing

if TYPE_CHECKING:
    from pyspark import SparkConf, SparkContext


_HEAP_RESERVED = 300 * 2**20
_HEAP_PER_SQL_TASK = 150 * 2**20
"""Bytes of the heap: for Spark itself, and for each task of the SQL plan that runs at once."""

_EXCEPTION = re.compile(r"\b[a-z]\w*(?:\.\w+)*\.(\w+(?:Exception|Error))\b")
"""The class of an exception of Java in a stack trace, with its package."""

_TAIL_LINES = 12
"""Lines of Spark's log in an error message."""

_LONGEST_SOCKET_FOLDER = 100 - len(".01234567-0123-0123-0123-0123456789ab.sock")
"""Bytes of a folder's path, so that a socket in it has a path of at most 100 bytes: systems allow little more."""

_STOP_SECONDS = 10.0
"""Processes of a Spark that stops in good order are killed when they have not ended by then."""

_STEADY = "-XX:+UseSerialGC -XX:-UsePerfData"
"""One thread collects garbage: on a small heap this took about 10 % less memory than several."""

_QUICK_START = f"-XX:TieredStopAtLevel=1 {_STEADY}"
"""For the kernel plan, which needs a JVM that starts soon. The SQL plan needs one that compiles well."""

_LOG_SETTINGS = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
"""


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
    if not config.spark_is_local:
        return chosen | _cluster_settings(config)
    chosen |= {
        "spark.executorEnv.PYTHONPATH": str(PROJECT),
        "spark.task.maxFailures": "1",  # a kernel that changes a file must not run twice
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.python.daemon.module": "pipeline.engines.spark_daemon",
    }
    sockets = str(scratch.absolute())
    if hasattr(socket, "AF_UNIX") and len(os.fsencode(sockets)) < _LONGEST_SOCKET_FOLDER:
        # For the JVM and its Python workers: over TCP every task waits 40 ms for an acknowledgement.
        chosen["spark.python.unix.domain.socket.enabled"] = "true"
        chosen["spark.python.unix.domain.socket.dir"] = sockets
    return chosen


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
    return chosen | ({"spark.cores.max": str(executors * cores)} if executors else {})


def java_options(config: SparkSettings) -> list[str]:
    """The options of the driver's JVM. The first one sets the heap."""
    chosen = _STEADY if config.SPARK_PLAN == "sql" else _QUICK_START
    return [f"-Xmx{config.SPARK_DRIVER_MEMORY // 2**20}m", *chosen.split(), "-XX:MaxDirectMemorySize=256m"]


def ignore_pandas() -> None:
    """Hide pyspark's warning about the version of an installed pandas, which this program does not use."""
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)


def launch_jvm(config: SparkSettings, scratch: Path, log: Path) -> Jvm:
    """Launch the JVM of a Spark on this machine, without waiting for it. Its files lie in the folder ``scratch``.

    Raises EnvironmentFault where there is no Java or pyspark, OSError where the folder or the program is unusable.
    """
    java = find_java(cache_folder() / "java.json").path
    if java is None:
        raise EnvironmentFault("no Java was found")
    with writing(scratch / "log4j2.properties"):
        (scratch / "log4j2.properties").write_text(_LOG_SETTINGS, encoding="utf-8")
    with variables_set(driver_environment(config, scratch)):
        return launch(java, _spark_home(), java_options(config), scratch, log, cache_folder())


def driver_environment(config: SparkSettings, scratch: Path) -> dict[str, str]:
    """The environment of driver and launcher, and so of their workers."""
    python = sys.executable if config.spark_is_local else config.SPARK_EXECUTOR_PYTHON or sys.executable
    environment = {"PYSPARK_PYTHON": python, "SPARK_LAUNCHER_OPTS": _QUICK_START}
    if config.spark_is_local:  # the settings of another Spark on this machine must not change a run
        environment |= {"SPARK_HOME": _spark_home(), "SPARK_CONF_DIR": str(scratch), "SPARK_LOCAL_IP": "127.0.0.1"}
    return environment


class SparkDriver:
    """One JVM with a SparkContext, for ``workers`` tasks at once. Its files lie in ``root``: ``spark.log``, and the
    folder ``spark``, which goes at the end. ``jvm``: one that was launched with the same settings before.

    ``start`` and ``stop`` may be called from different threads. ``stop`` makes a start that is under way fail.
    """

    def __init__(
        self,
        config: SparkSettings,
        workers: int,
        root: Path,
        jvm: Jvm | None = None,
        environment: Mapping[str, str] = WORKER_ENVIRONMENT,
    ) -> None:
        self.log = root / "spark.log"
        self.context: SparkContext | None = None
        self._scratch = root / "spark"
        self._scratch.mkdir(mode=0o700)
        self._config = config
        self._settings = settings(config, workers, self._scratch, environment)
        self._is_local = config.spark_is_local
        self._early = self._jvm = jvm
        self._gateway: Any = None  # of py4j, which has no types
        os.environ.update(driver_environment(config, self._scratch))  # pyspark gives them to its launcher and workers

    def start(self, archive: Path | None = None) -> "SparkContext":
        """Start the JVM and the context. ``archive``: the program, for executors that do not see it.

        Raises EnvironmentFault, with the end of the log, where that fails.
        """
        ignore_pandas()
        from pyspark import SparkConf, SparkContext, java_gateway

        chosen = self._settings | ({"spark.archives": f"{archive}#{CODE}"} if archive else {})
        conf = SparkConf(loadDefaults=False).setAll(list(chosen.items()))
        try:
            if self._is_local:
                self._gateway = self._launch_local(conf)
            else:
                with self.log.open("wb") as stream:
                    launch_gateway: Callable[..., Any] = java_gateway.launch_gateway
                    self._gateway = launch_gateway(conf, {"stdout": stream, "stderr": stream})
            self.context = SparkContext(conf=conf, gateway=self._gateway)
            # When the JVM dies, the run's own message says so; each of the two would print a traceback besides.
            setattr(self.context._accumulatorServer, "handle_error", lambda *_: None)  # noqa: B010 - a method for mypy
            logging.getLogger().addHandler(logging.NullHandler())  # py4j logs to the root, which prints without one
        except Exception as fault:
            raise self.fault("Spark did not start", fault) from fault
        return self.context

    def _launch_local(self, conf: "SparkConf") -> Any:
        from pyspark import java_gateway

        self._jvm = self._early or launch_jvm(self._config, self._scratch, self.log)
        port, secret = self._jvm.wait_for_address()
        address = {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret}
        connect: Callable[..., Any] = java_gateway.launch_gateway
        with variables_set(address):
            gateway = connect(conf)
        gateway.proc = self._jvm.process
        return gateway

    def fault(self, what: str, cause: Exception, *, of_records: bool = False) -> EnvironmentFault:
        """Make an error with the cause, which says what to do. ``what``: what went wrong.

        It ends with the end of Spark's log; not so ``of_records``, where Spark worked on records: there exceptions are
        only named, because their texts may quote values, and logs keep messages.
        """
        text = text_of(cause)
        lines = text.strip().splitlines()
        if of_records:
            named = dict.fromkeys(_EXCEPTION.findall(text))
            reason, rest = ", ".join([type(cause).__name__, *named][:6]), f"Spark's own log is {self.log}."
        else:
            reason = next((line for line in reversed(lines[:8]) if ": " in line), lines[0] if lines else "")[:300]
            reason, rest = f"{type(cause).__name__}: {reason}", f"The end of {self.log}:\n{self._tail()}"
        return EnvironmentFault(
            f"{what} ({reason}). Nothing was published. Check memory and disk, raise SPARK_DRIVER_MEMORY, or use "
            f"--engine polars, and run again. {rest}"
        )

    def _tail(self) -> str:
        try:
            log = self._jvm.log if self._jvm else self.log
            with log.open(encoding="utf-8", errors="replace") as stream:
                return "".join(line[:300].rstrip("\n") + "\n" for line in deque(stream, _TAIL_LINES)).rstrip()
        except OSError:
            return "(no log)"

    @property
    def launched(self) -> bool:
        """Whether there is a JVM that ``stop`` can end."""
        return self._jvm is not None or self._gateway is not None

    def stop(self, *, at_once: bool = False) -> None:
        """End the JVM and all of its Python workers, even where the JVM no longer answers.

        They are killed if ``at_once``, and wherever Spark runs inside this JVM: it has nothing left to do then, and to
        stop in good order would take a second.
        """
        process = self._jvm.process if self._jvm else self._gateway.proc if self._gateway else None
        if process is None:
            return
        family = _family(process.pid)
        if self._jvm and not at_once:
            self._jvm.finish_archive()
        if at_once or self._is_local:
            for member in family:
                _kill(member)
            _close_input(process)
        else:
            self._stop_in_good_order(process, family)
        process.wait()
        self._keep_log()
        self._forget()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _keep_log(self) -> None:
        """Keep the log of a JVM that was launched before the run had a folder, where messages name it."""
        if self._jvm and self._jvm.log != self.log:
            with suppress(OSError):
                shutil.copyfile(self._jvm.log, self.log)

    def _stop_in_good_order(self, process: Any, family: Sequence[psutil.Process]) -> None:
        if process.poll() is None:
            try:
                self._end_jobs()
            except Exception:
                process.kill()  # it does not answer
        _close_input(process)
        _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
        for member in alive:
            _kill(member)

    def _end_jobs(self) -> None:
        if self.context is not None:
            self.context.cancelAllJobs()
            self.context.stop()
        self._gateway.shutdown()

    def _forget(self) -> None:
        """Drop what belongs to the JVM, in pyspark, too: its next context would use a JVM that has ended."""
        from pyspark import SparkContext

        if self.context is not None and self.context._accumulatorServer is not None:
            # On a thread, because it takes up to half a second, for which nothing need wait.
            threading.Thread(target=self.context._accumulatorServer.shutdown, daemon=True).start()
        SparkContext._gateway = SparkContext._jvm = None
        SparkContext._active_spark_context = None
        self.context = self._gateway = self._jvm = None


def text_of(fault: Exception) -> str:
    """The text of an exception: that of py4j asks the JVM for it, which may have died."""
    try:
        return str(fault)
    except Exception as unanswered:
        return f"the JVM does not answer: {type(unanswered).__name__}"


def _spark_home() -> str:
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        install = install_command("requirements.txt")
        raise EnvironmentFault(f"pyspark is not installed. Run: {install}, or use --engine polars.")
    return str(Path(spec.origin).parent)


def _close_input(process: Any) -> None:
    """The JVM ends when it reads the end of its standard input."""
    if process.stdin:
        process.stdin.close()


def _family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started; none where it has ended."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
