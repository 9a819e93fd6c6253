"""Records as they stand in the files that they came from, while these are still there and unchanged."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from pipeline.errors import FileRefused
from pipeline.exchange.workspace import Workspace, split_file
from pipeline.history.journal import ledger_of
from pipeline.history.known_files import KnownFile, take_hint
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.reading.archives import expand_file, is_archive
from pipeline.reading.csv_reader import SplitReader
from pipeline.reading.input_files import hash_file
from pipeline.reading.single_record import record_at

_MAX_RATIO = 1_000_000
"""Expansion was within its limit when the same bytes were read before."""


def find_difference(file: KnownFile) -> str | None:
    """None where the file at its path has the bytes that were read; else what became of it."""
    try:
        hint = take_hint(file.path, time.time_ns())
        if file.hint.proves_same(hint):
            return None
        same = hint.size == file.hint.size and hash_file(file.path) == file.file_hash
        return None if same else "it has changed since it was read"
    except OSError as fault:
        return "it is no longer there" if isinstance(fault, FileNotFoundError) else f"it cannot be read ({fault})"


@dataclass(frozen=True)
class Source:
    """The text of a file that is at hand."""

    stream: BinaryIO
    file: KnownFile
    max_record: int

    def record(self, placed: PlacedSplit, offset: int) -> bytes:
        """The bytes of the record at ``offset`` of a split, without its line end."""
        self.stream.seek(placed.result.start + offset)
        header = placed.result.split.header
        return record_at(self.stream, header.delimiter.encode(), header.fields, self.max_record).raw

    def line(self, store: Workspace, placed: PlacedSplit, offset: int) -> int:
        """The physical line (from 1) of the record at ``offset`` of a split."""
        marks = _marks(store, placed)
        at, line = marks[int(np.searchsorted(marks[:, 0], offset, side="right")) - 1].tolist()
        self.stream.seek(placed.result.start + at)
        before: int = placed.first_line + line
        return before + self.stream.read(offset - at).count(b"\n")

    def find(self, store: Workspace, placed: PlacedSplit, log_id: str) -> pl.DataFrame:
        """All good records of a split with this log_id: log_id, user_id, ip_address, micro_minutes, offset.

        Only chunks that hold the longest piece of it between quotes are parsed. Records that a rule rejected are among
        them.
        """
        needle = max(log_id.encode().split(b'"'), key=len) or b'"'
        result = placed.result
        bounds = [*_marks(store, placed)[:, 0].tolist(), result.stop - result.start]
        frames = []
        for first, last in pairwise(bounds):
            self.stream.seek(result.start + first)
            if needle not in self.stream.read(last - first):
                continue
            chunk = replace(result.split, start=result.start + first, stop=result.start + last, exact=True)
            for batch in SplitReader(chunk, self.stream, last - first, self.max_record):
                if len(batch.rows):
                    rows = batch.rows.filter(pl.col("log_id") == log_id)
                    frames.append(rows.with_columns(pl.col("offset").cast(pl.Int64) + first))
        columns = ["log_id", "user_id", "ip_address", "micro_minutes", "offset"]
        return pl.concat([frame.select(columns) for frame in frames]) if frames else pl.DataFrame()


def _marks(store: Workspace, placed: PlacedSplit) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    marks: np.ndarray[tuple[int, int], np.dtype[np.int64]] = np.load(
        store.path("lines", split_file(placed.result.split.number, "npy"))
    )
    return marks


@contextmanager
def open_source(file: KnownFile, max_record: int) -> Iterator[Source | str]:
    """The text of a file, a compressed one expanded for the time being; or why it is not at hand."""
    reason = find_difference(file)
    if reason:
        yield reason
        return
    with ExitStack() as held:
        text = file.path
        if is_archive(text):
            scratch = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="logmill-")))
            try:
                text = expand_file(text, scratch / "text", _MAX_RATIO, lambda _: None).spool
            except FileRefused as fault:
                yield str(fault)
                return
        if os.path.getsize(text) != file.text_size:
            yield "it has changed since it was read"
            return
        yield Source(held.enter_context(open(text, "rb")), file, max_record)


def placed_splits(file: KnownFile) -> dict[int, PlacedSplit]:
    """The splits of a finished file by number."""
    return {placed.result.split.number: placed for placed in ledger_of(file, file.path, at_hand=True).splits}
