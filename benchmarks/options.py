"""The options of ``python -m benchmarks``."""

import argparse
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from benchmarks.contenders import ENGINES, PEERS
from benchmarks.data_sets import DATA_SETS
from benchmarks.peers import THREADS
from utils.metrics import total_memory
from utils.units import parse_size

ROOT = Path(__file__).resolve().parent.parent
PAGE, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
MEMORY_SHARE = 0.9


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options; whoever writes the page of the project writes its README's figures, too."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="The same job on Logmill and its peers, side by side."
    )
    parser.add_argument("--sizes", type=_list_of(_size), default="2GB", help="bytes of the inputs (2GB)")
    parser.add_argument("--runs", type=_count, default=5, help="runs of each contender (5)")
    parser.add_argument("--data", type=_some_of(DATA_SETS), default=",".join(DATA_SETS), help=",".join(DATA_SETS))
    parser.add_argument("--engines", type=_some_of(ENGINES), default=",".join(ENGINES), help=",".join(ENGINES))
    parser.add_argument("--peers", type=_some_of(PEERS), default=",".join(PEERS), help=",".join(PEERS))
    parser.add_argument(
        "--workers",
        type=_list_of(_count),
        default=str(THREADS),
        help=f"numbers of workers with which the embedded engine runs besides {THREADS}, such as 1,2",
    )
    parser.add_argument(
        "--memory-limit",
        type=_size,
        default=int(MEMORY_SHARE * total_memory()),
        help="a run that takes more is ended and noted (nine tenths of the memory)",
    )
    parser.add_argument("--time-limit", type=float, default=3600.0, help="the same for seconds (3600)")
    parser.add_argument(
        "--patience",
        type=float,
        default=60.0,
        help="seconds to wait for a quiet machine before a run (60); 0: do not wait, nor repeat what was disturbed",
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks" / "data", help="for input and results")
    parser.add_argument("--report", type=Path, default=PAGE, help="the page (docs/benchmarks.md)")
    parser.add_argument(
        "--readme", type=Path, help="shows the summary between its markers (README.md, where the page is the usual one)"
    )
    options = parser.parse_args(argv)
    if options.readme is None and options.report == PAGE:
        options.readme = README
    return options


def _some_of(allowed: Collection[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = list(dict.fromkeys(name for name in text.split(",") if name))
        if unknown := [name for name in found if name not in allowed]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; expected some of {', '.join(allowed)}")
        return found

    return names


def _list_of(one: Callable[[str], int]) -> Callable[[str], list[int]]:
    return lambda text: list(dict.fromkeys(one(part) for part in text.split(",")))


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from fault


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1 on")
    return number
