"""The targets: ratios that Logmill must reach against its peers and itself, and whether a run of the benchmark did."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.rounds import Round

EMBEDDED, SPARK, CLICKHOUSE, FLOOR, PYSPARK = "logmill-polars", "logmill-spark", "clickhouse", "floor", "pyspark"
DUCKDB = ("duckdb", "duckdb_plain")
LARGE_BYTES = 6_000_000_000
"""Inputs from this size on are held to the targets for 10 GB, smaller ones to those for 2 GB."""

Ratio = Callable[[Round], float | None]


@dataclass(frozen=True)
class Target:
    """``ratio`` is to be at most ``small`` (2 GB) or ``large`` (10 GB), better ``aim``."""

    title: str
    ratio: Ratio
    small: float
    large: float
    aim: float


def _divided(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _time(engine: str, *peers: str) -> Ratio:
    return lambda each: _divided(each.seconds(engine), each.seconds(*peers))


TARGETS = (
    Target("time: embedded engine / ClickHouse", _time(EMBEDDED, CLICKHOUSE), 0.85, 0.60, 0.50),
    Target("time: embedded engine / best DuckDB", _time(EMBEDDED, *DUCKDB), 0.45, 0.33, 0.25),
    Target("time: embedded engine / PySpark alone", _time(EMBEDDED, PYSPARK), 0.10, 0.07, 0.05),
    Target("time: Spark engine / ClickHouse", _time(SPARK, CLICKHOUSE), 1.30, 0.75, 0.65),
    Target("time: embedded engine / the floor", _time(EMBEDDED, FLOOR), 3.30, 3.30, 2.40),
    Target(
        "memory: embedded engine / ClickHouse",
        lambda each: _divided(each.peak(EMBEDDED), each.peak(CLICKHOUSE)),
        0.60,
        0.30,
        0.20,
    ),
)


def target_table(each: Round) -> list[str]:
    """The lines of a Markdown table: targets for this size, ratios of this run; without a peer there is no ratio."""
    large = each.bytes_read >= LARGE_BYTES
    lines = [
        f"| ratio, targets for {'10' if large else '2'} GB | must | aim | here | |",
        "|---|---:|---:|---:|---|",
    ]
    for target in TARGETS:
        must = target.large if large else target.small
        lines.append(_line(target.title, must, target.aim, target.ratio(each)))
    return lines


def scaling_table(rounds: Sequence[Round]) -> list[str]:
    """How the embedded engine's memory and its time for each byte grow from the smallest to the largest input."""
    ordered = sorted(rounds, key=lambda each: each.bytes_read)
    small, large = ordered[0], ordered[-1]
    growth = large.bytes_read / small.bytes_read
    memory = _divided(large.peak(EMBEDDED), small.peak(EMBEDDED))
    pace = _divided(large.seconds(EMBEDDED), small.seconds(EMBEDDED))
    return [
        f"| embedded engine, from {small.bytes_read / 1e9:.3g} GB to {large.bytes_read / 1e9:.3g} GB | must | here | |",
        "|---|---:|---:|---|",
        _line("memory", 1.2, None, memory),
        _line("time, of what a linear growth would be", 1.1, None, pace / growth if pace else None),
    ]


def _line(title: str, must: float, aim: float | None, found: float | None) -> str:
    limits = [f"{must:.2f}", *([f"{aim:.2f}"] if aim else [])]
    figure = "" if found is None else f"{found:.2f}"
    return f"| {title} | {' | '.join(limits)} | {figure} | {_verdict(must, aim, found)} |"


def _verdict(must: float, aim: float | None, found: float | None) -> str:
    if found is None:
        return "not measured"
    if aim is not None and found <= aim:
        return "held, aim reached"
    return "held" if found <= must else "**missed**"
