"""The fault sweep: every write, sync, rename, link and new file of a run fails once, and the same run goes again.

    python -m tests.end_to_end.disk_sweep [--rounds 300] [--here]        (make chaos)

A run is watched first, to learn what it does to the disk: kinds of calls such as ``sync store/rows/split-#.parquet``.
Then each kind fails at its first, its second and its last call, in turn with ENOSPC, EIO and EDQUOT, and with the
journal written after every split, as usual, or at the end alone. The run must end with exit code 5 and a message that
names the folder, or be complete; what was published before must be whole; and the same command with room again must
give DuckDB's result and leave nothing behind that a run without a failure does not leave.

``--here``: the runs are made in this process, which is started again with the failing disk: a tenth of the time.
"""

import argparse
import gzip
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from unittest import mock

from pipeline.errors import LogmillError
from pipeline.history import journal
from tests.end_to_end.days import expected, make_old, write_day
from tests.end_to_end.failing_disk import FailingDisk
from tests.end_to_end.program import HEADER, ROOT, Rows, environment, published, read_result, run
from tests.harness import run_here

ERRORS = ("ENOSPC", "EIO", "EDQUOT")
FLUSH_SECONDS = ("0", "0.5", "1e9")
SETTINGS = {"SPLIT_BYTES": 5_000, "BUCKETS": 4, "KEEP_VERSIONS": 2, "PREPROCESSING_WORKERS": 2}
_LIMIT_SECONDS = 3600


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code, its message, and the answer of a complete one."""

    code: int
    error: str = ""
    answer: dict = field(default_factory=dict)


Runner = Callable[[Path, dict[str, str]], Outcome]
"""Runs the program over ``logs`` in a folder, with more variables of the environment."""


def run_program(folder: Path, more: dict[str, str]) -> Outcome:
    """The real command line."""
    ended = run("--input", "logs", "--engine", "polars", "--json", cwd=folder, env=environment(**SETTINGS) | more)
    answer = json.loads(ended.out) if ended.out else {}
    return Outcome(ended.code, str(answer.get("error") or ended.err), answer)


def run_in_this_process(folder: Path, more: dict[str, str]) -> Outcome:
    """The same run without processes of its own."""
    seconds = float(more.get("LOGMILLTEST_FLUSH_SECONDS", "0.5"))
    try:
        with mock.patch.object(journal, "FLUSH_SECONDS", seconds):
            result = run_here(folder, **SETTINGS)
    except LogmillError as fault:
        return Outcome(fault.exit_code, str(fault))
    except Exception as fault:
        return Outcome(1, f"a fault in the program: {type(fault).__name__}: {fault}")
    return Outcome(0 if result.status == "ok" else 3, result.error or "", result.to_json())


def make_first(folder: Path) -> list[Path]:
    """The logs of a first run; returns files with the same records that DuckDB reads."""
    logs, truth = folder / "logs", folder / "truth"
    logs.mkdir(parents=True)
    truth.mkdir()
    for number in range(3):
        write_day(truth / f"{number}.csv", random.Random(number), rows=150)
        shutil.copy2(truth / f"{number}.csv", logs)
    with (logs / "1.csv").open("a") as stream:
        stream.write("a malformed record\n")
    make_old(logs / "1.csv")
    write_day(truth / "packed.csv", random.Random(7), rows=100)
    (logs / "packed.csv.gz").write_bytes(gzip.compress((truth / "packed.csv").read_bytes(), mtime=0))
    make_old(logs / "packed.csv.gz")
    return sorted(truth.glob("*.csv"))


def add_a_day(folder: Path) -> list[Path]:
    """A further day: a new log, a corrected one, a renamed one, and one with splits that begin within quotes."""
    logs, truth = folder / "logs", folder / "truth"
    write_day(truth / "3.csv", random.Random(3), rows=150)
    write_day(truth / "0.csv", random.Random(10), rows=150)
    for name in ("3.csv", "0.csv"):
        shutil.copy2(truth / name, logs)
    (logs / "2.csv").rename(logs / "renamed.csv")
    lines = "\n".join(["one of many lines"] * 40)
    rows = (f'q{n},u{n % 9},2026-01-01T00:00:00Z,"{lines}",tv,8.8.8.8,{n}\n' for n in range(30))
    (truth / "quoted.csv").write_text(HEADER + "".join(rows))
    make_old(truth / "quoted.csv")
    shutil.copy2(truth / "quoted.csv", logs)
    return sorted(truth.glob("*.csv"))


class Scenario:
    """A run from one state of a folder, which is restored before each of its rounds."""

    def __init__(self, name: str, folder: Path, logs: list[Path], runner: Runner, disk: FailingDisk) -> None:
        self.name, self._folder, self._runner, self._disk = name, folder, runner, disk
        self._saved = folder.with_name(f"{folder.name}-{name}-before".replace(" ", "-"))
        self._data = folder / "pipeline_data"
        if self._data.exists():
            shutil.copytree(self._data, self._saved, symlinks=True)
        self._before = published(folder) if self._data.exists() else []
        self._rows, self._counts = expected(logs)
        disk.watch()
        problem = self._find_problem(self._run({}), self._rows)
        assert not problem, f"{name}: without a failure {problem}"
        self.kinds = disk.seen()
        self._left = self._shape()

    def restore(self) -> None:
        """Bring the folder back to the state from which the run begins."""
        shutil.rmtree(self._data, ignore_errors=True)
        if self._saved.exists():
            shutil.copytree(self._saved, self._data, symlinks=True)

    def fail_once(self, kind: str, passing: int, error: str, flush_seconds: str) -> str:
        """One round. Returns what went wrong, "" where nothing did, "not reached" where the failure did not come."""
        self.restore()
        earlier = {path: read_result(path / "data") for path in self._versions()}
        more = {"LOGMILLTEST_FLUSH_SECONDS": flush_seconds}
        self._disk.fail(kind, passing, error)
        first = self._run(more)
        failed = self._disk.failed
        self._disk.fail("", 0, error)
        now = published(self._folder) if (self._data / "output").is_symlink() else []
        if first.code == 0:
            problem = self._find_problem(first, self._rows)
        elif first.code != 5:
            problem = f"it ended with {first.code}: {first.error[-300:]}"
        elif "pipeline_data" not in first.error and ".logmill.lock" not in kind:  # it names the lock's holder instead
            problem = f"the message names no folder: {first.error[-300:]}"
        elif now != self._before and (now != self._rows or "Nothing was published" in first.error):
            problem = f"after {first.error[-200:]!r} something else is published"
        elif now == self._before and "is published" in first.error:
            problem = f"nothing was published, but the message is {first.error[-200:]!r}"
        elif now == self._before and {path: read_result(path / "data") for path in earlier} != earlier:
            problem = "a version of before is not whole"
        else:
            problem = ""
        problem = problem or self._find_problem(self._run(more), self._rows)
        if not problem and self._shape() != self._left:
            more_now, less_now = self._shape() - self._left, self._left - self._shape()
            problem = f"left behind: {dict(more_now)}, lacking: {dict(less_now)}"
        return problem or ("" if failed else "not reached")

    def _run(self, more: dict[str, str]) -> Outcome:
        return self._runner(self._folder, self._disk.environment() | more)

    def _find_problem(self, ended: Outcome, rows: Rows) -> str:
        if ended.code != 0:
            return f"the run ended with {ended.code}: {ended.error[-300:]}"
        if published(self._folder) != rows:
            return "the result differs"
        found = {name: ended.answer[name] for name in self._counts}
        return "" if found == self._counts else f"the counts differ: {found}, expected {self._counts}"

    def _versions(self) -> list[Path]:
        return sorted((self._data / "output.versions").glob("2*"))

    def _shape(self) -> Counter[str]:
        """What lies in the folder, without numbers and ids; the contents of earlier versions aside."""
        names = (str(path.relative_to(self._data)) for path in self._data.rglob("*"))
        return Counter(re.sub(r"[0-9][0-9a-fTZ-]*", "#", name) for name in names if "geo_region" not in name)


@dataclass
class Sweep:
    """What became of every round: (scenario, outcome) → how often; the problems in words."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def note(self, scenario: str, kind: str, fault: str, outcome: str) -> None:
        """Note how a round ended."""
        good = outcome in ("", "not reached")
        call = kind.partition(" file")[0] if kind.startswith("new file") else kind.partition(" ")[0]
        self.outcomes[f"{scenario}: {call}", "fine" if outcome == "" else outcome if good else "wrong"] += 1
        if not good:
            self.problems.append(f"{scenario}: {kind} {fault}: {outcome}")

    def table(self) -> str:
        """Outcomes as Markdown, and the problems."""
        lines = [f"| {what} | {count} | {ending} |" for (what, ending), count in sorted(self.outcomes.items())]
        return "\n".join(["| call | rounds | outcome |", "|---|---:|---|", *lines, "", *self.problems])


def rounds(kinds: Counter[str], dice: random.Random) -> Iterator[tuple[str, int, str, str]]:
    """(kind, passing, errno, seconds between flushes): the first, second and last call of each kind, in any order."""
    calls = [(kind, passing) for kind, count in kinds.items() for passing in sorted({1, min(2, count), count})]
    dice.shuffle(calls)
    errors, seconds = cycle(ERRORS), cycle(flush for flush in FLUSH_SECONDS for _ in ERRORS)
    for kind, passing in sorted(calls, key=lambda call: call[1] != 1):  # all kinds first
        yield kind, passing, next(errors), next(seconds)


def sweep(folder: Path, disk: FailingDisk, runner: Runner, most: int, seed: int) -> Sweep:
    """Run at most ``most`` rounds, half of them over a first run and half over a further day."""
    found, dice = Sweep(), random.Random(seed)
    for name, make in (("first run", make_first), ("further day", add_a_day)):
        scenario = Scenario(name, folder, make(folder), runner, disk)
        for number, (kind, passing, error, seconds) in enumerate(rounds(scenario.kinds, dice)):
            if number == most // 2:
                break
            outcome = scenario.fail_once(kind, passing, error, seconds)
            fault = f"({passing}. time, {error}, flushed after {seconds} s)"
            found.note(name, kind, fault, outcome)
            print(f"{number} {name}: {kind} {fault}: {outcome or 'fine'}", file=sys.stderr, flush=True)
        scenario.restore()
        disk.fail("", 0, "EIO")
        runner(folder, disk.environment())
    return found


@contextmanager
def busy_machine(loops: int) -> Iterator[None]:
    """Other programs want the processors meanwhile."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def main() -> int:
    """Make the sweep, print its table; returns 1 where a round went wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--busy", type=int, default=2, help="busy loops beside")
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="logmill-disk-", dir=os.environ.get("LOGMILLTEST_SCRATCH")))
    try:
        folder = scratch / "run"
        folder.mkdir()
        disk = FailingDisk(folder / "pipeline_data", scratch / "disk")
        if given.here and "LD_PRELOAD" not in os.environ:
            disk.watch()
            variables = os.environ | disk.environment() | {"LOGMILLTEST_SCRATCH": str(scratch)}
            command = [sys.executable, "-m", "tests.end_to_end.disk_sweep", *sys.argv[1:]]
            return subprocess.run(command, cwd=ROOT, env=variables, check=False, timeout=_LIMIT_SECONDS).returncode
        if given.here:
            disk = FailingDisk(folder / "pipeline_data", Path(os.environ["LOGMILLTEST_DISK"]).parent)
        with busy_machine(given.busy):
            found = sweep(folder, disk, run_in_this_process if given.here else run_program, given.rounds, given.seed)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(found.table())
    return bool(found.problems)


if __name__ == "__main__":
    sys.exit(main())
