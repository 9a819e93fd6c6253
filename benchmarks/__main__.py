"""``python -m benchmarks``: prepare the input, run everybody in turn, compare the results, write the report."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.agreement import Digest, digest_result
from benchmarks.contenders import ENGINES, PEERS, Contender, clean, environment
from benchmarks.data import export_geo, prepare_logs
from benchmarks.measure import Measurement, measure
from benchmarks.report import Round, render
from utils.metrics import usable_cores
from utils.units import format_seconds, format_size, parse_size

ROOT = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str]) -> int:
    """Returns 0 when every contender that could take part ran and all results agree, else 1."""
    options = _parse(argv)
    folder: Path = options.data
    folder.mkdir(parents=True, exist_ok=True)
    contenders, notes = _choose(options.engines, options.peers)
    rounds = []
    for size in options.sizes:
        logs = prepare_logs(folder, size, usable_cores())
        rounds.append(run_round(contenders, notes, logs, export_geo(folder), folder / "result", options.runs))
    text = render(rounds, shlex.join(["python", "-m", "benchmarks", *argv]))
    print(f"\n{text}")
    if any(note.startswith("FAILED") for each in rounds for note in each.notes):
        print("error: not everybody finished with the same result; no report was written", file=sys.stderr)
        return 1
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(text, encoding="utf-8")
    print(f"written to {options.report}")
    return 0


def run_round(
    contenders: Sequence[Contender], notes: Sequence[str], logs: Path, geo: Path, place: Path, runs: int
) -> Round:
    """All contenders ``runs`` times each in alternating order; who fails or disagrees with the first is noted."""
    files = sorted(logs.glob("*.csv"))
    _warm(files)
    found: dict[Contender, list[Measurement]] = {contender: [] for contender in contenders}
    failed: dict[Contender, str] = {}
    digests: dict[Contender, Digest] = {}
    for number in range(runs):
        # Turned by one each time, so that nobody always follows the same neighbour.
        turn = number % len(contenders)
        for contender in [*contenders[turn:], *contenders[:turn]]:
            if contender in failed:
                continue
            clean(place)
            taken = measure(contender.command(logs, geo, place), environment())
            if taken.failure:
                failed[contender] = taken.failure
            else:
                found[contender].append(taken)
                digests[contender] = digest_result(place / "data")
                failed |= _disagreement(digests, contender)
            _say(contender, taken)
    clean(place)
    failures = [f"FAILED: {contender.title}: {reason}" for contender, reason in failed.items()]
    kept = {contender: taken for contender, taken in found.items() if contender not in failed}
    size = sum(path.stat().st_size for path in files)
    return Round(size, kept, next(iter(digests.values()), None), [*notes, *failures])


def _disagreement(digests: Mapping[Contender, Digest], contender: Contender) -> dict[Contender, str]:
    first, expected = next(iter(digests.items()))
    if digests[contender] == expected:
        return {}
    return {contender: f"its result differs from that of {first.title}: {digests[contender]}, not {expected}"}


def _say(contender: Contender, taken: Measurement) -> None:
    outcome = "failed" if taken.failure else f"{format_seconds(taken.seconds)}, {format_size(taken.peak_bytes)}"
    print(f"{contender.name}: {outcome}", flush=True)


def _warm(files: Sequence[Path]) -> None:
    """Read all input once, so that the first contender does not pay for the disk."""
    for path in files:
        with path.open("rb") as stream:
            while stream.read(1 << 24):
                pass


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

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", type=lambda text: [parse_size(part) for part in text.split(",")], default="2GB")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contender (3)")
    parser.add_argument("--engines", type=lambda text: one_of(ENGINES, text), default="polars,spark")
    parser.add_argument("--peers", type=lambda text: one_of(PEERS, text), default="duckdb", help=", ".join(PEERS))
    parser.add_argument("--data", type=Path, default=ROOT / "benchmarks" / "data", help="folder for input and results")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "benchmarks.md")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
