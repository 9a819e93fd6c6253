"""Checks of Java and of a Spark session."""

import threading
import time
import uuid
from contextlib import suppress
from functools import partial

import psutil

from config import Config
from pipeline import KERNEL_MODULES
from pipeline.engines.choose import asks_for_spark
from pipeline.engines.cluster import ClusterEngine
from pipeline.engines.code_archive import pack_code
from pipeline.engines.java import Java, find_java
from pipeline.engines.spark_session import SparkDriver
from pipeline.errors import EnvironmentFault, LogmillError
from pipeline.inspection.doctor.check import Check
from pipeline.inspection.doctor.folders import scratch_in
from pipeline.machine import cache_folder, existing_parent
from pipeline.native.build import PROCESSOR_FILE, system_and_processor
from pipeline.storage.exchange import StorageExchange
from pipeline.storage.urls import is_url, join_url
from pipeline.versions.folders import local_intermediate
from utils.units import format_seconds

START_SECONDS = 90.0
_END_SECONDS = 10.0
_PAUSE_SECONDS = 0.1
_INSTALL = "Install Java 17 or 21 (Debian: apt install openjdk-17-jre-headless; macOS: brew install openjdk@17)"


def check_java(config: Config, java: Java | None = None) -> Check:
    """Check that there is a Java that Spark can use; without one, only runs that insist on Spark fail.

    ``java`` stands for the one of this machine in tests.
    """
    java = java or find_java()
    if config.ENGINE == "polars":
        return Check("java", "ok", f"{java.description}; ENGINE is polars, which needs none")
    if java.problem is None:
        return Check("java", "ok", f"{java.description} ({java.path})")
    if asks_for_spark(config):
        return Check("java", "fail", java.problem, f"{_INSTALL}, or use --engine polars.")
    return Check("java", "warn", java.problem, f"Runs use the embedded engine. For Spark: {_INSTALL}.")


def check_spark_start(config: Config, limit: float = START_SECONDS) -> Check:
    """Start Spark as a run does, add two numbers on its Python workers, and end it; or join SPARK_MASTER's cluster.

    ``limit``: seconds after which the start on this machine counts as failed.
    """
    if not config.spark_is_local:
        return _check_cluster(config)
    fix = "Check memory and disk, raise SPARK_DRIVER_MEMORY, or use --engine polars."
    begin = time.monotonic()
    answers: list[Exception | None] = []
    try:
        with scratch_in(existing_parent(local_intermediate(config.INTERMEDIATE_DIR))) as folder:
            before = set(psutil.Process().children(recursive=True))
            driver = SparkDriver(config, min(2, config.PREPROCESSING_WORKERS), folder)
            starter = threading.Thread(target=_start_and_count, args=(driver, answers), daemon=True)
            starter.start()
            starter.join(limit)
            late = starter.is_alive()
            until = time.monotonic() + _END_SECONDS
            while starter.is_alive() and time.monotonic() < until:
                _end_children(but=before)  # driver.stop() does not reach a JVM that is about to be launched
                starter.join(_PAUSE_SECONDS)
            driver.stop(at_once=late or answers != [None])
    except (OSError, psutil.Error) as fault:
        return Check("spark", "fail", f"did not start: {fault}", fix)
    seconds = format_seconds(time.monotonic() - begin)
    if late or not answers:
        return Check("spark", "fail", f"did not start within {format_seconds(limit)}", fix)
    if answers == [None]:
        return Check("spark", "ok", f"started, counted and ended in {seconds}")
    return Check("spark", "fail", str(answers[0]), fix)


def _check_cluster(config: Config) -> Check:
    """Start executors as a run does, and have each of them load the program and use what all share."""
    begin = time.monotonic()
    archive = partial(pack_code, cache_folder(), [], {PROCESSOR_FILE: system_and_processor()})
    url, exchange = config.INTERMEDIATE_DIR, None
    if is_url(url):
        exchange = StorageExchange(url, join_url(url, f"doctor-{uuid.uuid4().hex}"), ())
    try:
        with (
            scratch_in(existing_parent(local_intermediate(url))) as folder,
            ClusterEngine(config, folder, KERNEL_MODULES, archive, exchange=exchange) as engine,
        ):
            cores = engine.capacity().cores
    except (LogmillError, OSError) as fault:
        return Check("spark", "fail", str(fault), "docs/cluster.md says what a cluster must have.")
    seconds = format_seconds(time.monotonic() - begin)
    return Check("spark", "ok", f"{config.SPARK_MASTER} started and ended {cores} cores of executors in {seconds}")


def _end_children(but: set[psutil.Process]) -> None:
    for child in set(psutil.Process().children(recursive=True)) - but:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _start_and_count(driver: SparkDriver, answers: list[Exception | None]) -> None:
    try:
        total = driver.start().parallelize(range(2), 2).map(abs).sum()
        answers.append(None if total == 1 else RuntimeError(f"Spark added 0 and 1 to {total}"))
    except EnvironmentFault as fault:
        answers.append(fault)
    except Exception as fault:  # its text is asked of the JVM, which ends before the check does
        answers.append(driver.fault("Spark started and does not count", fault))
