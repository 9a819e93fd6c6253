"""The kernel that fetches the records that lost a conflict, for the quarantine.

Phase 2 knows a conflict loser by its split and offset alone. Its row comes from the first of these sources that has the
record; ``kept_records.keep_conflicts`` took the rows that the quarantine of the version before has already.

====================================  ============================================================
source file, if its bytes are there   line, offset and bytes of the record
rows of Phase 1                       offset and content (user, region, watch time) of the record
====================================  ============================================================
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.engines import Advance
from pipeline.errors import EnvironmentFault
from pipeline.exchange.loser_places import read_places, without_places
from pipeline.exchange.row_files import PLACE_UNIT
from pipeline.exchange.workspace import split_file
from pipeline.native.arrow import one_text, texts_at, to_arrow
from pipeline.preprocess.reject_writer import GROUP_ROWS, SCHEMA
from pipeline.privacy import mask_addresses
from pipeline.publish.conflict_records import CONFLICT, ConflictRecords, RecordWriter
from pipeline.publish.context import PublishContext
from pipeline.publish.kept_records import part_file
from pipeline.publish.quarantine_parts import DICTIONARIES, QuarantinePart, TableWriter
from pipeline.publish.tasks import ConflictTask, QuarantineSource
from pipeline.quality import MICRO
from pipeline.reading.cut_records import cut_records
from pipeline.reading.file_access import open_bytes
from pipeline.reading.header_changes import header_at
from pipeline.reading.single_record import USUAL_RECORD, record_at
from pipeline.staging import here
from pipeline.timing import in_stage

CONTENT_COLUMN = "user_id, region, minutes"
"""What the quarantine names as the column where the value is the content of a record."""
Offsets = NDArray[np.int64]
_UNIT = np.uint64(PLACE_UNIT)
_REPEATED = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema([(field.name, _REPEATED if field.name in DICTIONARIES else field.type) for field in SCHEMA])
_VALUE = pa.schema([("", pa.string())])


@in_stage("publish")
def fetch_conflicts(context: PublishContext, task: ConflictTask, advance: Advance) -> QuarantinePart | None:
    """Write the conflict losers of a task as rows of the quarantine; ``advance`` gets them.

    Raises EnvironmentFault where a source file that should be there cannot be read: no record is dropped silently.
    """
    path = part_file(context.workspace, "fetched", task.number)
    if context.library and all(source.at_hand for source in task.sources):
        with RecordWriter(path, context.library) as writer:
            for source, offsets in _losers(task):
                for records in _read_source(context, source, offsets):
                    writer.add(source.split.number, source.mark, records)
                    advance(len(records))
        return writer.part()
    with TableWriter(path) as tables:
        for source, offsets in _losers(task):
            for rows in _read_tables(context, source, offsets):
                tables.add(source.split.number, source.mark, rows)
                advance(len(rows))
    return tables.part()


def _losers(task: ConflictTask) -> Iterator[tuple[QuarantineSource, Offsets]]:
    """The sources with losers that are to be fetched, and their offsets in the split, which ascend."""
    begins = np.array([source.split.number for source in task.sources], np.uint64) * _UNIT
    bounds = int(begins[0]), int(begins[-1] + _UNIT)
    places = without_places(read_places(task.losers, *bounds), read_places(task.kept, *bounds))
    firsts, stops = np.searchsorted(places, begins), np.searchsorted(places, begins + _UNIT)
    for source, begin, first, stop in zip(task.sources, begins, firsts, stops, strict=True):
        if first < stop:
            yield source, (places[first:stop] - begin).view(np.int64)


def _read_tables(context: PublishContext, source: QuarantineSource, offsets: Offsets) -> Iterator[pa.Table]:
    """Rows of the quarantine: of the records at ``offsets`` of the split."""
    if not source.at_hand:
        yield from _read_contents(context, source, offsets)
        return
    for records in _read_source(context, source, offsets):
        raws = None if records.begins is None else _as_binary(records.text, records.begins, records.stops)
        yield _table(source.name, records.offsets, lines=to_arrow(records.lines), raws=raws)


def _read_source(context: PublishContext, source: QuarantineSource, offsets: Offsets) -> Iterator[ConflictRecords]:
    """The records at ``offsets``, read from the source file; each chunk that holds some is read once."""
    chunks = np.load(here(context.workspace.path("lines", split_file(source.split.number, "npy"))))
    bounds = [*np.searchsorted(offsets, chunks[:, 0]).tolist(), len(offsets)]
    try:
        with open_bytes(source.split.source) as stream:
            for (begin, lines_before), (first, stop) in zip(chunks.tolist(), pairwise(bounds), strict=True):
                if first < stop:
                    records = _read_chunk(stream, context, source, begin, offsets[first:stop])
                    records.lines[:] += source.first_line + lines_before
                    yield records
    except OSError as fault:
        raise EnvironmentFault(
            f"{source.name} can no longer be read ({fault.strerror or fault}), but the records that "
            "lost a conflict must be kept. Restore it and run again."
        ) from fault


def _table(
    name: str,
    offsets: Offsets,
    *,
    lines: pa.Array | None = None,
    values: pa.Array | None = None,
    raws: pa.Array | None = None,
) -> pa.Table:
    """Rows of the quarantine: of the records at ``offsets`` of the log ``name``, with lines, contents, and bytes."""
    rows = len(offsets)
    texts = {"file": name, "reason": CONFLICT, "column": None if values is None else CONTENT_COLUMN}
    columns = {name: _repeated(text, rows) for name, text in texts.items()}
    columns |= {
        "line": pa.nulls(rows, pa.int64()) if lines is None else lines,
        "byte_offset": to_arrow(offsets),
        "value": pa.nulls(rows, pa.string()) if values is None else values,
        "raw": pa.nulls(rows, pa.binary()) if raws is None else raws,
    }
    return pa.Table.from_arrays([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def _repeated(text: str | None, rows: int) -> pa.Array:
    """A text, or null, in each of ``rows`` rows."""
    numbers = np.zeros(rows, np.int32)
    missing = np.ones(rows, bool) if text is None else None
    return pa.DictionaryArray.from_arrays(to_arrow(numbers, missing), one_text(text or ""))


def _read_chunk(
    stream: BinaryIO, context: PublishContext, source: QuarantineSource, begin: int, offsets: Offsets
) -> ConflictRecords:
    """The records at ``offsets`` of the split, of the chunk that begins at byte ``begin`` of it; lines count from the
    chunk's first one, from 0."""
    header = header_at(source.split.header, source.changes, begin)  # a chunk ends behind a header
    stream.seek(source.start + begin)
    data = stream.read(int(offsets[-1]) - begin + USUAL_RECORD)
    begins = offsets - begin
    cut = cut_records(context.library, data, begins, ord(header.delimiter))
    found = ConflictRecords(source.name, cut.lines, offsets + source.start, None, cut.stops, data)
    if source.forgotten or not context.keep_raw:
        return found
    more = [data]
    end = len(data)
    for other in np.flatnonzero(cut.stops < 0).tolist():  # they go on behind what was read, or are too intricate
        stream.seek(int(found.offsets[other]))
        more.append(record_at(stream, header.delimiter.encode(), header.fields, context.max_record).raw)
        begins[other], cut.stops[other] = end, end + len(more[-1])
        end += len(more[-1])
    return replace(found, begins=begins, text=b"".join(more) if len(more) > 1 else data)


def _as_binary(text: bytes, begins: Offsets, stops: Offsets) -> pa.BinaryArray:
    """Value i has the bytes from ``begins[i]`` to ``stops[i]`` of ``text``."""
    bounds = np.stack([begins, stops], axis=1).reshape(-1)
    found, data = texts_at(bounds, np.frombuffer(text, np.uint8), np.arange(0, len(bounds), 2))
    buffers = [None, pa.py_buffer(found.astype(np.int32)), pa.py_buffer(data)]
    return pa.BinaryArray.from_buffers(pa.binary(), len(begins), buffers)


def _read_contents(context: PublishContext, source: QuarantineSource, offsets: Offsets) -> Iterator[pa.Table]:
    """The contents of the records at ``offsets``, from the rows that Phase 1 stored."""
    path = here(context.workspace.path("rows", split_file(source.split.number)))
    wanted = pl.col("offset").is_in(offsets.astype(np.uint32))
    rows = pl.scan_parquet(path, glob=False).filter(wanted).select("offset", "user_id", "region", "micro_minutes")
    found = rows.sort("offset").collect()
    for first in range(0, len(found), GROUP_ROWS):
        piece = found.slice(first, GROUP_ROWS)
        values = None
        if not source.forgotten:
            values = pl.DataFrame({"": _as_texts(piece, context.region_names)})
            values = values.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(_VALUE).column(0).combine_chunks()
        yield _table(source.name, piece["offset"].cast(pl.Int64).to_numpy() + source.start, values=values)


def _as_texts(rows: pl.DataFrame, regions: tuple[str, ...]) -> pl.Series:
    """The contents as JSON: [user, region, minutes]; addresses are cut to their networks. Each value is written once,
    however often it occurs."""
    names = [mask_addresses(json.dumps(name, ensure_ascii=False)) for name in regions]
    users = rows["user_id"].unique()
    shown = [mask_addresses(json.dumps(user, ensure_ascii=False)) for user in users]
    minutes = rows["micro_minutes"].unique()
    written = [json.dumps(micro / MICRO) for micro in minutes]
    texts = rows.select(
        pl.format(
            "[{}, {}, {}]",
            pl.col("user_id").replace_strict(users, shown, return_dtype=pl.String),
            pl.lit(pl.Series(names, dtype=pl.String)).gather(pl.col("region")),
            pl.col("micro_minutes").replace_strict(minutes, written, return_dtype=pl.String),
        )
    )
    return texts.to_series()
