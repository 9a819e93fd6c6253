"""Runs that nobody ran: ledgers, facts and folders made by hand, for what publication makes of them."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from config import Config
from pipeline.aggregate.tasks import BucketResult, Phase2Result
from pipeline.engines.choose import EngineChoice
from pipeline.history.carry_over import Intake
from pipeline.history.inventory import Inventory
from pipeline.history.known_files import KnownFile, KnownSplit
from pipeline.history.known_list import FileIds
from pipeline.planning.pace import Pace
from pipeline.planning.planner import Sizes
from pipeline.planning.prediction import Forecast, Work, predict
from pipeline.planning.run_settings import Library, read_settings
from pipeline.planning.sample import Sample
from pipeline.preprocess.ledger import FileLedger, Phase1Result, PlacedSplit
from pipeline.preprocess.tasks import SplitResult
from pipeline.publish.facts import RunFacts
from pipeline.publish.verify import Verdict
from pipeline.reading.header import Header
from pipeline.reading.input_files import FoundInput, InputFile
from pipeline.reading.splits import Split
from pipeline.timing import PhaseSeconds, Span, StageTime
from tests.pipeline.history import samples

NAMES = ("log_id", "user_id", "ip_address", "watch_time(min)")
HEADER = Header(",", NAMES, {"log_id": 0, "user_id": 1, "ip_address": 2, "watch_time": 3}, 41, 2, 30.0)
SIZES = Sizes(2, 64 * 10**6, 16, 10**6, 10**6, 10**9, 10**7, 10**8)


@dataclass
class PlainEngine:
    """Runs kernels one after another in this process, and nothing else."""

    name: str = "polars"
    spans: list[Span] = field(default_factory=list)

    def map(
        self, kernel: Callable[..., Any], context: object, tasks: Sequence[Any], advance: Callable[[int], None]
    ) -> Iterator[tuple[Any, Any]]:
        for task in tasks:
            try:
                yield task, kernel(context, task, advance)
            except Exception as fault:
                yield task, fault


@dataclass
class Calls:
    """Takes any call and remembers it: (name, positional arguments)."""

    made: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **more: self.made.append((name, (*arguments, *more.values())))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.made]


def make_ledger(path: str, *, number: int = 1, header: Header | None = HEADER, **counts: Any) -> FileLedger:
    """The ledger of a file of one split; ``counts``: of the split, or fields of the ledger."""
    usual: dict[str, Any] = {
        "blank_lines": 0, "duplicates": 0, "handed_over": 0, "bucket_rows": (), "rejected_by_reason": {},
    }  # fmt: skip
    of_ledger = {name: counts.pop(name) for name in ("at_hand", "listed_as", "read_at", "file_hash") if name in counts}
    merged = usual | counts
    records = merged["handed_over"] + merged["duplicates"] + sum(merged["rejected_by_reason"].values())
    split = Split(number, path, 1000, 41, 1000, True, header or HEADER)
    result = SplitResult(split, 41, 1000, lines=records, **({"records": records} | merged))
    return FileLedger(InputFile(path, (1000, 0, number), header), (PlacedSplit(result, 2),), **of_ledger)


def make_bucket(bucket: int, regions: dict[int, tuple[int, int, int]], **counts: int) -> BucketResult:
    """The result of a bucket; ``regions``: by code, (users, events, micro-minutes)."""
    kept = sum(events for _, events, _ in regions.values())
    users = sum(users for users, _, _ in regions.values())
    usual = {"rows": kept, "kept": kept, "duplicates": 0, "conflicts": 0, "pending": 0, "users": users}
    return BucketResult(bucket, **(usual | counts), regions=regions)


def known_file(path: str, splits: int = 1) -> KnownFile:
    """A file of the manifest."""
    found = tuple(KnownSplit(number, 0, 1, True, None) for number in range(splits))
    return samples.known_file(zlib.crc32(path.encode()), path, splits=found)


def make_facts(tmp_path: Path, phase1: Phase1Result, phase2: Phase2Result, **changes: Any) -> RunFacts:
    """The facts of a first run over ``phase1``; ``changes``: other fields, or attributes of place, history, intake.

    Place, history and intake have only what publication looks at.
    """
    history: dict[str, Any] = {
        "counts": {}, "current": None, "unknown_version": None, "quarantine": None,
        "totals_folder": tmp_path / "between" / "run-before", "contradicted": [], "lost": 0, "set_aside": "",
        "split_file": lambda kind, number: tmp_path / "between" / "store" / kind / f"split-{number:06d}.npy",
    }  # fmt: skip
    place: dict[str, Any] = {
        "expired": (), "forgotten": 0, "sources": ("logs",), "oldest_kept": 0.0,
        "replays": SimpleNamespace(paths=[], added=frozenset(), describe=lambda _: ()),
        "output": SimpleNamespace(versions=tmp_path / "output.versions", link=tmp_path / "output"),
        "workspace": SimpleNamespace(root=str(tmp_path / "between" / "run-now"), store=""),
        "exchange": None,
    }  # fmt: skip
    intake: dict[str, Any] = {"inventory": Inventory(), "still_counted": ()}
    counted: dict[str, Any] = {"phase1": phase1, "read": phase1.ledgers, "predecessors": {}, "ids": FileIds([1])}
    added_up: dict[str, Any] = {"result": phase2, "way": "kernels", "buckets": 16, "why_anew": ""}
    for values in (history, place, intake, counted, added_up):
        values.update({name: changes.pop(name) for name in list(changes) if name in values})
    work = Work(Sample(1, 1000, 10, 5.0, 3.0, 4), 0, "polars", True, 2)
    config = changes.pop("config", Config(OUTPUT_DIR=str(tmp_path / "output"), PREPROCESSING_WORKERS=2))
    fields: dict[str, Any] = {
        "settings": read_settings(config),
        "engine": EngineChoice(spark=False, note="auto: no Java"),
        "sizes": SIZES,
        "geo": SimpleNamespace(names=("Asia", "Europe"), build="2026-11", attribution="nobody"),
        "library": Library(Path("library.so")),
        "found": FoundInput([], {}, ["README.md"]),
        "place": SimpleNamespace(**place, history=SimpleNamespace(**history)),
        "intake": Intake(**intake),
        "counted": SimpleNamespace(**counted),
        "added_up": SimpleNamespace(**added_up),
        "verdict": Verdict((), None),
        "forecast": Forecast(work, Pace(), predict(SIZES, work, Pace())),
        "begin_seconds": 0.5,
    }
    return RunFacts(**(fields | changes))


@dataclass
class StoppedWatch:
    """A watch that stands still."""

    run_id: str = "20261101T000000Z-abcdef"
    time: PhaseSeconds = field(default_factory=lambda: PhaseSeconds(4.0, 2.0, 1.5, 0.5))
    laps: list[str] = field(default_factory=list)

    def seconds(self) -> PhaseSeconds:
        return replace(self.time)

    def lap(self, phase: str) -> None:
        self.laps.append(phase)

    def peak_memory(self) -> int:
        return 123_456_789

    def profile(self) -> tuple[StageTime, ...]:
        return (StageTime("parse", 1.0, 2.0, 1.0, 10, "bytes"),)
