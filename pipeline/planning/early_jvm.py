"""Launches the JVM of a Spark on this machine before the run has a folder, so that its start is hidden.

Test data is generated, and libraries are loaded, while the JVM starts. This module imports nothing heavy.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import Config
from pipeline.engines.choose import choose_engine
from pipeline.engines.jvm import Jvm
from pipeline.engines.spark_session import is_local, launch_jvm
from pipeline.errors import LogmillError
from pipeline.reading.input_files import find_input


@contextmanager
def launched_early(config: Config, input_bytes: int | None = None) -> Iterator[Jvm | None]:
    """Have a JVM start while the block runs, where Spark on this machine will run Phase 2; else give None.

    ``input_bytes``: size of test data that will be made; without it, the size of the input. The JVM's files lie in a
    temporary folder, and both end with the block. Raises nothing: the run explains what is wrong with input or Java.
    """
    if not _will_use_jvm(config, input_bytes):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="logmill-", ignore_cleanup_errors=True) as folder:
        jvm = _launch(config, Path(folder))
        try:
            yield jvm
        finally:
            if jvm:
                jvm.end()


def _will_use_jvm(config: Config, input_bytes: int | None) -> bool:
    if config.ENGINE == "polars" or not is_local(config):
        return False
    try:
        size = find_input(config.INPUT_DIR, rotated=config.ROTATED_NAMES).bytes if input_bytes is None else input_bytes
        return choose_engine(config, size).spark
    except (LogmillError, OSError):
        return False


def _launch(config: Config, folder: Path) -> Jvm | None:
    try:
        return launch_jvm(config, folder, folder / "spark.log")
    except (LogmillError, OSError):
        return None  # the run tries again, in a folder of its own
