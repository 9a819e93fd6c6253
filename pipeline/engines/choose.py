"""Chooses the engine of Phase 2."""

from dataclasses import dataclass

from config import Config, SparkSettings
from pipeline.engines.java import find_java
from pipeline.errors import EnvironmentFault
from pipeline.machine import cache_folder


@dataclass(frozen=True)
class EngineChoice:
    """``spark``: whether Spark runs Phase 2, or else the embedded engine. ``note``: why, where ENGINE is auto."""

    spark: bool
    note: str | None = None

    @property
    def name(self) -> str:
        """The engine's name on the command line."""
        return "spark" if self.spark else "polars"

    def adder(self, config: SparkSettings) -> str:
        """What adds up in Phase 2: ``polars``, ``spark`` (kernels on Spark) or ``sql`` (Spark's own plan)."""
        return "sql" if self.spark and config.SPARK_PLAN == "sql" else self.name


def choose_engine(config: Config) -> EngineChoice:
    """Choose by ``ENGINE``: auto means Spark where there is a Java that Spark can use.

    A SPARK_MASTER asks for Spark unless ENGINE is polars. Raises EnvironmentFault where Spark is asked for and there is
    no Java that it can use.
    """
    if config.ENGINE == "polars":
        return EngineChoice(spark=False)
    java = find_java(cache_folder() / "java.json")
    if config.ENGINE == "spark" or config.SPARK_MASTER:
        if java.problem:
            asked = "ENGINE is spark" if config.ENGINE == "spark" else "SPARK_MASTER is set"
            raise EnvironmentFault(
                f"{asked}, but {java.problem}. Install Java 17 or 21 (Debian: apt install openjdk-17-jre-headless; "
                "macOS: brew install openjdk@17), or use --engine polars, which needs none."
            )
        return EngineChoice(spark=True)
    if java.problem:
        return EngineChoice(spark=False, note=f"{java.problem}: using the embedded engine")
    return EngineChoice(spark=True, note=f"using Spark ({java.description}); --engine polars starts no JVM")
