"""The kernels that take records of the quarantine from where they are: the version before, or the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.engines import Advance
from pipeline.exchange.loser_places import NO_PLACES, Places, places_among, write_places
from pipeline.exchange.row_files import PLACE_UNIT
from pipeline.exchange.workspace import Workspace, split_file
from pipeline.native.arrow import to_frame
from pipeline.preprocess.reject_writer import GROUP_ROWS, SCHEMA, reject_file
from pipeline.publish.context import PublishContext
from pipeline.publish.quarantine_parts import SMALL_BYTES, SMALL_ROWS, Group, QuarantinePart, TableWriter
from pipeline.publish.tasks import KeepTask, QuarantineSource, RejectTask
from pipeline.staging import here
from pipeline.timing import in_stage

_GROUP_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Kept:
    """What ``keep_conflicts`` took.

    ==========  =====================================================================
    ``whole``   numbers of the row groups that can be copied as they are
    ``part``    the rows of the others that are losers still, as they are shown now
    ``places``  file with the places of all of them; None where there are none
    ==========  =====================================================================
    """

    whole: tuple[int, ...]
    part: QuarantinePart | None
    places: Path | None


def part_file(workspace: Workspace, kind: str, number: int) -> Path:
    """The file that a kernel writes for the task of this number; ``kind``: rejected, kept or fetched."""
    return workspace.path("quarantine", f"{kind}-{split_file(number)}")


@in_stage("publish")
def copy_rejected(context: PublishContext, task: RejectTask, advance: Advance) -> QuarantinePart | None:
    """Write the rejected records of the task's splits, with their lines and offsets in the logs; ``advance`` gets
    records. A row group has several whole splits, or a part of one, so that each can be kept without its neighbours."""
    with TableWriter(part_file(context.workspace, "rejected", task.number)) as writer:
        for source in task.sources:
            file = pq.ParquetFile(here(reject_file(context.workspace, source.split.number)))
            alone = file.metadata.num_rows > GROUP_ROWS // 4
            if alone:
                writer.end_group()
            for table in _row_groups(file):
                frame = pl.DataFrame(table).with_columns(
                    pl.lit(source.name).alias("file"),
                    pl.col("line") + source.first_line,
                    pl.col("byte_offset") + source.start,
                )
                rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA)
                writer.add(source.split.number, source.mark, rows)
                advance(len(rows))
            if alone:
                writer.end_group()
    return writer.part()


def _row_groups(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """The rows of a file in tables of about ``_GROUP_BYTES`` or ``GROUP_ROWS``: row groups that are not too small."""
    groups: list[int] = []
    size = rows = 0
    for number in range(file.num_row_groups):
        groups.append(number)
        size += file.metadata.row_group(number).total_byte_size
        rows += file.metadata.row_group(number).num_rows
        if size > _GROUP_BYTES or rows > GROUP_ROWS or number == file.num_row_groups - 1:
            yield file.read_row_groups(groups, use_threads=False)
            groups, size, rows = [], 0, 0


@in_stage("publish")
def keep_conflicts(context: PublishContext, task: KeepTask, advance: Advance) -> Kept:
    """Take the losers that still are some from row groups of the version before; ``advance`` gets rows."""
    file = pq.ParquetFile(here(Path(task.path)))
    sources = {source.split.number: source for source in task.sources}
    whole: list[int] = []
    found: list[Places] = [NO_PLACES]
    with TableWriter(part_file(context.workspace, "kept", task.number)) as writer:
        for number, group in task.groups:
            offsets = file.read_row_group(number, ["byte_offset"], use_threads=False)["byte_offset"].to_numpy()
            splits = np.repeat([piece.split for piece in group], [piece.rows for piece in group])
            places, stay = _losers_among(task, sources, splits, offsets)
            found.append(places[stay])
            if (
                not _is_small(file.metadata.row_group(number))
                and stay.all()
                and all(sources[piece.split].mark == piece.mark for piece in group)
            ):
                whole.append(number)
            elif stay.any():
                _keep_rows(writer, file.read_row_group(number, use_threads=False), group, stay, sources)
            advance(len(offsets))
    paths = part_file(context.workspace, "kept", task.number).with_suffix(".npy")
    return Kept(tuple(whole), writer.part(), paths if write_places(paths, np.concatenate(found)) else None)


def _is_small(group: pq.RowGroupMetaData) -> bool:
    """Whether the rows of a row group are better written together with others."""
    return bool(group.num_rows < SMALL_ROWS and group.total_byte_size < SMALL_BYTES)


def _losers_among(
    task: KeepTask, sources: dict[int, QuarantineSource], splits: NDArray[np.int64], offsets: NDArray[np.int64]
) -> tuple[Places, NDArray[np.bool_]]:
    """(The places of records, given by split and byte in the log; whether each is a loser now)."""
    counting, inverse = np.unique(splits, return_inverse=True)
    starts = np.array([sources[split].start if split in sources else -1 for split in counting.tolist()], np.int64)
    counts = (starts >= 0)[inverse]
    places = (splits * PLACE_UNIT + offsets - starts[inverse]).astype(np.uint64)
    order = np.argsort(places[counts])
    ordered = places[counts][order]
    is_loser = ~places_among(task.gone, ordered) if task.losers is None else places_among(task.losers, ordered)
    stay = np.zeros(len(places), bool)
    stay[np.flatnonzero(counts)[order]] = is_loser
    return places, stay


def _keep_rows(
    writer: TableWriter, rows: pa.Table, group: Group, stay: NDArray[np.bool_], sources: dict[int, QuarantineSource]
) -> None:
    first = 0
    for piece in group:
        wanted = stay[first : first + piece.rows]
        if wanted.any():
            source = sources[piece.split]
            frame = to_frame(rows.slice(first, piece.rows)).filter(pl.Series(wanted))
            writer.add(piece.split, source.mark, as_shown(frame, source))
        first += piece.rows


def as_shown(frame: pl.DataFrame, source: QuarantineSource) -> pa.Table:
    """Rows of the quarantine under the present name of their log, without texts where these are forgotten."""
    frame = frame.with_columns(pl.lit(source.name).alias("file"))
    if source.forgotten:
        frame = frame.with_columns(value=pl.lit(None, pl.String), raw=pl.lit(None, pl.Binary))
    return frame.select(SCHEMA.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA)
