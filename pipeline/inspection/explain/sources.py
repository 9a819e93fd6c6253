"""Reads records again from the input files that they came from, as long as the files are unchanged."""

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
from pipeline.history.known_files import KnownFile, ledger_of, take_hint
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.reading.archives import expand_file, is_archive
from pipeline.reading.csv_reader import SplitReader
from pipeline.reading.file_access import file_size, open_bytes
from pipeline.reading.input_files import hash_beginning
from pipeline.reading.log_ids import id_roles, longest_value
from pipeline.reading.single_record import record_at
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats

_MAX_RATIO = 1_000_000
"""In effect no limit of expansion: the run that read the same bytes kept MAX_EXPANSION_RATIO."""


def find_difference(file: KnownFile) -> str | None:
    """Compare the file at its path with the bytes that were read: None if it begins with them, else how they differ."""
    try:
        hint = take_hint(file.path, time.time_ns())
        if file.hint.proves_same(hint):
            return None
        same = hint.size >= file.hint.size and hash_beginning(file.path, file.hint.size) == file.file_hash
        return None if same else "it has changed since it was read"
    except OSError as fault:
        return "it is no longer there" if isinstance(fault, FileNotFoundError) else f"it cannot be read ({fault})"


def find_growth(file: KnownFile) -> str | None:
    """``find_difference`` for a reader of whole files: also how the file has grown."""
    grown = "more was appended to it since it was read" if file_size(file.path) > file.hint.size else None
    return find_difference(file) or grown


@dataclass(frozen=True)
class Source:
    """The text of an unchanged file, expanded if the file is compressed.

    Attributes:
        stream: the text.
        file: the file, as the manifest knows it.
        max_record: MAX_RECORD_BYTES.
    """

    stream: BinaryIO
    file: KnownFile
    max_record: int

    def record(self, placed: PlacedSplit, offset: int) -> bytes:
        """Read the bytes of the record at ``offset`` of a split, without the line end."""
        self.stream.seek(placed.result.start + offset)
        header = placed.result.header_at(offset)
        return record_at(self.stream, header.delimiter.encode(), header.fields, self.max_record).raw

    def line(self, store: Workspace, placed: PlacedSplit, offset: int) -> int:
        """The physical line (from 1) of the record at ``offset`` of a split."""
        starts = _chunk_starts(store, placed)
        start, line = starts[int(np.searchsorted(starts[:, 0], offset, side="right")) - 1].tolist()
        self.stream.seek(placed.result.start + start)
        first: int = placed.first_line + line
        return first + self.stream.read(offset - start).count(b"\n")

    def find(
        self, store: Workspace, placed: PlacedSplit, log_id: str, formats: ValueFormats = USUAL_FORMATS
    ) -> pl.DataFrame:
        """Find the well-formed records of a split with this log_id; those that a rule rejected are among them.

        ``formats``: how the values are written. Only chunks with the longest piece of the log_id between quotes are
        parsed. Columns: log_id, user_id, ip_address (String), micro_minutes, offset (Int64, from the start of the
        split); no columns where no chunk has the piece.
        """
        result = placed.result
        parts = max(len(id_roles(header.columns)) for header in (result.split.header, result.last_header))
        value = longest_value(log_id, max(1, parts))
        needle = max(value.encode().split(b'"'), key=len) or b'"'
        bounds = [*_chunk_starts(store, placed)[:, 0].tolist(), result.stop - result.start]
        frames = []
        for first, last in pairwise(bounds):
            self.stream.seek(result.start + first)
            if needle not in self.stream.read(last - first):
                continue
            header = result.header_at(first)  # a chunk ends behind a header
            if not header.usable:
                continue
            chunk = replace(
                result.split, start=result.start + first, stop=result.start + last, exact=True, header=header
            )
            for batch in SplitReader(chunk, self.stream, last - first, self.max_record, formats=formats):
                if len(batch.rows):
                    rows = batch.rows.filter(pl.col("log_id") == log_id)
                    frames.append(rows.with_columns(pl.col("offset").cast(pl.Int64) + first))
        columns = ["log_id", "user_id", "ip_address", "micro_minutes", "offset"]
        return pl.concat([frame.select(columns) for frame in frames]) if frames else pl.DataFrame()


def _chunk_starts(store: Workspace, placed: PlacedSplit) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """A row for each chunk of a split: its offset and its first line, from those of the split."""
    starts: np.ndarray[tuple[int, int], np.dtype[np.int64]] = np.load(
        store.path("lines", split_file(placed.result.split.number, "npy"))
    )
    return starts


@contextmanager
def open_source(file: KnownFile, max_record: int) -> Iterator[Source | str]:
    """Open the text of a file, or tell why it cannot be read again. A compressed file is expanded into a temporary
    folder until the ``with`` block ends."""
    reason = find_difference(file)
    if reason:
        yield reason
        return
    with ExitStack() as stack:
        text = file.path
        if is_archive(text):
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="logmill-")))
            try:
                text = expand_file(text, scratch / "text", _MAX_RATIO, lambda _: None).spool
            except FileRefused as fault:
                yield str(fault)
                return
        if file_size(text) < file.text_size:
            yield "it has changed since it was read"
            return
        yield Source(stack.enter_context(open_bytes(text)), file, max_record)


def placed_splits(file: KnownFile) -> dict[int, PlacedSplit]:
    """The splits of a file by number; none where it is not finished."""
    if not file.finished:
        return {}
    return {placed.result.split.number: placed for placed in ledger_of(file, file.path, at_hand=True).splits}
