"""The driver of a Spark session: its start, its log, and its end, which leaves nothing behind."""

import logging
import os
import re
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from config import SparkSettings
from pipeline.engines.java import find_java
from pipeline.engines.jvm import Jvm, launch
from pipeline.engines.master import session_fault
from pipeline.engines.spark_defaults import conf_folder, needs_launcher
from pipeline.engines.spark_settings import CODE, QUICK_START, home_of_cluster, java_options, settings, spark_home
from pipeline.engines.workers import WORKER_ENVIRONMENT, variables_set
from pipeline.errors import EnvironmentFault
from pipeline.machine import cache_folder, writing

if TYPE_CHECKING:
    from pyspark import SparkConf, SparkContext


_EXCEPTION = re.compile(r"\b[a-z]\w*(?:\.\w+)*\.(\w+(?:Exception|Error))\b")
"""The class of an exception of Java in a stack trace, with its package."""

_TAIL_LINES = 12
"""Lines of Spark's log in an error message."""

_STOP_SECONDS = 10.0
"""Processes of a Spark that stops in good order are killed when they have not ended by then."""

_GATEWAY = ("org.apache.spark.api.python.PythonGatewayServer",)
_SUBMIT = "org.apache.spark.deploy.SparkSubmit"
"""What the JVM runs: the second one reads Spark's settings files first, which may name another master."""

_LOG_SETTINGS = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
"""


def ignore_pandas() -> None:
    """Hide pyspark's warning about the version of an installed pandas, which this program does not use."""
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)


def launches_directly(config: SparkSettings) -> bool:
    """Whether ``launch_jvm`` starts the JVM of this Spark. Spark's own launcher does otherwise: it has more to obey for
    YARN and Kubernetes, and with some settings. Raises EnvironmentFault where there is no pyspark."""
    return config.spark_is_local or (
        config.SPARK_MASTER.startswith("spark://") and not needs_launcher(conf_folder(home_of_cluster()))
    )


def launch_jvm(config: SparkSettings, scratch: Path, log: Path) -> Jvm:
    """Launch the JVM of a session, without waiting for it. Its files lie in the folder ``scratch``.

    Raises EnvironmentFault where there is no Java or pyspark, OSError where the folder or the program is unusable.
    """
    java = find_java(cache_folder() / "java.json").path
    if java is None:
        raise EnvironmentFault("no Java was found")
    options, home = java_options(config), home_of_cluster()
    program: Sequence[str] = (_SUBMIT, "--master", config.SPARK_MASTER, "--deploy-mode", "client", "pyspark-shell")
    if config.spark_is_local:
        home, program = spark_home(), _GATEWAY
        log_settings = scratch / "log4j2.properties"
        with writing(log_settings):
            log_settings.write_text(_LOG_SETTINGS, encoding="utf-8")
        options = [*options, f"-Dlog4j2.configurationFile={log_settings.absolute().as_uri()}"]
    with variables_set({**driver_environment(config, scratch), "SPARK_HOME": home}):
        return launch(java, home, options, program, scratch, log, cache_folder())


def driver_environment(config: SparkSettings, scratch: Path) -> dict[str, str]:
    """The environment of driver and launcher, and so of their workers."""
    python = sys.executable if config.spark_is_local else config.SPARK_EXECUTOR_PYTHON or sys.executable
    environment = {"PYSPARK_PYTHON": python, "SPARK_LAUNCHER_OPTS": QUICK_START}
    if config.spark_is_local:  # the settings of another Spark on this machine must not change a run
        environment |= {"SPARK_HOME": spark_home(), "SPARK_CONF_DIR": str(scratch), "SPARK_LOCAL_IP": "127.0.0.1"}
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
            if self._early or launches_directly(self._config):
                self._gateway = self._launch_directly(conf)
            else:
                with self.log.open("wb") as stream:
                    launch_gateway: Callable[..., Any] = java_gateway.launch_gateway
                    self._gateway = launch_gateway(conf, {"stdout": stream, "stderr": stream})
            self.context = SparkContext(conf=conf, gateway=self._gateway)
            # When the JVM dies, the run's own message says so; each of the two would print a traceback besides.
            setattr(self.context._accumulatorServer, "handle_error", lambda *_: None)  # noqa: B010 - a method for mypy
            logging.getLogger().addHandler(logging.NullHandler())  # py4j logs to the root, which prints without one
        except Exception as fault:
            raise self.start_fault(fault) from fault
        return self.context

    def _launch_directly(self, conf: "SparkConf") -> Any:
        from pyspark import java_gateway

        self._jvm = self._early or launch_jvm(self._config, self._scratch, self.log)
        port, secret = self._jvm.wait_for_address()
        address = {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret}
        connect: Callable[..., Any] = java_gateway.launch_gateway
        with variables_set(address):
            gateway = connect(conf)
        gateway.proc = self._jvm.process
        return gateway

    def start_fault(self, cause: Exception) -> EnvironmentFault:
        """Make an error for a session that did not start: on a cluster, where the JVM lives, the master says why."""
        process = self._process
        if self._is_local or process is None or process.poll() is not None:
            return self.fault("Spark did not start", cause)
        return session_fault(text_of(cause), "\n".join(self._log_lines()), self._config, self.log)

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
        lines = [line for line in self._log_lines() if "[cds" not in line]  # of the archive of classes
        return "\n".join(line[:300] for line in lines[-_TAIL_LINES:]) or "(no log)"

    def _log_lines(self) -> list[str]:
        log = self._jvm.log if self._jvm else self.log
        try:
            return log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []

    @property
    def _process(self) -> Any:
        """The JVM's process; None where there is none."""
        return self._jvm.process if self._jvm else self._gateway.proc if self._gateway else None

    @property
    def launched(self) -> bool:
        """Whether there is a JVM that ``stop`` can end."""
        return self._jvm is not None or self._gateway is not None

    def stop(self, *, at_once: bool = False) -> None:
        """End the JVM and all of its Python workers, even where the JVM no longer answers.

        They are killed if ``at_once``, and wherever Spark runs inside this JVM: it has nothing left to do then, and to
        stop in good order would take a second.
        """
        process = self._process
        if process is None:
            return
        family = _family(process.pid)
        if self._is_local and self._jvm and not at_once:
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
        if self._jvm:
            self._jvm.finish_archive()
        _close_input(process)
        _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
        for member in alive:
            _kill(member)

    def _end_jobs(self) -> None:
        if self.context is not None:
            self.context.cancelAllJobs()
            self.context._jsc.stop()  # not the context's own, which waits up to a second for its server of accumulators
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
