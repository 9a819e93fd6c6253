"""``python -m benchmarks``: prepare the input, run everybody in turn, compare the results, write page and chart."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import chart
from benchmarks.contenders import ENGINES, PEERS, Contender, clean, environment
from benchmarks.data import export_geo, make_room, prepare_logs
from benchmarks.measure import Limits, measure
from benchmarks.report import render
from benchmarks.rounds import Round, run_round
from utils.metrics import total_memory, usable_cores
from utils.units import parse_size

ROOT = Path(__file__).resolve().parent.parent
MEMORY_SHARE = 0.9
WARM_UP_BYTES = 2_000_000


def main(argv: Sequence[str]) -> int:
    """Returns 0 when Logmill finished every run and all results agree, else 1; a peer that fails is only noted."""
    options = _parse(argv)
    folder: Path = options.data
    folder.mkdir(parents=True, exist_ok=True)
    contenders, notes = _choose(options.engines, options.peers)
    limits = Limits(options.memory_limit, options.time_limit)
    geo, results = export_geo(folder), folder / "result"
    if options.runs > 1:
        _warm_up(contenders, prepare_logs(folder, WARM_UP_BYTES, usable_cores()), geo, results)
    rounds = []
    for size in options.sizes:
        make_room(folder, size)
        logs = prepare_logs(folder, size, usable_cores())
        rounds.append(run_round(contenders, logs, geo, results, options.runs, limits))
    for contender, reason in ((c, reason) for each in rounds for c, reason in each.wrong.items()):
        print(f"error: {contender.title}: {reason}", file=sys.stderr)
    if any(each.wrong for each in rounds):
        print("error: no report was written, because of the above", file=sys.stderr)
        return 1
    _write(rounds, notes, shlex.join(["python", "-m", "benchmarks", *argv]), options.report)
    return 0


def _write(rounds: Sequence[Round], notes: Sequence[str], command: str, page: Path) -> None:
    """Write the page, and the chart in ``images`` beside it where it can be drawn."""
    picture = page.parent / "images" / f"{page.stem}.svg"
    undrawn = chart.absence()
    if undrawn:
        notes = [*notes, undrawn]
    else:
        chart.write_chart(rounds, picture)
    text = render(rounds, notes, command, None if undrawn else picture.relative_to(page.parent).as_posix())
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    print(f"\n{text}\nwritten to {page}")


def _warm_up(contenders: Sequence[Contender], logs: Path, geo: Path, results: Path) -> None:
    """Run everybody once over next to nothing: programs come into the page cache, and what each compiles or archives
    for later runs is there."""
    for contender in contenders:
        print(f"warming up {contender.name}", flush=True)
        clean(results)
        measure(contender.command(logs, geo, results), environment(results))
    clean(results)


def _choose(engines: Sequence[str], peers: Sequence[str]) -> tuple[list[Contender], list[str]]:
    wanted = [*(ENGINES[name] for name in engines), *(PEERS[name] for name in peers)]
    notes = [f"left out: {contender.title}: {absence}" for contender in wanted if (absence := contender.absence())]
    for note in notes:
        print(note)
    return [contender for contender in wanted if not contender.absence()], notes


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    def one_of(allowed: Mapping[str, Contender], text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        if unknown := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; expected some of {', '.join(allowed)}")
        return names

    def size(text: str) -> int:
        try:
            return parse_size(text)
        except ValueError as fault:
            raise argparse.ArgumentTypeError(str(fault)) from fault

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", type=lambda text: [size(part) for part in text.split(",")], default="2GB")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contender (3)")
    parser.add_argument("--engines", type=lambda text: one_of(ENGINES, text), default=",".join(ENGINES))
    parser.add_argument("--peers", type=lambda text: one_of(PEERS, text), default=",".join(PEERS))
    parser.add_argument(
        "--memory-limit",
        type=size,
        default=int(MEMORY_SHARE * total_memory()),
        help="a run that takes more is ended and noted (nine tenths of the memory)",
    )
    parser.add_argument("--time-limit", type=float, default=3600.0, help="the same for seconds (3600)")
    parser.add_argument("--data", type=Path, default=ROOT / "benchmarks" / "data", help="folder for input and results")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "benchmarks.md")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
