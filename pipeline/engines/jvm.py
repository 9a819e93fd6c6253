"""The driver JVM of a Spark on this machine, started directly and with a class-data-sharing archive.

Spark's own launcher starts one JVM only to compute the command line of the next. An archive holds Spark's classes as
the JVM has them in memory; reading it takes a second less than loading and verifying them (docs/decisions/012).
"""

import hashlib
import os
import struct
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pipeline.errors import EnvironmentFault

_START_SECONDS = 60.0
_ARCHIVE_SECONDS = 60.0
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
"""What Spark 4.3's launcher gives every JVM (JavaModuleOptions)."""


@dataclass(frozen=True)
class Jvm:
    """A running driver JVM: where py4j finds it, and the archive that it writes when it ends, if it does."""

    process: "subprocess.Popen[bytes]"
    port: int
    secret: str
    archive: Path | None

    def finish_archive(self) -> None:
        """Let the JVM end by itself, if it is to write an archive, and keep that; it takes some seconds, once."""
        if self.archive is None or self.process.stdin is None:
            return
        partial = _partial(self.archive)
        self.process.stdin.close()  # its end is the JVM's sign to go
        with suppress(subprocess.TimeoutExpired, OSError):
            self.process.wait(_ARCHIVE_SECONDS)
            partial.replace(self.archive)
        partial.unlink(missing_ok=True)


def launch(java: str, spark_home: str, options: list[str], scratch: Path, log: Path, cache_dir: Path) -> Jvm:
    """Start a JVM that waits for py4j. Raises EnvironmentFault where it ends or does not answer.

    ``scratch`` has its log4j2.properties; ``cache_dir`` the archive of this Java and Spark, or it is written there.
    """
    archive = cache_dir / f"spark-{_identity(java, spark_home, options)}.jsa"
    written = None if archive.exists() or not _is_writable(cache_dir) else archive
    sharing = f"-XX:ArchiveClassesAtExit={_partial(archive)}" if written else f"-XX:SharedArchiveFile={archive}"
    answer = scratch / "connection"
    command = [
        java,
        *options,
        sharing,  # an archive that does not fit is ignored by the JVM
        *_MODULE_OPTIONS,
        f"-Dlog4j2.configurationFile={(scratch / 'log4j2.properties').absolute().as_uri()}",
        "-cp",
        f"{spark_home}/jars/*",
        "org.apache.spark.api.python.PythonGatewayServer",
    ]
    environment = {**os.environ, "_PYSPARK_DRIVER_CONN_INFO_PATH": str(answer)}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )
    deadline = time.monotonic() + _START_SECONDS
    while not answer.exists():  # it is renamed there when it is whole
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise EnvironmentFault("the JVM ended before it answered")
        time.sleep(_POLL_SECONDS)
    content = answer.read_bytes()
    port, length = struct.unpack(">ii", content[:8])
    return Jvm(process, port, content[8 : 8 + length].decode(), written)


def _identity(java: str, spark_home: str, options: list[str]) -> str:
    program = Path(java).resolve()
    decides = [version("pyspark"), spark_home, str(program), str(program.stat().st_mtime_ns), *options]
    return hashlib.sha256("\n".join(decides).encode()).hexdigest()[:32]


def _partial(archive: Path) -> Path:
    return archive.with_suffix(f".{os.getpid()}.partial")


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
