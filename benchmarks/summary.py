"""The passage of figures that the page and the README share: Logmill's time and memory as multiples of two peers'."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.data_sets import DATA_SETS
from benchmarks.rounds import Round
from benchmarks.targets import CLICKHOUSE, DUCKDB, EMBEDDED, SPARK, size_name
from utils.metrics import usable_cores

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
_PEERS: Mapping[str, tuple[str, ...]] = {"ClickHouse": (CLICKHOUSE,), "best DuckDB statement we know": DUCKDB}
_ENGINES = {"embedded engine": EMBEDDED, "Spark engine": SPARK}


def summary_lines(rounds: Sequence[Round]) -> list[str]:
    """The passage with its markers; nothing where neither of the peers took part."""
    if not any(each.seconds(*peers) for each in rounds for peers in _PEERS.values()):
        return []
    runs = max((len(runs) for each in rounds for runs in each.runs.values()), default=0)
    sizes = list(dict.fromkeys(each.size for each in rounds))
    heads = [f"{peer}, {size_name(size)}" if size == sizes[0] else size_name(size) for peer in _PEERS for size in sizes]
    return [
        BEGIN,
        f"On {usable_cores()} cores, {time.strftime('%B %Y')}, medians of {runs} alternating runs, JVM start included:",
        "",
        f"| time / memory, as a multiple of | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
        *(
            f"| {engine}, {DATA_SETS[data_set].title} | "
            f"{' | '.join(_cell(rounds, data_set, size, name, peers) for peers in _PEERS.values() for size in sizes)} |"
            for engine, name in _ENGINES.items()
            for data_set in dict.fromkeys(each.data_set for each in rounds)
        ),
        END,
    ]


def _cell(rounds: Sequence[Round], data_set: str, size: int, engine: str, peers: tuple[str, ...]) -> str:
    """Time and memory of an engine by those of the best of some peers; empty where one of them is missing."""
    for each in rounds:
        if (each.data_set, each.size) == (data_set, size):
            times = each.seconds(engine), each.seconds(*peers)
            peaks = each.peak(engine), each.peak(*peers)
            if times[0] and times[1] and peaks[0] and peaks[1]:
                return f"{times[0] / times[1]:.2f} / {peaks[0] / peaks[1]:.2f}"
    return ""


def passage(text: str) -> str:
    """What stands between the markers of a page. Raises ValueError where they are missing."""
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def show_summary(page: Path, readme: Path) -> None:
    """Let the README show the passage of the page."""
    text = readme.read_text(encoding="utf-8")
    readme.write_text(text.replace(passage(text), passage(page.read_text(encoding="utf-8"))), encoding="utf-8")
