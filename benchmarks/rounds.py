"""One round: everybody in turn on the same files, several times, and whether all results agree."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.agreement import Digest, difference, keep_result
from benchmarks.cluster import NO_CLUSTER, BenchCluster
from benchmarks.contenders import Contender, clean, environment
from benchmarks.data_sets import Geography
from benchmarks.measure import Limits, Measurement, measure
from benchmarks.surroundings import Machine, ThisMachine, run_quietly
from utils.units import format_seconds, format_size


@dataclass(frozen=True)
class Round:
    """All runs on one input of ``bytes_read``, and the result that they agree on.

    ``data_set``: its name; ``size``: the bytes that were asked for; ``failed``: who did not finish, and why; ``wrong``:
    whose result differs, or where Logmill itself failed.
    """

    data_set: str
    size: int
    bytes_read: int
    runs: Mapping[Contender, Sequence[Measurement]]
    digest: Digest | None
    failed: Mapping[Contender, str]
    wrong: Mapping[Contender, str]

    def seconds(self, *names: str) -> float | None:
        """Median time of the fastest of the contenders so named; None where none took part."""
        return min((median(run.seconds for run in self.runs[c]) for c in self.runs if c.name in names), default=None)

    def peak(self, *names: str) -> float | None:
        """Greatest memory of the most frugal of the contenders so named, in bytes; None where none took part."""
        return min((max(run.peak_bytes for run in self.runs[c]) for c in self.runs if c.name in names), default=None)


@dataclass(frozen=True)
class Terms:
    """How runs are made: how many of each contender, within which limits, and how many seconds are waited for a quiet
    ``machine`` before each."""

    runs: int
    limits: Limits
    patience: float = 0.0
    machine: Machine = field(default_factory=ThisMachine)


@dataclass(frozen=True)
class Job:
    """The logs of a data set in one size, and its regions; ``results`` holds what a run writes, and nothing of the run
    before; ``cluster``: for those who run on one."""

    data_set: str
    size: int
    logs: Path
    geography: Geography
    results: Path
    cluster: BenchCluster = NO_CLUSTER

    def run(self, contender: Contender, limits: Limits) -> Measurement:
        """Run a contender once, from nothing."""
        clean(self.results)
        command = contender.command(self.logs, self.geography.table, self.results, self.geography.options)
        cluster = self.cluster if contender.on_cluster else NO_CLUSTER
        return measure(
            command, {**environment(self.results, limits.memory), **cluster.variables}, limits, cluster.processes
        )


def run_round(contenders: Sequence[Contender], job: Job, terms: Terms) -> Round:
    """All contenders in alternating order; who fails or disagrees with the first takes no further part."""
    files, results = sorted(job.logs.glob("*.csv")), job.results
    _warm(files)
    found: dict[Contender, list[Measurement]] = {contender: [] for contender in contenders}
    failed: dict[Contender, str] = {}
    wrong: dict[Contender, str] = {}
    digest: Digest | None = None
    first, agreed = "", results.with_name("agreed.parquet")
    for number in range(terms.runs):
        # Turned by one each time, so that nobody always follows the same neighbour.
        turn = number % len(contenders)
        for contender in [*contenders[turn:], *contenders[:turn]]:
            if contender in failed or contender in wrong:
                continue
            measured = run_quietly(partial(job.run, contender, terms.limits), terms.machine, terms.patience)
            _say(contender, measured)
            if measured.failure:
                (wrong if contender.engine else failed)[contender] = measured.failure
                continue
            found[contender].append(measured)
            if not contender.has_result:
                continue
            if digest is None:
                first, digest = contender.title, keep_result(results / "data", agreed)
            elif differs := difference(agreed, results / "data", exact=bool(contender.engine)):
                wrong[contender] = f"its result differs from that of {first}: {differs}"
    clean(results)
    agreed.unlink(missing_ok=True)
    kept = {
        contender: measured for contender, measured in found.items() if measured and contender not in failed | wrong
    }
    size = sum(path.stat().st_size for path in files)
    return Round(job.data_set, job.size, size, kept, digest, failed, wrong)


def _say(contender: Contender, measured: Measurement) -> None:
    result = measured.failure or f"{format_seconds(measured.seconds)}, {format_size(measured.peak_bytes)}"
    print(f"{contender.name}: {result}; load {measured.load:.1f}, others {measured.others:.0%}", flush=True)


def _warm(files: Sequence[Path]) -> None:
    """Read all input once, and end what the system still writes, so that the first contender does not pay for the
    disk."""
    os.sync()
    for path in files:
        with path.open("rb") as stream:
            while stream.read(1 << 24):
                pass
