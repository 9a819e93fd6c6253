"""``python -m benchmarks.jobs``: the star schema of a shop by the job ``warehouse`` and its peers, full and changed."""

import argparse
import itertools
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.contenders import clean, environment
from benchmarks.jobs.agreement import difference, keep
from benchmarks.jobs.contenders import CONTENDERS, Contender
from benchmarks.jobs.page import MANY_LINES, Round, render
from benchmarks.jobs.shop import make_shop
from benchmarks.measure import Measurement, measure
from utils.units import format_seconds, format_size

ROOT = Path(__file__).resolve().parents[2]
MODES = ("full", "changed")
WARM_UP_LINES = 2_000


def main(argv: Sequence[str]) -> int:
    """Returns 0 where all finished and all tables agree, else 1."""
    options = _parse(argv)
    folder = options.folder.absolute()
    chosen = [CONTENDERS[name] for name in dict.fromkeys(("logmill", *options.peers))]
    notes = [f"left out: {one.title}: {absence}" for one in chosen if (absence := one.absence())]
    chosen = [one for one in chosen if not one.absence()]
    _run_round(chosen, folder, WARM_UP_LINES, 1, options, warm_up=True)
    runs = dict(itertools.zip_longest(options.lines, options.runs[: len(options.lines)], fillvalue=options.runs[-1]))
    rounds = [_run_round(chosen, folder, lines, number, options) for lines, number in runs.items()]
    wrong = [reason for each in rounds for reason in each.wrong]
    for reason in (*notes, *wrong):
        print(reason, file=sys.stderr)
    if wrong:
        return 1
    lines = ",".join(map(str, options.lines))
    limit = f" --memory-limit {options.memory_limit}" if options.memory_limit else ""
    command = (
        f"python -m benchmarks.jobs --lines {lines} --runs {','.join(map(str, options.runs))} "
        f"--peers {','.join(options.peers)}{limit}"
    )
    text = render(rounds, notes, command)
    if options.report:
        options.report.write_text(text, encoding="utf-8")
    print(text)
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--lines", type=_lines, default="1M", help="order lines, such as 100k,1M,10M (1M)")
    parser.add_argument("--runs", type=_numbers, default="3", help="runs of each contender, such as 7,1 by lines (3)")
    peers = [name for name in CONTENDERS if name != "logmill"]
    parser.add_argument("--peers", type=_names(peers), default="duckdb,dbt,pyspark", help=",".join(peers))
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "benchmarks" / "data" / "jobs", help="for files and tables"
    )
    parser.add_argument("--memory-limit", default="", help="of Logmill, such as 2GB (its default)")
    parser.add_argument("--before", default="", help="words before each measured command, such as 'taskset -c 0,1'")
    parser.add_argument("--report", type=Path, help="the page to write, such as docs/benchmarks-jobs.md")
    return parser.parse_args(argv)


def _lines(text: str) -> list[int]:
    units = {"k": 1_000, "M": 1_000_000}
    return [int(part.rstrip("kM")) * units.get(part[-1], 1) for part in text.split(",")]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {unknown[0]}; expected some of {', '.join(known)}")
        return found

    return names


def _run_round(
    chosen: Sequence[Contender],
    folder: Path,
    lines: int,
    runs: int,
    options: argparse.Namespace,
    *,
    warm_up: bool = False,
) -> Round:
    """All contenders in turn over the same files; each run is a full one, and then a changed one. ``warm_up``: without
    those that take long."""
    if warm_up or lines >= MANY_LINES:
        chosen = [one for one in chosen if not one.once]
    shop, source, output = folder / f"shop-{lines}", folder / "source", folder / "result"
    make_shop(shop, lines)
    found: dict[Contender, dict[str, list[Measurement]]] = {one: {mode: [] for mode in MODES} for one in chosen}
    wrong: list[str] = []
    rows: dict[str, int] = {}
    for number in range(runs):
        turn = number % len(chosen)
        for one in (*chosen[turn:], *chosen[:turn]):
            if one.once and number:
                continue
            clean(output)
            for mode in MODES:
                _link(shop, source, mode)
                measured = _measure(one, source, output, mode, options)
                print(f"{lines:,} {one.name} {mode}: {format_seconds(measured.seconds)}, "
                      f"{format_size(measured.peak_bytes)}", flush=True)  # fmt: skip
                agreed = folder / f"agreed-{mode}.duckdb"
                if measured.failure:
                    wrong.append(f"{one.name}, {mode}: {measured.failure}")
                    break
                if number == 0 and one is chosen[0]:
                    rows = keep(one, output, agreed)
                elif number == 0 and (differs := difference(one, output, agreed)):
                    wrong.append(f"{one.name}, {mode}: its tables differ from those of {chosen[0].name}: {differs}")
                found[one][mode].append(measured)
    clean(output)
    size = sum(path.stat().st_size for path in (shop / "first").glob("*.csv"))
    return Round(lines, size, rows, found, wrong)


def _link(shop: Path, source: Path, mode: str) -> None:
    """Let ``source`` have the files of the shop; with the change only after it."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    parts = ("first", "changes") if mode == "changed" else ("first",)
    for path in (path for part in parts for path in (shop / part).glob("*.csv")):
        os.link(path, source / path.name)


def _measure(one: Contender, source: Path, output: Path, mode: str, options: argparse.Namespace) -> Measurement:
    command = [*shlex.split(options.before), *one.command(source, output, mode)]
    if one.name.startswith("logmill") and options.memory_limit:
        command += ["--memory-limit", options.memory_limit]
    os.sync()
    return measure(command, environment(output))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
