"""Chooses the engine of Phase 2."""

from dataclasses import dataclass

from config import Config, SparkSettings
from pipeline.engines.java import find_java
from pipeline.errors import EnvironmentFault
from pipeline.machine import cache_folder
from utils.units import format_size

SPARK_PAYS_BYTES = 5 * 10**9
"""Input from which ``auto`` takes Spark on one machine. Spark adds 4.3 to 5.0 s to a run of any size: below this one,
more than a third of what the embedded engine takes (docs/decisions/012-spark-start.md)."""


@dataclass(frozen=True)
class EngineChoice:
    """``spark``: whether Spark runs Phase 2, or else the embedded engine. ``note``: why, where ENGINE is auto.
    ``cluster``: whether Spark's executors are on a cluster, and run Phase 1, too."""

    spark: bool
    note: str | None = None
    cluster: bool = False

    @property
    def name(self) -> str:
        """The engine's name on the command line."""
        return "spark" if self.spark else "polars"

    def adder(self, config: SparkSettings) -> str:
        """What adds up in Phase 2: ``polars``, ``spark`` (kernels on Spark) or ``sql`` (Spark's own plan)."""
        return "sql" if self.spark and config.SPARK_PLAN == "sql" else self.name


def choose_engine(config: Config, input_bytes: int) -> EngineChoice:
    """Choose by ``ENGINE``: auto means Spark where the input is large enough and there is a Java that Spark can use.

    ``input_bytes``: size on disk of all files of the input, known or new, so that the same input has the same engine.
    A cluster in SPARK_MASTER asks for Spark, whatever the size, unless ENGINE is polars; ``SPARK_PLAN = sql`` asks for
    it where there is Java. Raises EnvironmentFault where Spark is asked for and there is no Java that it can use.
    """
    if config.ENGINE == "polars":
        return EngineChoice(spark=False)
    asked = asks_for_spark(config)
    if not asked and config.SPARK_PLAN != "sql" and input_bytes < SPARK_PAYS_BYTES:
        return EngineChoice(
            spark=False,
            note=f"Spark pays from {format_size(SPARK_PAYS_BYTES)} on; --engine spark insists",
        )
    java = find_java(cache_folder() / "java.json")
    if asked:
        if java.problem:
            raise EnvironmentFault(
                f"{asked}, but {java.problem}. Install Java 17 or 21 (Debian: apt install openjdk-17-jre-headless; "
                "macOS: brew install openjdk@17), or use --engine polars, which needs none."
            )
        return EngineChoice(spark=True, cluster=not config.spark_is_local)
    if java.problem:
        return EngineChoice(spark=False, note=f"{java.problem}: using the embedded engine")
    return EngineChoice(spark=True, note=f"using Spark ({java.description}); --engine polars starts no JVM")


def asks_for_spark(config: Config) -> str | None:
    """Which setting insists on Spark, as a clause; None where none does. ``local[*]`` is what auto takes by itself."""
    if config.ENGINE == "spark":
        return "ENGINE is spark"
    if config.ENGINE == "auto" and config.SPARK_MASTER not in ("", "local[*]"):
        return "SPARK_MASTER is set"
    return None
