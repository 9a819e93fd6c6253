"""A published version of a few records, made by hand: real rows, indexes and rejected records, without a manifest."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest

from pipeline.history.known_files import KnownFile, KnownSplit, header_to_json, result_to_json, take_hint
from pipeline.history.known_list import KnownFiles
from pipeline.inspection.explain.published import Published
from pipeline.publish.region_files import partition_folder
from pipeline.versions.catalog import Version
from tests.harness import HEADER, Harness

LONG_AFTER = 2**62
VERSION = "20261101T000000Z-00000a"
FILES = (
    b"a,u1,2026-01-01T00:00:00Z,v,d,1.0.0.1,10\n"
    b"a,u1,2026-01-01T00:00:00Z,v,d,1.0.0.1,10\n"  # phase 1 drops it
    b"b,u1,2026-01-01T00:00:00Z,v,d,2.0.0.1,2.5\n"
    b"b,u1,2026-01-01T00:00:00Z,v,d,2.0.0.1,minus\n",  # rejected
    b"a,u1,2026-01-02T00:00:00Z,v,d,1.0.0.2,12\n"
    b"b,u1,2026-01-02T00:00:00Z,v,d,2.0.0.9,2.5\n"
    b"c,u2,2026-01-02T00:00:00Z,v,d,1.0.0.1,7\n"
    b"c,u1,2026-01-02T00:00:00Z,v,d,1.0.0.1,5\n",
)
TOTALS = {"Asia": [("u1", 12.0, 1), ("u2", 7.0, 1)], "Europe": [("u1", 2.5, 1)]}
"""What FILES make by the rule "longest", worked out by hand."""


@dataclass
class Made:
    """A published version, and its input files."""

    published: Published
    paths: list[Path]

    @property
    def files(self) -> list[KnownFile]:
        return self.published.history.known


Make = Callable[..., Made]


def known_files(run: Harness, **names: tuple[str, ...]) -> list[KnownFile]:
    """The files of a harness as a manifest would know them, numbered from 1, under the names f0.csv, f1.csv, ..."""
    known = []
    for number, ledger in enumerate(run.read(**names).ledgers, start=1):
        path = Path(ledger.file.path)
        splits = [(placed.result.split, placed.result) for placed in ledger.splits]
        parts = [KnownSplit(s.number, s.start, s.stop, s.exact, result_to_json(result)) for s, result in splits]
        hint, header = take_hint(str(path), LONG_AFTER), header_to_json(ledger.file.header)
        known.append(
            KnownFile(number, str(path), path.name, hint, "settings", ledger.file_hash, ledger.file.size, header, 0.0,
                      tuple(parts))
        )  # fmt: skip
    return known


def write_totals(folder: Path, totals: dict[str, list[tuple[str, float, int]]]) -> None:
    """Parquet files as a version has them."""
    for region, rows in totals.items():
        place = folder / "data" / partition_folder(region)
        place.mkdir(parents=True)
        schema = ["user_id", "total_watch_time_min", "event_count"]
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(place / "part-0.parquet")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a published version of files; ``counted``: numbers of those that count (all)."""
    with ExitStack() as stack:

        def make(
            files: Sequence[bytes] = FILES,
            *,
            counted: Sequence[int] = (),
            hidden: bool = False,
            totals: dict[str, list[tuple[str, float, int]]] = TOTALS,
            **settings: Any,
        ) -> Made:
            run = stack.enter_context(Harness([HEADER + file for file in files], **settings))
            known = known_files(run)
            current = SimpleNamespace(name=VERSION, files=frozenset(counted or (file.id for file in known)))
            history = SimpleNamespace(
                known=KnownFiles(known),
                counted=KnownFiles(file for file in known if file.id in current.files),
                current=current,
                lost=0,
                versions={VERSION: current},
                counted_anywhere=current.files,
            )
            write_totals(tmp_path / VERSION, totals)
            version = Version(tmp_path / VERSION, {})
            keep = settings.get("keep", "longest")
            published = Published(
                "out", version, cast(Any, history), run.workspace, keep, 256, hidden, {"settings": tuple(run.names)}
            )
            return Made(published, [Path(path) for path in run.paths])

        yield make
