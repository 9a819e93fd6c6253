"""Starts the driver JVM of a Spark session, directly and with a class-data-sharing archive.

Spark's own launcher starts one JVM only to compute the command line of the next. An archive holds Spark's classes in
the form that the JVM has in memory; reading it takes a second less than loading and verifying the classes
(docs/decisions/012).
"""

import hashlib
import os
import struct
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline.errors import EnvironmentFault

_START_SECONDS = 180.0
"""A JVM that has not answered by then is given up. On a crowded machine a start that takes 3 s took over a minute."""

_ARCHIVE_SECONDS = 180.0
"""A JVM that has not written its archive by then is ended without one."""

_POLL_SECONDS = 0.01
_OPENED = (
    *(f"java.base/java.{name}" for name in ("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "util")),
    *(f"java.base/java.util.{name}" for name in ("concurrent", "concurrent.atomic")),
    *(f"java.base/{name}" for name in ("jdk.internal.ref", "sun.nio.ch", "sun.nio.cs")),
    *(f"java.base/sun.{name}" for name in ("security.action", "util.calendar")),
    "java.security.jgss/sun.security.krb5",
)
_MODULE_OPTIONS = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    "--add-modules=jdk.incubator.vector",
    *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED),
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.type=pooled",
    "-Dio.netty.handler.ssl.defaultEndpointVerificationAlgorithm=NONE",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)
"""The options that Spark 4.3's launcher gives every JVM (its class JavaModuleOptions)."""


@dataclass(frozen=True)
class Jvm:
    """A driver JVM that starts or runs.

    ============  ==================================================================
    ``process``   its process, which ends when its standard input is closed
    ``answer``    the file in which it says where it listens
    ``log``       the file that gets its output
    ``archive``   the archive that it writes when it ends; None where it writes none
    ============  ==================================================================
    """

    process: "subprocess.Popen[bytes]"
    answer: Path
    log: Path
    archive: Path | None

    def wait_for_address(self) -> tuple[int, str]:
        """The port where py4j connects and the secret that it authenticates with, as soon as the JVM says them.

        PythonGatewayServer writes port and length of the secret (int32) and the secret, and renames the file to
        ``answer`` when it is complete. Raises EnvironmentFault where the JVM ends or does not answer.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self.answer.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                raise EnvironmentFault("the JVM ended before it answered")
            time.sleep(_POLL_SECONDS)
        data = self.answer.read_bytes()
        port, length = struct.unpack(">ii", data[:8])
        return port, data[8 : 8 + length].decode()

    def end(self) -> None:
        """Kill the JVM, close its input and wait, so that no zombie is left, nor the beginning of an archive."""
        self.process.kill()
        self.process.communicate()
        if self.archive:
            _partial(self.archive).unlink(missing_ok=True)

    def finish_archive(self) -> None:
        """Where the JVM writes an archive, let it end by itself, and keep the archive. It takes some seconds, once."""
        if self.archive is None or self.process.stdin is None:
            return
        partial = _partial(self.archive)
        self.process.stdin.close()  # the JVM ends when it reads the end of its input
        with suppress(subprocess.TimeoutExpired, OSError):
            self.process.wait(_ARCHIVE_SECONDS)
            partial.replace(self.archive)
        partial.unlink(missing_ok=True)


def launch(
    java: str, spark_home: str, options: list[str], program: Sequence[str], scratch: Path, log: Path, cache_dir: Path
) -> Jvm:
    """Start a JVM that will wait for py4j, without waiting for it. Raises OSError where the program does not start.

    ==============  ========================================================================================
    ``java``        the program
    ``spark_home``  the folder of pyspark, which has Spark's jars
    ``options``     further options of the JVM
    ``program``     the class that it runs, which must become Spark's gateway for Python, and its arguments
    ``scratch``     a folder for its files
    ``log``         gets the output of the JVM
    ``cache_dir``   has the archive of this Java, Spark and options; the JVM writes one where there is none
    ==============  ========================================================================================
    """
    archive = cache_dir / f"spark-{_identity(java, spark_home, options, program[0])}.jsa"
    written = archive if not archive.exists() and _is_writable(cache_dir) else None
    sharing = f"-XX:ArchiveClassesAtExit={_partial(archive)}" if written else f"-XX:SharedArchiveFile={archive}"
    if written:
        _remove_left(cache_dir)
    answer = scratch / "connection"
    command = [
        java,
        *options,
        sharing,  # an archive that does not fit is ignored by the JVM
        *_MODULE_OPTIONS,
        "-cp",
        f"{spark_home}/jars/*",
        *program,
    ]
    environment = {**os.environ, "_PYSPARK_DRIVER_CONN_INFO_PATH": str(answer)}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )
    return Jvm(process, answer, log, written)


def _identity(java: str, spark_home: str, options: list[str], main_class: str) -> str:
    """A hash of all that decides whether a JVM can use an archive, and of what it runs: -D matters to neither."""
    program = Path(java).resolve()
    kept = [option for option in options if not option.startswith("-D")]
    decides = [version("pyspark"), spark_home, str(program), str(program.stat().st_mtime_ns), *kept, main_class]
    return hashlib.sha256("\n".join(decides).encode()).hexdigest()[:32]


def _remove_left(cache_dir: Path) -> None:
    """Remove archives that programs began which have died meanwhile."""
    for path in cache_dir.glob("spark-*.partial"):
        import psutil  # late: most often there is none

        writer = path.name.split(".")[-2]
        if writer.isdecimal() and not psutil.pid_exists(int(writer)):
            path.unlink(missing_ok=True)


def _partial(archive: Path) -> Path:
    return archive.with_suffix(f".{os.getpid()}.partial")


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
