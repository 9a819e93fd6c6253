"""``doctor``: whether this machine and these settings are fit for a run. The checks leave nothing behind."""

from collections.abc import Iterator

from config import Config
from pipeline.inspection.doctor.check import Check
from pipeline.inspection.doctor.folders import check_input_and_intermediate, check_output
from pipeline.inspection.doctor.installed import check_delta, check_geo, check_packages, check_python
from pipeline.inspection.doctor.java_and_spark import check_java, check_spark_start
from pipeline.inspection.doctor.machine import (
    check_cores,
    check_memory,
    check_open_files,
    check_proc,
    check_shared_memory,
)

__all__ = ["Check", "examine"]


def examine(config: Config, *, spark: bool) -> Iterator[Check]:
    """Run the checks one after the other, the slow ones last.

    ``spark``: also start Spark, if a run with these settings would use it.
    """
    yield check_python()
    yield check_packages()
    if config.TABLE_FORMAT == "delta":
        yield check_delta()
    yield check_cores(config)
    yield check_memory(config)
    yield check_open_files()
    yield check_proc()
    yield check_shared_memory()
    yield from check_input_and_intermediate(config)
    yield from check_output(config)
    yield check_geo(config)
    java = check_java(config)
    yield java
    if spark and java.status == "ok" and config.ENGINE != "polars":
        yield check_spark_start(config)
