"""The targets: ratios that Logmill must reach against its peers and itself, and whether a run of the benchmark did."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.rounds import Round

EMBEDDED, SPARK, CLICKHOUSE, FLOOR, PYSPARK = "logmill-polars", "logmill-spark", "clickhouse", "floor", "pyspark"
CLUSTER, PYSPARK_CLUSTER = "logmill-cluster", "pyspark_cluster"
ONE_WORKER = f"{EMBEDDED}-1"
DUCKDB = ("duckdb", "duckdb_plain")
MB, GB = 10**6, 10**9

Ratio = Callable[[Round], float | None]


@dataclass(frozen=True)
class Limit:
    """A ratio is at most ``must``, better ``aim``."""

    must: float
    aim: float | None = None


@dataclass(frozen=True)
class Target:
    """``ratio`` has a limit at each of some sizes (bytes); other sizes are not held to it."""

    title: str
    ratio: Ratio
    limits: Mapping[int, Limit]


@dataclass(frozen=True)
class Outcome:
    """What was found of a target in the data sets, by name; None where it was not measured."""

    title: str
    sizes: str
    limit: Limit
    found: Mapping[str, float | None]

    def missed(self) -> list[str]:
        """The data sets in which the target is missed."""
        return [name for name, ratio in self.found.items() if ratio is not None and ratio > self.limit.must]


def _divided(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _time(engine: str, *peers: str) -> Ratio:
    return lambda each: _divided(each.seconds(engine), each.seconds(*peers))


TARGETS = (
    Target(
        "time: embedded engine / ClickHouse",
        _time(EMBEDDED, CLICKHOUSE),
        {2 * GB: Limit(0.50, 0.35), 10 * GB: Limit(0.40, 0.30)},
    ),
    Target(
        "time: embedded engine / best DuckDB",
        _time(EMBEDDED, *DUCKDB),
        {250 * MB: Limit(0.60, 0.45), 2 * GB: Limit(0.35, 0.25), 10 * GB: Limit(0.25, 0.20)},
    ),
    Target(
        "time: embedded engine / the floor",
        _time(EMBEDDED, FLOOR),
        {2 * GB: Limit(2.40, 1.80), 10 * GB: Limit(2.40, 1.80)},
    ),
    Target(
        "time: Spark engine, start of the JVM included / ClickHouse",
        _time(SPARK, CLICKHOUSE),
        {2 * GB: Limit(0.95, 0.75), 10 * GB: Limit(0.55, 0.45)},
    ),
    Target("time: embedded engine / PySpark alone", _time(EMBEDDED, PYSPARK), {2 * GB: Limit(0.08, 0.05)}),
    Target("time: cluster / PySpark alone on the same cluster", _time(CLUSTER, PYSPARK_CLUSTER), {2 * GB: Limit(0.35)}),
    Target("time: cluster / Spark engine on this machine", _time(CLUSTER, SPARK), {2 * GB: Limit(1.40)}),
    Target(
        "time: embedded engine, two workers / one worker",
        _time(EMBEDDED, ONE_WORKER),
        {2 * GB: Limit(0.54), 10 * GB: Limit(0.54)},
    ),
)
GROWTH, GROWTH_SIZES = Limit(1.15), (2 * GB, 20 * GB)
"""Of the embedded engine's memory from the smaller to the larger input."""


def outcomes(rounds: Sequence[Round]) -> list[Outcome]:
    """All targets at all their sizes, found in the data sets of ``rounds`` or not measured."""
    names = list(dict.fromkeys(each.data_set for each in rounds))
    by_input = {(each.data_set, each.size): each for each in rounds}

    def found(ratio: Ratio, size: int) -> dict[str, float | None]:
        return {name: ratio(by_input[name, size]) if (name, size) in by_input else None for name in names}

    answers = [
        Outcome(target.title, size_name(size), limit, found(target.ratio, size))
        for target in TARGETS
        for size, limit in target.limits.items()
    ]
    small, large = (found(lambda each: each.peak(EMBEDDED), size) for size in GROWTH_SIZES)
    sizes = " to ".join(map(size_name, GROWTH_SIZES))
    grown = {name: _divided(large[name], small[name]) for name in names}
    return [*answers, Outcome("memory: embedded engine, growth", sizes, GROWTH, grown)]


def target_lines(found: Sequence[Outcome]) -> list[str]:
    """A Markdown table: a line for each target and size, a column for each data set."""
    names = list(found[0].found)
    lines = [
        f"| ratio | input | must | aim | {' | '.join(names)} |",
        f"|---|---|---:|---:|{'---|' * len(names)}",
    ]
    for each in found:
        aim = "" if each.limit.aim is None else f"{each.limit.aim:.2f}"
        cells = [_cell(each.limit, each.found[name]) for name in names]
        lines.append(f"| {each.title} | {each.sizes} | {each.limit.must:.2f} | {aim} | {' | '.join(cells)} |")
    return lines


def missed_lines(found: Sequence[Outcome]) -> list[str]:
    """What stands at the top of the page: each miss by name, or that there is none."""
    missed = [
        f"- {each.title}, {each.sizes}, {name}: {each.found[name]:.2f}, must be at most {each.limit.must:.2f}"
        for each in found
        for name in each.missed()
    ]
    measured = sum(ratio is not None for each in found for ratio in each.found.values())
    of_all = f"{measured} of {sum(len(each.found) for each in found)} ratios are measured"
    if missed:
        return [f"**Missed: {len(missed)} targets** ({of_all}).", "", *missed]
    return [f"No target is missed; {of_all}."]


def size_name(size: int) -> str:
    """``2 GB``, ``250 MB``."""
    return f"{size / GB:g} GB" if size >= GB else f"{size / MB:g} MB"


def growth_lines(rounds: Sequence[Round]) -> list[str]:
    """How the embedded engine's memory and its time grow from the smallest to the largest input of each data set."""
    lines = ["| | from | to | memory | time, of what a linear growth would be |", "|---|---:|---:|---:|---:|"]
    for name in dict.fromkeys(each.data_set for each in rounds):
        ordered = sorted((each for each in rounds if each.data_set == name), key=lambda each: each.bytes_read)
        small, large = ordered[0], ordered[-1]
        memory = _divided(large.peak(EMBEDDED), small.peak(EMBEDDED))
        pace = _divided(large.seconds(EMBEDDED), small.seconds(EMBEDDED))
        if memory is not None and pace is not None:
            linear = pace * small.bytes_read / large.bytes_read
            lines.append(
                f"| {name} | {size_name(small.size)} | {size_name(large.size)} | {memory:.2f} | {linear:.2f} |"
            )
    return lines


def _cell(limit: Limit, found: float | None) -> str:
    if found is None:
        return "not measured"
    if limit.aim is not None and found <= limit.aim:
        return f"{found:.2f}, aim reached"
    return f"{found:.2f}, held" if found <= limit.must else f"{found:.2f}, **missed**"
