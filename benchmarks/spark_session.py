"""The session of Spark of the peers, on this machine or on a cluster."""

import os
import sys
import tempfile
from collections.abc import Mapping

from pyspark.sql import SparkSession

from benchmarks.peers import MASTER_VARIABLE, THREADS


def open_spark(memory: str, partitions: int, further: Mapping[str, str]) -> SparkSession:
    """A session on ``THREADS`` threads or cores of a cluster, with so much memory of the driver, so many shuffle
    partitions and ``further`` settings."""
    # Spark starts its Python workers by the name python3, which may be another one, without these packages.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = (
        SparkSession.builder.master(os.environ.get(MASTER_VARIABLE, f"local[{THREADS}]"))
        .config("spark.executor.memory", "4g")
        .config("spark.executor.cores", "1")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", memory)
        .config("spark.sql.shuffle.partitions", str(partitions))
        .config("spark.local.dir", tempfile.gettempdir())
        .config("spark.sql.parquet.compression.codec", "zstd")
    )
    for name, value in further.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()
