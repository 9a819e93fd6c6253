"""``python -m benchmarks``: prepare the input, run everybody in turn, compare the results, write page and charts."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import chart
from benchmarks.cluster import CLUSTER_NOTE, BenchCluster, cluster_for
from benchmarks.contenders import ENGINES, PEERS, Contender, clean, with_workers
from benchmarks.data import make_room, place
from benchmarks.data_sets import DATA_SETS, DataSet, Geography
from benchmarks.measure import Limits
from benchmarks.options import parse
from benchmarks.report import render
from benchmarks.rounds import Job, Round, Terms, run_round
from benchmarks.summary import show_summary
from utils.metrics import usable_cores
from utils.units import format_size

WARM_UP_BYTES = 2_000_000


def main(argv: Sequence[str]) -> int:
    """Returns 0 when Logmill finished every run and all results agree, else 1; a peer that fails is only noted."""
    options = parse(argv)
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    contenders, notes = _choose(options)
    terms = Terms(options.runs, Limits(options.memory_limit, options.time_limit), options.patience)
    with cluster_for(contenders, folder) as cluster:
        rounds = _run_all(options, contenders, terms, cluster)
    for contender, reason in ((c, reason) for each in rounds for c, reason in each.wrong.items()):
        print(f"error: {contender.title}: {reason}", file=sys.stderr)
    if any(each.wrong for each in rounds):
        print("error: no report was written, because of the above", file=sys.stderr)
        return 1
    _write(rounds, notes, shlex.join(["python", "-m", "benchmarks", *argv]), options.report, options.readme)
    return 0


def _run_all(
    options: argparse.Namespace, contenders: Sequence[Contender], terms: Terms, cluster: BenchCluster
) -> list[Round]:
    rounds = []
    folder: Path = options.folder
    for name in options.data:
        data_set = DATA_SETS[name]
        geography = data_set.locate(folder)

        def job(size: int, of: DataSet = data_set, geography: Geography = geography) -> Job:
            make_room(folder, place(folder, of.name, size), size)
            logs = of.prepare(folder, size, usable_cores())
            return Job(of.name, size, logs, geography, folder / "result", cluster)

        if options.runs > 1:
            _warm_up(contenders, job(WARM_UP_BYTES))
        for size in options.sizes:
            print(f"{data_set.title}, {format_size(size)}", flush=True)
            rounds.append(run_round(contenders, job(size), terms))
    return rounds


def _write(rounds: Sequence[Round], notes: Sequence[str], command: str, page: Path, readme: Path | None) -> None:
    """Write the page, its summary into the README, and a chart for each data set in ``images`` beside the page where
    charts can be drawn."""
    charts = {}
    undrawn = chart.absence()
    if undrawn:
        notes = [*notes, undrawn]
    else:
        names = list(dict.fromkeys(each.data_set for each in rounds))
        for name in names:
            picture = page.parent / "images" / f"{page.stem}{'' if name == names[0] else f'-{name}'}.svg"
            chart.write_chart([each for each in rounds if each.data_set == name], picture)
            charts[name] = picture.relative_to(page.parent).as_posix()
    text = render(rounds, notes, command, charts)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    if readme:
        show_summary(page, readme)
    print(f"\n{text}\nwritten to {page}")


def _warm_up(contenders: Sequence[Contender], job: Job) -> None:
    """Run everybody once over next to nothing: programs come into the page cache, and what each compiles or archives
    for later runs is there."""
    for contender in contenders:
        print(f"warming up {contender.name}", flush=True)
        job.run(contender, Limits())
    clean(job.results)


def _choose(options: argparse.Namespace) -> tuple[list[Contender], list[str]]:
    """(who takes part, why others do not and what there is to say of some)."""
    wanted = [ENGINES[name] for name in options.engines]
    if "polars" in options.engines:
        wanted += [each for each in map(with_workers, options.workers) if each not in wanted]
    wanted += [PEERS[name] for name in options.peers]
    notes = [f"left out: {contender.title}: {absence}" for contender in wanted if (absence := contender.absence())]
    for note in notes:
        print(note)
    chosen = [contender for contender in wanted if not contender.absence()]
    if any(contender.on_cluster for contender in chosen):
        notes.append(CLUSTER_NOTE)
    return chosen, notes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
