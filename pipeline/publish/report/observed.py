"""What is observed of a run besides its counts: times of tasks, pace, memory, sizes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.aggregate.tasks import Phase2Result
from pipeline.exchange.workspace import SPLIT_KINDS, Workspace, split_file
from pipeline.preprocess.ledger import Phase1Result
from pipeline.storage.exchange import StorageExchange
from pipeline.timing import Phase, Span, Watch
from utils.metrics import Series


@dataclass(frozen=True)
class Observed:
    """Observations of one run.

    ================  ==========================================================================
    ``begin``         when the run began, in epoch seconds
    ``spans``         its tasks, with their times in epoch seconds
    ``phases``        its phases, with their pace
    ``memory``        bytes of all processes over time
    ``memory_begin``  when ``memory`` begins, in seconds from ``begin``
    ``reached``       sizes that the plan foresaw, as they became: see ``_reached_sizes``
    ================  ==========================================================================
    """

    begin: float
    spans: Sequence[Span]
    phases: Sequence[Phase]
    memory: Series
    memory_begin: float
    reached: Mapping[str, int]


def observe(
    watch: Watch,
    phase1: Phase1Result,
    phase2: Phase2Result,
    workspace: Workspace,
    data: Path,
    exchange: StorageExchange | None = None,
) -> Observed:
    """The observations of the run until now.

    ``data``: the folder of the output files, which need not be there. ``exchange``: where the files of the workspace
    lie, if not in its folders.
    """
    begin = watch.progress.begin
    return Observed(
        begin=begin,
        spans=watch.spans,
        phases=watch.progress.phases,
        memory=watch.memory.samples,
        memory_begin=watch.memory.begin - begin,
        reached=_reached_sizes(phase1, phase2, workspace, data)
        | ({"intermediate_bytes": exchange.stored_bytes()} if exchange else {}),
    )


def _reached_sizes(phase1: Phase1Result, phase2: Phase2Result, workspace: Workspace, data: Path) -> dict[str, int]:
    """How many splits and buckets there are, the largest of each, and the bytes of the files on disk.

    Intermediate bytes are those of the run's own files (without expanded inputs) and of its splits in the store.
    """
    stored = largest = 0
    for split in phase1.splits:
        largest = max(largest, split.result.stop - split.result.start)
        if workspace.store:
            stored += sum(_stored(workspace, split.result.split.number))
    return {
        "splits": phase1.counts.splits,
        "largest_split_bytes": largest,
        "buckets": len(phase2.buckets),
        "largest_bucket_rows": max((bucket.rows for bucket in phase2.buckets), default=0),
        "intermediate_bytes": _size_of(Path(workspace.root)) - _size_of(workspace.path("spool", "")) + stored,
        "output_bytes": _size_of(data),
    }


def _stored(workspace: Workspace, split: int) -> Iterator[int]:
    """The sizes of the files of a split."""
    for kind, suffix in SPLIT_KINDS.items():
        with suppress(FileNotFoundError):
            yield os.stat(workspace.path(kind, split_file(split, suffix))).st_size


def _size_of(folder: Path) -> int:
    return sum(os.stat(Path(path) / name).st_size for path, _, names in os.walk(folder) for name in names)
