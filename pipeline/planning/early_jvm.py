"""Launches the JVM of a Spark session before the run has a folder, so that its start is hidden.

Test data is generated, and libraries are loaded, while the JVM starts. This module imports nothing heavy.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.engines.choose import choose_engine
from pipeline.engines.jvm import Jvm
from pipeline.engines.spark_session import launch_jvm, launches_directly
from pipeline.errors import LogmillError
from pipeline.reading.input_files import FoundInput, find_input


@dataclass(frozen=True)
class Early:
    """What was done before the run: ``jvm``, which starts, and ``found``, the input if its size decided about that."""

    jvm: Jvm | None = None
    found: FoundInput | None = None


NOTHING_EARLY = Early()


@contextmanager
def launched_early(config: Config, input_bytes: int | None = None) -> Iterator[Early]:
    """Have a JVM start while the block runs, where Spark will run Phase 2 and this program starts its JVM itself.

    ``input_bytes``: size of test data that will be made; without it, the input is listed where its size decides. The
    JVM's files lie in a temporary folder, and both end with the block. Raises nothing: the run explains what is wrong
    with input or Java.
    """
    if config.ENGINE == "polars" or not _launches_directly(config):
        yield NOTHING_EARLY
        return
    if not config.spark_is_local:
        input_bytes = 0  # a cluster is taken whatever the size
    found = _find(config) if input_bytes is None else None
    size = found.bytes if found else input_bytes
    if size is None or not _takes_spark(config, size):
        yield Early(found=found)
        return
    with tempfile.TemporaryDirectory(prefix="logmill-", ignore_cleanup_errors=True) as folder:
        jvm = _launch(config, Path(folder))
        try:
            yield Early(jvm, found)
        finally:
            if jvm:
                jvm.end()


def _find(config: Config) -> FoundInput | None:
    try:
        return find_input(config.INPUT_DIR, rotated=config.ROTATED_NAMES)
    except (LogmillError, OSError):
        return None


def _launches_directly(config: Config) -> bool:
    try:
        return launches_directly(config)
    except (LogmillError, OSError):
        return False


def _takes_spark(config: Config, size: int) -> bool:
    try:
        return choose_engine(config, size).spark
    except (LogmillError, OSError):
        return False


def _launch(config: Config, folder: Path) -> Jvm | None:
    try:
        return launch_jvm(config, folder, folder / "spark.log")
    except (LogmillError, OSError):
        return None  # the run tries again, in a folder of its own
