"""What was observed of a run besides its counts: when its tasks ran, how fast, in how much memory, in which sizes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.aggregate.tasks import Phase2Result
from pipeline.exchange.workspace import SPLIT_KINDS, Workspace, split_file
from pipeline.preprocess.ledger import Phase1Result
from pipeline.timing import Phase, Span, Watch
from utils.metrics import Series


@dataclass(frozen=True)
class Observed:
    """``begin``: the run's, in epoch seconds; ``memory_begin``: where its series begins, in seconds after that."""

    begin: float
    spans: Sequence[Span]
    phases: Sequence[Phase]
    memory: Series
    memory_begin: float
    reached: Mapping[str, int]


def observe(watch: Watch, phase1: Phase1Result, phase2: Phase2Result, workspace: Workspace, data: Path) -> Observed:
    """Bring together what was observed of the run until now; ``data``: where the result's files are, if any."""
    begin = watch.progress.begin
    return Observed(
        begin=begin,
        spans=watch.spans,
        phases=watch.progress.phases,
        memory=watch.memory.samples,
        memory_begin=watch.memory.begin - begin,
        reached=_reached_sizes(phase1, phase2, workspace, data),
    )


def _reached_sizes(phase1: Phase1Result, phase2: Phase2Result, workspace: Workspace, data: Path) -> dict[str, int]:
    """What the planned sizes became: splits and buckets, the largest of each, and the bytes of files."""
    splits = [split.result for split in phase1.splits]
    files = (
        workspace.path(kind, split_file(split.split.number, suffix))
        for kind, suffix in SPLIT_KINDS.items()
        for split in splits
    )
    stored = sum(path.stat().st_size for path in files if workspace.store and path.exists())
    return {
        "splits": len(splits),
        "largest_split_bytes": max((split.stop - split.start for split in splits), default=0),
        "buckets": len(phase2.buckets),
        "largest_bucket_rows": max((bucket.rows for bucket in phase2.buckets), default=0),
        "intermediate_bytes": _size_of(Path(workspace.root)) - _size_of(workspace.path("spool", "")) + stored,
        "output_bytes": _size_of(data),
    }


def _size_of(folder: Path) -> int:
    return sum(os.stat(Path(place) / name).st_size for place, _, names in os.walk(folder) for name in names)
