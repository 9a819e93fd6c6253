"""Logs of made-up days and their results, for the simulation and the kill sweep."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

from tests.end_to_end.program import HEADER, Rows, compute_independently

REGION_OF = {"8.8.8.8": "North America", "10.0.0.1": "PRIVATE", "nowhere": "INVALID"}
ONE_HOUR_AGO = 3600


def write_day(path: Path, dice: random.Random, rows: int = 300, ids: int = 4000) -> None:
    """A log whose ids meet those of other days now and then, with equal, longer or shorter content."""
    lines = [
        f"id-{dice.randrange(ids)},u{dice.randrange(40)},2026-01-01T00:00:00Z,v,tv,{dice.choice(list(REGION_OF))},"
        f"{dice.choice([1, 2.5, 3, 1000])}\n"
        for _ in range(rows)
    ]
    path.write_text(HEADER + "".join(lines))
    make_old(path)


def write_days(folder: Path, rows: int) -> Path:
    """Two logs in a new folder, which is returned."""
    folder.mkdir()
    for number in range(2):
        write_day(folder / f"{number}.csv", random.Random(number), rows=rows)
    return folder


def make_old(path: Path) -> None:
    """Make a file look as if it had been written a while ago, as logs are when a run meets them."""
    before = path.stat().st_mtime - ONE_HOUR_AGO
    os.utime(path, (before, before))


def expected(logs: Sequence[Path]) -> tuple[Rows, dict[str, int]]:
    """The rows of the result and the counts, by DuckDB. A log that is listed twice counts twice."""
    return compute_independently(logs, REGION_OF)
