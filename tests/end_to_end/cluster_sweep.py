"""The kill sweep of a cluster: what may be lost is lost at random times, in both phases.

Python workers, executors, whole workers and drivers die. Executors stand still, or the network of a worker is cut, for
so long that Spark takes them for dead and gives their tasks to others; and then they go on.

    python -m tests.end_to_end.cluster_sweep [--kills 60]        (a part of make chaos)

After each kill the result must be that of DuckDB, or the run ends with exit code 5 and one sentence, and the next run
goes on. Prints a table in Markdown.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil

from tests.end_to_end.days import expected, write_day
from tests.end_to_end.program import Ended, finish, published, start
from tests.isolated_cluster import WORKERS, IsolatedCluster, open_cluster
from tests.networks import can_make_networks, open_network

VICTIMS = {
    "Python worker": "pyspark.daemon",
    "executor": "CoarseGrainedExecutorBackend",
    "worker": "deploy.worker.Worker",
    "driver": "",
    "frozen executor": "CoarseGrainedExecutorBackend",
    "network": "",
}
"""What is lost -> what the command of what dies has. The driver is the program itself; who is frozen or cut off goes on
after a while."""
LOST_SECONDS = 8.0, 40.0
IMPATIENT = {"network_timeout": "15s", "network_timeoutInterval": "5s", "executor_heartbeatInterval": "3s"}
"""Settings of Spark for a cluster that takes the frozen for dead."""
SETTINGS = {"SPLIT_BYTES": "20000", "BUCKETS": "8"}
LIMIT_SECONDS = 900
FINE, RESUMED, TOO_LATE = "identical", "the next run identical", "over before the kill"


class ClusterSweep:
    """A folder with logs on a cluster, and what became of every kill: (victim, outcome) -> how often."""

    def __init__(self, cluster: IsolatedCluster, folder: Path, seed: int) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._cluster, self._folder, self._dice = cluster, folder, random.Random(seed)
        self._seconds = 0.0
        (folder / "logs").mkdir()

    def kill_once(self, victim: str, after: float | None = None) -> str:
        """One round over new logs: ``victim`` dies ``after`` so many seconds of work, by default at a random time."""
        shutil.rmtree(self._folder / "pipeline_data", ignore_errors=True)
        for number in range(4):
            write_day(self._folder / "logs" / f"{number}.csv", self._dice, rows=3000)
        program = start("--input", "logs", "--json", cwd=self._folder, env=self._cluster.environment(**SETTINGS))
        killer = _Killer(self._cluster, self._folder, program, victim, self._dice, after)
        begin = time.monotonic()
        ended = finish(program, LIMIT_SECONDS)
        self._seconds = time.monotonic() - begin
        killed = killer.join()
        self._cluster.mend()
        outcome = self._judge(ended, victim)
        if outcome == FINE and not killed:
            outcome = TOO_LATE
        self.outcomes[victim, outcome] += 1
        return outcome

    def _judge(self, ended: Ended, victim: str) -> str:
        if ended.code == 0:
            return self._compare(ended, FINE)
        if ended.code != (-signal.SIGKILL if victim == "driver" else 5):
            return f"ended with {ended.code}: {ended.err[-300:]}"
        if ended.code == 5 and "\n" in json.loads(ended.out)["error"]:
            return "more than one sentence"
        again = start("--input", "logs", "--json", cwd=self._folder, env=self._cluster.environment(**SETTINGS))
        ended = finish(again, LIMIT_SECONDS)
        return self._compare(ended, RESUMED) if ended.code == 0 else f"the next run ended with {ended.code}"

    def _compare(self, ended: Ended, outcome: str) -> str:
        rows, counts = expected(sorted((self._folder / "logs").glob("*.csv")))
        answer = json.loads(ended.out)
        if published(self._folder) != rows:
            return "the result differs"
        return outcome if {name: answer[name] for name in counts} == counts else "the counts differ"

    def table(self) -> str:
        """Victims, rounds and outcomes as Markdown."""
        lines = [f"| {victim} | {count} | {outcome} |" for (victim, outcome), count in sorted(self.outcomes.items())]
        return "\n".join(["| what dies | rounds | outcome |", "|---|---:|---|", *lines])

    @property
    def failed(self) -> bool:
        """Whether any round went wrong."""
        return any(outcome not in (FINE, RESUMED, TOO_LATE) for _, outcome in self.outcomes)


class _Killer:
    """Waits on a thread until executors work on the run, and a while longer; then kills one of its victims, or lets it
    stand still for a while."""

    def __init__(
        self,
        cluster: IsolatedCluster,
        folder: Path,
        program: "subprocess.Popen[str]",
        victim: str,
        dice: random.Random,
        after: float | None,
    ) -> None:
        self._program, self._lost_seconds = program, dice.uniform(*LOST_SECONDS)
        self._cluster, self._between, self._victim = cluster, folder / "pipeline_data" / "intermediate", victim
        self._after = dice.uniform(0, 4) if after is None else after
        self._choice = dice.random()
        self._end = threading.Event()
        self._killed = False
        self._thread = threading.Thread(target=self._kill)
        self._thread.start()

    def join(self) -> bool:
        """End, because the run has ended; returns whether something was killed before."""
        self._end.set()
        self._thread.join()
        return self._killed

    def _kill(self) -> None:
        while not any(self._between.glob("run-*/attempts/*")):
            if self._end.wait(0.02):
                return
        if self._end.wait(self._after):
            return
        if self._victim == "driver":
            self._program.send_signal(signal.SIGKILL)
            self._killed = True
            return
        if self._victim == "network":
            self._cut()
            return
        victims = self._cluster.processes(VICTIMS[self._victim])
        if victims:
            self._lose(victims[int(self._choice * len(victims))])
            self._killed = True

    def _lose(self, process: psutil.Process) -> None:
        if self._victim != "frozen executor":
            process.send_signal(signal.SIGKILL)
            return
        family = [process, *process.children(recursive=True)]
        for sign in (signal.SIGSTOP, signal.SIGCONT):
            for member in family:
                with suppress(psutil.Error):
                    member.send_signal(sign)
            if sign == signal.SIGSTOP:
                self._end.wait(self._lost_seconds)

    def _cut(self) -> None:
        """Cut a worker off, or in one of four rounds both."""
        network, choice = self._cluster.network, int(self._choice * 4)
        assert network, "the sweep has a network that can be cut"
        cut_off = {0: [1, 2]}.get(choice, [1 + choice % 2])
        try:
            for machine in cut_off:
                network.cut(machine)
            self._killed = True
            self._end.wait(self._lost_seconds)
        finally:
            for machine in cut_off:
                network.heal(machine)


def main() -> int:
    """Run the sweep; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--victims", default=",".join(VICTIMS), help="some of: %(default)s")
    given = parser.parse_args()
    victims = given.victims.split(",")
    with_network = can_make_networks()
    if not with_network and "network" in victims:
        print("No network is cut: only root may make namespaces, with ip and nsenter.", file=sys.stderr)
        victims.remove("network")
    folder = Path(tempfile.mkdtemp(prefix="logmill-cluster-"))
    try:
        with (
            open_network(WORKERS) if with_network else nullcontext() as network,
            open_cluster(folder, network, **IMPATIENT) as cluster,
        ):
            sweep = ClusterSweep(cluster, folder, given.seed)
            for number in range(given.kills):
                victim = victims[number % len(victims)]
                print(f"{number + 1} {victim}: {sweep.kill_once(victim)}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(sweep.table())
    return int(sweep.failed)


if __name__ == "__main__":
    sys.exit(main())
