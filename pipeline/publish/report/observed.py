"""What was observed of a run besides its counts: when its tasks ran, how fast, in how much memory, in which sizes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.aggregate.driver import Totals
from pipeline.exchange.workspace import SPLIT_KINDS, Workspace, split_file
from pipeline.preprocess.ledger import Phase1
from pipeline.timing import Phase, Span, WatchedProgress
from utils.metrics import PeakMemory, Series


@dataclass(frozen=True)
class Observed:
    """``begin``: the run's, in epoch seconds; ``memory_begin``: where its series begins, in seconds after that."""

    begin: float
    spans: Sequence[Span]
    phases: Sequence[Phase]
    memory: Series
    memory_begin: float
    reached: Mapping[str, int]


def observe(
    watched: WatchedProgress,
    spans: Sequence[Span],
    memory: PeakMemory,
    outcome: Phase1,
    totals: Totals,
    workspace: Workspace,
    data: Path,
) -> Observed:
    """Bring together what the run's parts have noted; ``data``: where the result's files are, if any."""
    return Observed(
        begin=watched.begin,
        spans=spans,
        phases=watched.phases,
        memory=memory.samples,
        memory_begin=memory.begin - watched.begin,
        reached=_reached_sizes(outcome, totals, workspace, data),
    )


def _reached_sizes(outcome: Phase1, totals: Totals, workspace: Workspace, data: Path) -> dict[str, int]:
    """What the planned sizes became: splits and buckets, the largest of each, and the bytes of files."""
    splits = [split.result for split in outcome.splits]
    files = (
        workspace.path(kind, split_file(split.split.number, suffix))
        for kind, suffix in SPLIT_KINDS.items()
        for split in splits
    )
    stored = sum(path.stat().st_size for path in files if workspace.store and path.exists())
    return {
        "splits": len(splits),
        "largest_split_bytes": max((split.stop - split.start for split in splits), default=0),
        "buckets": len(totals.buckets),
        "largest_bucket_rows": max((bucket.rows for bucket in totals.buckets), default=0),
        "intermediate_bytes": _size_of(Path(workspace.root)) - _size_of(workspace.path("spool", "")) + stored,
        "output_bytes": _size_of(data),
    }


def _size_of(folder: Path) -> int:
    return sum(os.stat(Path(place) / name).st_size for place, _, names in os.walk(folder) for name in names)
