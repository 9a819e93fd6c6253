"""The reader race: versions are exchanged in a tight loop under four kinds of readers, each in the recommended way.

    python -m tests.end_to_end.race [--seconds 60]        (make chaos)

In the first half the link is exchanged, and readers resolve it once for each read. In the second half a Delta table
follows the link, and readers open the table. Every row of a version tells its version, and every version has other
regions, so that a mixture of two and a part of one are both seen. Prints a table in Markdown.
"""

import argparse
import itertools
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.publish.region_files import SCHEMA, partition_folder
from pipeline.versions.folders import new_run_id
from pipeline.versions.output_link import Output
from tests.needs import needs_java
from tests.result_readers import DELTA_READERS, IN_PROCESS, Reading, SparkReader, open_spark

REGIONS = ("Africa", "Antarctica", "Asia", "Europe", "North America", "Oceania", "PRIVATE", "South America")
VERSIONS = 6
HAS_JAVA = not needs_java.args[0]
Read = Callable[[], Reading]
Rows = tuple[tuple[object, ...], ...]


class Race:
    """Versions of an output, and what became of every read of them: (reader, outcome) -> how often."""

    def __init__(self, folder: Path, *, delta: bool) -> None:
        self.output = Output(str(folder / "out"), delta=delta)
        self.output.check()
        self.delta = delta
        self.versions: list[str] = []
        self.allowed: set[Rows] = set()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.exchanges = 0
        for number in range(VERSIONS):
            self.publish(number)

    def publish(self, number: int) -> None:
        """Publish a version: each has other regions, and its number in every row."""
        version = new_run_id()
        folder = self.output.begin(version)
        rows = []
        for region in [
            region for place, region in enumerate(REGIONS) if (number + 1) >> place % 4 & 1 or place == number
        ]:
            users = [f"user {number} {user}" for user in range(20)]
            table = pa.Table.from_arrays(
                [pa.array(users), pa.array([number / 4] * 20), pa.array([number] * 20)], schema=SCHEMA
            )
            place = folder / "data" / partition_folder(region)
            place.mkdir()
            pq.write_table(table, place / f"part-0000-{version}.parquet")
            rows += [(region, user, number / 4, number) for user in users]
        self.allowed.add(tuple(sorted(rows, key=str)))
        self.output.publish(folder, version, keep=VERSIONS)
        self.versions.append(version)

    def exchange(self, until: threading.Event) -> None:
        """Show one version after the other, as fast as that goes."""
        for version in itertools.cycle(self.versions):
            if until.is_set():
                return
            self.output.show(version)
            self.exchanges += 1

    def read(self, name: str, read: Read, until: threading.Event) -> None:
        """Read again and again, at least once."""
        while True:
            try:
                outcome = "whole" if read().rows in self.allowed else "mixed"
            except Exception as fault:
                outcome = f"failed: {type(fault).__name__}: {str(fault)[:200]}"
            self.outcomes[name, outcome] += 1
            if until.is_set():
                return

    @property
    def bad(self) -> dict[tuple[str, str], int]:
        """The outcomes that must not be."""
        return {key: count for key, count in self.outcomes.items() if key[1] != "whole"}


def readers(race: Race, spark: SparkReader | None) -> dict[str, Read]:
    """The readers by name; Spark only where there is Java."""
    link = race.output.link
    table = link.with_name("out.delta")
    if race.delta:
        found = {name: (lambda read=read: read(table, None)) for name, read in DELTA_READERS.items()}
        more = {"spark": lambda: spark.delta(table)} if spark else {}
    else:
        found = {name: (lambda read=read: read(link.resolve(strict=True))) for name, read in IN_PROCESS.items()}
        more = {"spark": lambda: spark(link.resolve(strict=True))} if spark else {}
    return found | more


def run_race(folder: Path, seconds: float, spark: SparkReader | None, *, delta: bool) -> Race:
    """Exchange versions under all readers for so long, and until each has read."""
    race = Race(folder, delta=delta)
    known = readers(race, spark)
    for read in known.values():
        read()  # starts what it needs
    until = threading.Event()
    threads = [threading.Thread(target=race.read, args=(name, read, until)) for name, read in known.items()]
    exchanger = threading.Thread(target=race.exchange, args=(until,))
    for thread in (exchanger, *threads):
        thread.start()
    until.wait(seconds)
    until.set()
    for thread in (exchanger, *threads):
        thread.join()
    return race


def describe(races: dict[str, Race]) -> str:
    """Exchanges and reads as Markdown."""
    lines = ["| read by way of | exchanges | reader | reads | outcome |", "|---|---:|---|---:|---|"]
    for way, race in races.items():
        lines += [
            f"| {way} | {race.exchanges:,} | {reader} | {count:,} | {outcome} |"
            for (reader, outcome), count in sorted(race.outcomes.items())
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="logmill-race-"))
    try:
        found = {}
        with open_spark() if HAS_JAVA else nullcontext() as spark:
            for way, delta in (("the resolved link", False), ("the Delta table", True)):
                folder = root / ("table" if delta else "link")
                folder.mkdir()
                found[way] = run_race(folder, given.seconds / 2, spark, delta=delta)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(describe(found))
    sys.exit(any(race.bad for race in found.values()))
