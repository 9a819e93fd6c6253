"""Targets are held or missed by size and data set, and the page says so at its top."""

import pytest

from benchmarks.contenders import ENGINES, PEERS, Contender, with_workers
from benchmarks.measure import Measurement
from benchmarks.report import render
from benchmarks.rounds import Round
from benchmarks.targets import growth_lines, missed_lines, outcomes, target_lines

EVERYBODY = {each.name: each for each in (*ENGINES.values(), *PEERS.values(), with_workers(1))}
Figures = dict[str, tuple[float, float]]
"""Seconds and GB by the name of the contender."""


def round_of(size: float, figures: Figures, data_set: str = "generator", others: float = 0.0) -> Round:
    """A round of one run each; ``size`` in GB, of which the files have a little less."""
    runs = {
        EVERYBODY[name]: [Measurement(seconds, int(peak * 1e9), None, load=2.25, others=others)]
        for name, (seconds, peak) in figures.items()
    }
    return Round(data_set, int(size * 1e9), int(size * 0.99e9), runs, None, {}, {})


def line(rounds: list[Round], title: str, size: str) -> str:
    """The line of the table of targets, without its beginning."""
    (found,) = [each for each in target_lines(outcomes(rounds)) if each.startswith(f"| {title} | {size} |")]
    return found.removeprefix(f"| {title} | {size} | ").removesuffix(" |")


TWO: Figures = {
    "logmill-polars": (4.0, 0.5),
    "logmill-polars-1": (7.0, 0.4),
    "logmill-spark": (9.5, 0.9),
    "clickhouse": (10.0, 2.0),
    "duckdb": (20.0, 4.0),
    "duckdb_plain": (9.0, 4.0),
    "floor": (2.5, 0.1),
}


def test_each_size_has_its_own_limits() -> None:
    rounds = [round_of(2, TWO), round_of(10, TWO), round_of(0.25, TWO)]
    clickhouse, duckdb = "time: embedded engine / ClickHouse", "time: embedded engine / best DuckDB"
    assert line(rounds, clickhouse, "2 GB") == "0.50 | 0.35 | 0.40, held"
    assert line(rounds, clickhouse, "10 GB") == "0.40 | 0.30 | 0.40, held"
    assert line(rounds, duckdb, "250 MB") == "0.60 | 0.45 | 0.44, aim reached"
    assert line(rounds, duckdb, "2 GB") == "0.35 | 0.25 | 0.44, **missed**"  # of the fastest of DuckDB's statements
    assert line(rounds, duckdb, "10 GB") == "0.25 | 0.20 | 0.44, **missed**"
    assert line(rounds, "time: embedded engine / the floor", "2 GB") == "2.40 | 1.80 | 1.60, aim reached"
    assert line(rounds, "time: embedded engine / PySpark alone", "2 GB") == "0.08 | 0.05 | not measured"
    spark = "time: Spark engine, start of the JVM included / ClickHouse"
    assert line(rounds, spark, "2 GB") == "0.95 | 0.75 | 0.95, held"
    assert line(rounds, spark, "10 GB") == "0.55 | 0.45 | 0.95, **missed**"
    workers = "time: embedded engine, two workers / one worker"
    assert line(rounds, workers, "2 GB") == "0.54 |  | 0.57, **missed**"
    cluster = round_of(2, {"logmill-spark": (5.0, 1.0), "logmill-cluster": (7.0, 2.0), "pyspark_cluster": (28.0, 4.0)})
    assert line([cluster], "time: cluster / PySpark alone on the same cluster", "2 GB") == "0.35 |  | 0.25, held"
    assert line([cluster], "time: cluster / Spark engine on this machine", "2 GB") == "1.40 |  | 1.40, held"
    growth = "memory: embedded engine, growth"
    assert line(rounds, growth, "2 GB to 20 GB") == "1.15 |  | not measured"
    large = round_of(20, {"logmill-polars": (40.0, 0.55)})
    assert line([*rounds, large], growth, "2 GB to 20 GB") == "1.15 |  | 1.10, held"


def test_a_size_without_targets_is_not_measured() -> None:
    lines = target_lines(outcomes([round_of(5, TWO)]))
    assert len(lines) == 2 + 15
    assert all(each.endswith("| not measured |") for each in lines[2:])


def test_data_sets_are_columns_and_misses_are_named() -> None:
    slow = TWO | {"logmill-polars": (6.0, 0.5)}
    rounds = [round_of(2, TWO), round_of(2, slow, "independent")]
    found = outcomes(rounds)
    assert target_lines(found)[0] == "| ratio | input | must | aim | generator | independent |"
    title = "time: embedded engine / ClickHouse"
    assert line(rounds, title, "2 GB") == "0.50 | 0.35 | 0.40, held | 0.60, **missed**"
    assert line(rounds, title, "10 GB") == "0.40 | 0.30 | not measured | not measured"
    lines = missed_lines(found)
    assert lines[0] == "**Missed: 5 targets** (10 of 30 ratios are measured)."
    assert "- time: embedded engine / ClickHouse, 2 GB, independent: 0.60, must be at most 0.50" in lines
    assert lines[2:] == sorted(lines[2:], key=lambda each: ["ClickHouse", "DuckDB", "worker"].index(kind(each)))


def kind(text: str) -> str:
    return next(word for word in ("ClickHouse", "DuckDB", "worker") if word in text)


def test_the_page_begins_with_what_is_missed_and_says_who_was_disturbed() -> None:
    page = render([round_of(2, TWO, others=0.34), round_of(10, TWO)], ["a note"], "make bench", {}).splitlines()
    assert page[2] == "**Missed: 5 targets** (10 of 15 ratios are measured)."
    assert page[4] == "- time: embedded engine / best DuckDB, 2 GB, generator: 0.44, must be at most 0.35"
    assert "- busy: ClickHouse (chdb), 1 of 1 runs; others took up to 34 %" in page
    assert sum(each.startswith("- busy") for each in page) == 7
    assert any("7 of 14 runs stayed busy" in each for each in page)
    (floor,) = [each for each in page if each.startswith("| the floor") and " 0.792 |" in each]
    assert floor.split(" | ")[5] == "2.2"  # the load average
    assert "- a note" in page
    quiet = render([round_of(2, TWO)], [], "make bench", {})
    assert "no run stayed busy" in quiet


def test_growth_is_measured_from_the_smallest_to_the_largest_input() -> None:
    rounds = [
        round_of(20, {"logmill-polars": (66.0, 1.5)}),
        round_of(2, {"logmill-polars": (6.0, 1.0)}),
        round_of(2, {"duckdb": (6.0, 1.0)}, "json"),
    ]
    assert growth_lines(rounds)[2:] == ["| generator | 2 GB | 20 GB | 1.50 | 1.10 |"]


@pytest.mark.parametrize(("workers", "name"), [(1, "logmill-polars-1"), (2, "logmill-polars"), (4, "logmill-polars-4")])
def test_the_usual_number_of_workers_is_the_usual_contender(workers: int, name: str) -> None:
    found: Contender = with_workers(workers)
    assert found.name == name
    assert found.workers == workers
