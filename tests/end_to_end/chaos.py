"""The kill sweep: SIGKILL at every named point and at random times, a restart after each, and a reader all the while.

    python -m tests.end_to_end.chaos [--kills 200]        (make chaos)

Each round changes the input, kills the run over it, and runs it again: the result must be that of DuckDB, and the
reader must have seen nothing but the result before or the new one, each complete.
"""

import argparse
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.end_to_end.days import expected, write_day
from tests.end_to_end.program import ROOT, Rows, environment, finish, published, read_result, start

SETTINGS = {"SPLIT_BYTES": 5_000, "BUCKETS": 4}
PASSINGS = (1, 2, 5)
"""Which passing of a point kills: the first, the second, a later one."""


def points() -> list[str]:
    """Every named point in the program's source."""
    found = set()
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        found |= set(re.findall(r'\bpoint\("([a-z.]+)"\)', source))
        for name in re.findall(r'_transaction\("([a-z.]+)"\)', source):
            found |= {name, f"{name}.done"}
    return sorted(found)


class Reader:
    """Resolves the link and reads what it names, again and again, while the ``with`` block lasts."""

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
                place = self._output.resolve(strict=True)
                if not (place / "_SUCCESS").exists() or read_result(place) not in self._allowed:
                    self.faults.append("a mixture")
                self.reads += 1
            except Exception as fault:
                self.faults.append(str(fault))
            time.sleep(0.02)


class Sweep:
    """A folder with logs, and what became of every kill: (kind, outcome) -> how often."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.dice = folder, random.Random(seed)
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.reads = self.resumed = 0
        self.seconds = 3.0
        for number in range(5):
            write_day(self.logs / f"{number}.csv", self.dice)
        self._run({})

    def _start(self, fault: dict[str, str]):
        words = ("--input", "logs", "--engine", "polars", "--prune-missing", "--json")
        return start(*words, cwd=self.folder, env=environment(**SETTINGS) | fault)

    def _run(self, fault: dict[str, str]):
        return finish(self._start(fault))

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

    def kill_once(self, point: str | None, passing: int = 1) -> None:
        """One round; without a point the kill comes at a random time."""
        before = published(self.folder)
        self.change_input()
        rows, counts = expected(sorted(self.logs.glob("*.csv")))
        kind = point.partition(".")[0] if point else "random time"
        with Reader(self.folder / "pipeline_data" / "output", [before, rows]) as reader:
            if point:
                ended = self._run({"LOGMILLTEST_FAULT": f"{point}:{passing}"})
            else:
                program = self._start({})
                time.sleep(self.dice.uniform(0, self.seconds))
                program.send_signal(signal.SIGKILL)
                ended = finish(program)
            begin = time.monotonic()
            again = self._run({})
            self.seconds = time.monotonic() - begin
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
        self.outcomes[kind, problem or ("killed, recovered" if killed else "not reached, fine")] += 1
        print(f"{point or 'random time'}:{passing}: {problem or 'fine'} ({self.seconds:.1f} s)", flush=True)

    def report(self) -> str:
        """A table of kinds and outcomes."""
        lines = [f"{kind:14} {count:4}  {outcome}" for (kind, outcome), count in sorted(self.outcomes.items())]
        kills = sum(count for (_, outcome), count in self.outcomes.items() if not outcome.startswith("not reached"))
        return "\n".join(
            [*lines, f"{kills} kills, {self.reads} reads meanwhile, {self.resumed} restarts reused splits"]
        )

    @property
    def failed(self) -> bool:
        """Whether any round went wrong."""
        return any(not outcome.endswith(("recovered", "fine")) for _, outcome in self.outcomes)


def rounds(kills: int) -> Iterator[tuple[str | None, int]]:
    """Every point at its first passing, then at later ones, then random times."""
    named: list[tuple[str | None, int]] = [(point, passing) for passing in PASSINGS for point in points()]
    half = named[: max(kills // 2, min(kills, len(points())))]
    yield from half
    yield from ((None, 0) for _ in range(kills - len(half)))


def sweep(kills: int, seed: int, folder: Path) -> Sweep:
    """Run ``kills`` rounds."""
    found = Sweep(folder, seed)
    for point, passing in rounds(kills):
        found.kill_once(point, passing)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="logmill-chaos-"))
    try:
        result = sweep(given.kills, given.seed, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(result.report())
    sys.exit(result.failed)
