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
from pipeline.native.arrow import one_text, to_arrow
from pipeline.preprocess.reject_writer import GROUP_ROWS, SCHEMA
from pipeline.privacy import mask_addresses
from pipeline.publish.context import PublishContext
from pipeline.publish.kept_records import part_file
from pipeline.publish.quarantine_parts import DICTIONARIES, PartWriter, QuarantinePart
from pipeline.publish.tasks import ConflictTask, QuarantineSource
from pipeline.quality import MICRO
from pipeline.reading.cut_records import cut_records
from pipeline.reading.file_access import open_bytes
from pipeline.reading.header_changes import header_at
from pipeline.reading.single_record import USUAL_RECORD, record_at
from pipeline.timing import in_stage

CONFLICT = "conflict"
"""The reason of a conflict loser in the quarantine."""
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
    numbers = [source.split.number for source in task.sources]
    begins, stops = np.array(numbers, np.uint64) * _UNIT, (np.array(numbers, np.uint64) + np.uint64(1)) * _UNIT
    bounds = int(begins[0]), int(stops[-1])
    places = without_places(read_places(task.losers, *bounds), read_places(task.kept, *bounds))
    firsts, ends = np.searchsorted(places, begins), np.searchsorted(places, stops)
    with PartWriter(part_file(context.workspace, "fetched", task.number)) as writer:
        for source, number, begin, first, end in zip(task.sources, numbers, begins, firsts, ends, strict=True):
            offsets = (places[first:end] - begin).astype(np.int64)
            read = _read_source if source.at_hand else _read_contents
            for rows in read(context, source, offsets) if len(offsets) else ():
                writer.add(number, source.mark, rows)
                advance(len(rows))
    return writer.part()


def _read_source(context: PublishContext, source: QuarantineSource, offsets: Offsets) -> Iterator[pa.Table]:
    """The records at ``offsets``, read from the source file; each chunk that holds some is read once."""
    chunks = np.load(context.workspace.path("lines", split_file(source.split.number, "npy")))
    firsts, lines_before = chunks[:, 0], chunks[:, 1]  # of each chunk: its first byte, the lines before it
    chunk_of = np.searchsorted(firsts, offsets, side="right") - 1
    used, first = np.unique(chunk_of, return_index=True)
    try:
        with open_bytes(source.split.source) as stream:
            for chunk, begin, stop in zip(used.tolist(), first, [*first[1:], len(offsets)], strict=True):
                of_chunk = offsets[begin:stop] - firsts[chunk]
                lines, raws = _read_chunk(stream, context, source, int(firsts[chunk]), of_chunk)
                lines += source.first_line + int(lines_before[chunk])
                yield _table(source, to_arrow(lines), offsets[begin:stop], raws=raws)
    except OSError as fault:
        raise EnvironmentFault(
            f"{source.name} can no longer be read ({fault.strerror or fault}), but the records that "
            "lost a conflict must be kept. Restore it and run again."
        ) from fault


def _table(
    source: QuarantineSource,
    lines: pa.Array | None,
    offsets: Offsets,
    values: pa.Array | None = None,
    raws: pa.Array | None = None,
) -> pa.Table:
    """Rows of the quarantine: of the records at ``offsets`` of the split, with their lines, contents, and bytes."""
    rows = len(offsets)
    texts = {"file": source.name, "reason": CONFLICT, "column": None if values is None else CONTENT_COLUMN}
    columns = {name: _repeated(text, rows) for name, text in texts.items()}
    columns |= {
        "line": pa.nulls(rows, pa.int64()) if lines is None else lines,
        "byte_offset": to_arrow(offsets + source.start),
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
) -> tuple[Offsets, pa.Array | None]:
    """(Lines before, bytes) of the records at ``offsets`` of the chunk that begins at byte ``begin`` of the split; both
    count from the chunk's first one. None where the bytes are not kept."""
    header = header_at(source.split.header, source.changes, begin)  # a chunk ends behind a header
    stream.seek(source.start + begin)
    data = stream.read(int(offsets[-1]) + USUAL_RECORD)
    cut = cut_records(context.library, data, offsets, ord(header.delimiter))
    if source.forgotten or not context.keep_raw:
        return cut.lines, None
    others = np.flatnonzero(cut.stops < 0)  # they go on behind what was read, or are too intricate
    lengths = np.where(cut.stops < 0, 0, cut.stops - offsets)
    if not len(others):
        return cut.lines, _as_binary(lengths, cut.data)
    pieces = np.split(cut.data, np.cumsum(lengths)[:-1])
    for other in others.tolist():
        stream.seek(source.start + begin + int(offsets[other]))
        raw = record_at(stream, header.delimiter.encode(), header.fields, context.max_record).raw
        pieces[other] = np.frombuffer(raw, np.uint8)
    return cut.lines, _as_binary(np.array(list(map(len, pieces))), np.concatenate(pieces))


def _as_binary(lengths: Offsets, data: NDArray[np.uint8]) -> pa.BinaryArray:
    """Values of these lengths, whose bytes lie one behind the other."""
    bounds = np.append(0, np.cumsum(lengths)).astype(np.int32)
    return pa.BinaryArray.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(bounds), pa.py_buffer(data)])


def _read_contents(context: PublishContext, source: QuarantineSource, offsets: Offsets) -> Iterator[pa.Table]:
    """The contents of the records at ``offsets``, from the rows that Phase 1 stored."""
    path = context.workspace.path("rows", split_file(source.split.number))
    wanted = pl.col("offset").is_in(offsets.astype(np.uint32))
    rows = pl.scan_parquet(path, glob=False).filter(wanted).select("offset", "user_id", "region", "micro_minutes")
    found = rows.sort("offset").collect()
    for first in range(0, len(found), GROUP_ROWS):
        piece = found.slice(first, GROUP_ROWS)
        values = None
        if not source.forgotten:
            values = pl.DataFrame({"": _as_texts(piece, context.region_names)})
            values = values.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(_VALUE).column(0).combine_chunks()
        yield _table(source, None, piece["offset"].cast(pl.Int64).to_numpy(), values=values)


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
