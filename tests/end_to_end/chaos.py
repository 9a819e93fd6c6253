"""The kill sweep: SIGKILL at every named point and at random times, a restart after each, and a reader all the while.

    python -m tests.end_to_end.chaos [--kills 200]        (make chaos)

Each round changes the input, kills the run over it, and runs it again: the result must be that of DuckDB, and the
reader must have seen nothing but the result before or the new one, each complete. Prints a table in Markdown
(docs/crash-safety.md has one).
"""

import argparse
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from tests.end_to_end.days import expected, write_day
from tests.end_to_end.program import HEADER, ROOT, Ended, Rows, environment, finish, published, read_result, start

SETTINGS = {"SPLIT_BYTES": 5_000, "BUCKETS": 4}
PASSED_OFTEN = ("intermediate.rename", "output.write", "publish.sync", "rows.write", "store.remove", "store.sync",
                "manifest.finish", "manifest.finish.done")  # fmt: skip
"""Points that a run passes several times; here the second and a later passing kill too."""
RANDOM_TIME = "random time"
LIMIT_SECONDS = 900
"""Limit for one run. It is generous, because other work on the machine may slow down a sweep of an hour."""
RECOVERED, NOT_REACHED = "killed, recovered", "not reached, fine"


def points() -> list[str]:
    """Every named point in the program's source, but those of splits that end early: such a split takes a gigabyte of
    rows (tests/pipeline/preprocess/test_preprocessor.py covers it)."""
    found = set()
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        found |= set(re.findall(r'\bpoint\("([a-z.]+)"\)', source))
        for name in re.findall(r'_transaction\("([a-z.]+)"\)', source):
            found |= {name, f"{name}.done"}
    return sorted(name for name in found if not name.startswith("manifest.divide"))


class Reader:
    """Resolves the link and reads the version that it names, again and again, while the ``with`` block lasts."""

    def __init__(self, output: Path, allowed: list[Rows]) -> None:
        self.reads = 0
        self.faults: list[str] = []
        self._output, self._allowed = output, allowed
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._end.is_set():
            try:
                data = self._output.resolve(strict=True)
                if not (data / "_SUCCESS").exists() or read_result(data) not in self._allowed:
                    self.faults.append("a mixture")
                self.reads += 1
            except Exception as fault:
                self.faults.append(str(fault))
            time.sleep(0.05)


class Sweep:
    """A folder with logs, and what became of every kill: (kind, outcome) -> how often."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.dice = folder, random.Random(seed)
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.reads = self.resumed = self.kills = 0
        self.seconds = 3.0
        for number in range(5):
            write_day(self.logs / f"{number}.csv", self.dice)
        self._run({})

    def _start(self, fault: dict[str, str]) -> subprocess.Popen[str]:
        words = ("--input", "logs", "--engine", "polars", "--prune-missing", "--json")
        return start(*words, cwd=self.folder, env=environment(**SETTINGS) | fault)

    def _run(self, fault: dict[str, str]) -> Ended:
        return finish(self._start(fault), LIMIT_SECONDS)

    def change_input(self) -> None:
        """A new log, and sometimes one that was corrected, renamed or withdrawn."""
        files = sorted(self.logs.glob("*.csv"))
        write_day(self.logs / f"{time.time_ns()}.csv", self.dice, rows=150)
        what = self.dice.randrange(4)
        if what == 0:
            write_day(self.dice.choice(files), self.dice, rows=200)
        elif what == 1:
            self.dice.choice(files).rename(self.logs / f"r{time.time_ns()}.csv")
        if len(files) > 6:
            files[-1 if what == 2 else 0].unlink(missing_ok=True)

    def lead_to(self, point: str) -> None:
        """Change the folder so that the next run passes a point that most runs do not pass."""
        name = point.removesuffix(".done")
        if name == "manifest.create":
            shutil.rmtree(self.folder / "pipeline_data" / "intermediate")
        elif name == "manifest.names":
            sorted(self.logs.glob("*.csv"))[0].rename(self.logs / f"n{time.time_ns()}.csv")
        elif name == "manifest.reopen":  # splits begin within quotes, far from them and on lines that look like records
            lines = "\n".join(["r1,u1,2026-01-01T00:00:00Z,v,tv,8.8.8.8,5"] * 800)
            rows = (f'q{n},u{n % 9},2026-01-01T00:00:00Z,"{lines}",tv,8.8.8.8,{n}\n' for n in range(3))
            (self.logs / f"q{time.time_ns()}.csv").write_text(HEADER + "".join(rows))

    def kill_once(self, point: str, passing: int = 1) -> None:
        """One round, at the point or at a random time."""
        before = published(self.folder)
        self.change_input()
        self.lead_to(point)
        rows, counts = expected(sorted(self.logs.glob("*.csv")))
        with Reader(self.folder / "pipeline_data" / "output", [before, rows]) as reader:
            if point == RANDOM_TIME:
                program = self._start({})
                time.sleep(self.dice.uniform(0, self.seconds))
                program.send_signal(signal.SIGKILL)
                ended = finish(program, LIMIT_SECONDS)
            else:
                ended = self._run({"LOGMILLTEST_FAULT": f"{point}:{passing}"})
            begin = time.monotonic()
            again = self._run({})
            self.seconds = min(time.monotonic() - begin, 2 * self.seconds)
        problem = ""
        if again.code != 0:
            problem = f"the restart ended with {again.code}: {again.err[-300:]}"
        elif published(self.folder) != rows:
            problem = "the result differs"
        elif {name: again.answer[name] for name in counts} != counts:
            problem = "the counts differ"
        elif reader.faults:
            problem = f"a reader saw {reader.faults[0]}"
        else:
            self.resumed += again.answer["new"]["reused_splits"] > 0
        self.reads += reader.reads
        killed = ended.code == -signal.SIGKILL
        self.kills += killed
        self.outcomes[point, problem or (RECOVERED if killed else NOT_REACHED)] += 1
        print(
            f"{self.kills} {point}:{passing}: {problem or 'fine'} ({self.seconds:.1f} s)", file=sys.stderr, flush=True
        )

    def table(self) -> str:
        """Points, runs and outcomes as Markdown."""
        lines = [f"| {point} | {count} | {ending} |" for (point, ending), count in sorted(self.outcomes.items())]
        summary = f"{self.kills} kills; {self.reads:,} reads meanwhile; {self.resumed} restarts used what was there."
        return "\n".join(["| point | runs | outcome |", "|---|---:|---|", *lines, "", summary])

    @property
    def failed(self) -> bool:
        """Whether any round went wrong."""
        return any(not ending.endswith(("recovered", "fine")) for _, ending in self.outcomes)


def rounds(kills: int) -> Iterator[tuple[str, int]]:
    """(point, passing) for up to half of the kills: every point, and later passings of points that a run passes often.
    Then random times."""
    named = [(point, 1) for point in points()]
    named += [(point, passing) for passing in (2, 5) for point in PASSED_OFTEN]
    yield from (named * (1 + kills // len(named)))[: max(kills // 2, min(kills, len(points())))]
    yield from repeat((RANDOM_TIME, 0), 2 * kills)


def sweep(kills: int, seed: int, folder: Path) -> Sweep:
    """Run rounds until ``kills`` runs were killed."""
    found = Sweep(folder, seed)
    for point, passing in rounds(kills):
        found.kill_once(point, passing)
        if found.kills == kills:
            break
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="logmill-chaos-"))
    try:
        result = sweep(given.kills, given.seed, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(result.table())
    sys.exit(result.failed or result.kills < given.kills)
