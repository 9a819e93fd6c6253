"""Makes what the first run on a machine would make, for a container image.

``python -m pipeline.planning.prepare`` makes the compiled libraries and the geo table. With the word ``spark`` it makes
the archive from which Spark's JVM starts, which must be made where Java and pyspark finally lie.
"""

import sys
import tempfile
from pathlib import Path

from config import Config
from pipeline import KERNEL_MODULES
from pipeline.engines.spark import SparkEngine
from pipeline.geo.table import load_geo_table
from pipeline.machine import cache_folder
from pipeline.native.build import compile_portable


def prepare(cache_dir: Path) -> str:
    """Compile the libraries, for other machines, too, and prepare the shipped geo table, both into ``cache_dir``.

    Returns why there is no library; empty where there is one. Raises what ``load_geo_table`` raises.
    """
    load_geo_table(None, Config().GEO_LEVEL, None, cache_dir)
    _, why_not = compile_portable(cache_dir)
    return why_not


def prepare_spark() -> str:
    """Start Spark once with the settings of a run, so that its JVM leaves its archive in the user's cache.

    Returns why there is no archive; empty where there is one. Raises EnvironmentFault where Spark does not start.
    """
    with tempfile.TemporaryDirectory(prefix="logmill-") as folder:
        with SparkEngine(Config(), Path(folder), 1, KERNEL_MODULES) as engine:
            engine.run(lambda spark: spark.parallelize([1], 1).map(str).collect(), 1, lambda _: None)
        made = list(cache_folder().glob("spark-*.jsa"))
    return "" if made else f"the JVM left no archive in {cache_folder()}"


if __name__ == "__main__":
    sys.exit((prepare_spark() if sys.argv[1:] == ["spark"] else prepare(cache_folder())) or 0)
