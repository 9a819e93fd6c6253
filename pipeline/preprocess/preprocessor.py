"""The kernels of Phase 1: a split of a CSV becomes a Parquet file in buckets, an id index, and counts that balance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.dedupe import Keys, Positions, distinct_contents, repeated_keys, rows_with_keys
from pipeline.engines import Advance
from pipeline.errors import FileRefused
from pipeline.exchange.id_index import FINE_BUCKET_BITS, FINE_MASK, write_index
from pipeline.exchange.row_files import write_rows
from pipeline.exchange.split_rows import NO_TIMESTAMP, ROW_BYTES, SplitRows, arrange
from pipeline.exchange.workspace import save_array, split_file
from pipeline.native.copies import Part, decide_copies, find_keys, sort_keys
from pipeline.preprocess.context import ReadContext
from pipeline.preprocess.cross_check import DISAGREEMENT, CrossCheck
from pipeline.preprocess.enrichment import enrich
from pipeline.preprocess.odd_addresses import OddAddresses
from pipeline.preprocess.reject_writer import RejectWriter, reject_file
from pipeline.preprocess.tasks import ReadTask, SplitResult
from pipeline.privacy import hide_ids, hide_in_rejected, hide_users
from pipeline.reading.compiled_parser import CompiledParser
from pipeline.reading.csv_reader import Batch, SplitReader
from pipeline.reading.file_access import file_size, open_file, unreadable
from pipeline.reading.header import Header
from pipeline.reading.header_changes import HeaderChange
from pipeline.reading.input_files import hash_beginning
from pipeline.reading.record_finder import RecordFinder
from pipeline.reading.splits import Split
from pipeline.reading.watch_times import A_DAY
from pipeline.timing import stage

_ENOUGH_RECORDS = 2000
_MOST_REJECTED = 0.9
"""Of a split whose header is not sure: so many records tell that they belong to another header, if more than this share
of them is rejected. To read on would take several times as long as reading by the right header."""

_USUAL_USER_BYTES = 16
"""Room for a user_id, for a start."""


class HeaderUnsure(Exception):
    """Nearly all records are rejected; perhaps a header before the split is not known yet."""


def read_split(
    context: ReadContext, split: Split, advance: Advance, sampled: CrossCheck, *, sure: bool = True
) -> SplitResult:
    """Read, verify, enrich, deduplicate and write one split. Its files, by the number of the split:

    =========  ====================================================================================
    rows/      ``exchange.row_files.write_rows``; no file without rows
    index/     ``exchange.id_index.write_index``; no file without rows
    rejects/   ``RejectWriter``; no file where no record is rejected
    lines/     int64 pairs: (first byte of a chunk, counted from the split's start; lines before it)
    =========  ====================================================================================

    ``advance`` gets bytes. ``sampled`` gets a sample of the rows; the result counts only if ``sampled`` finds the
    compiled parser right. Raises FileRefused and, unless the header is ``sure``, HeaderUnsure.
    """
    rows, counts = _read_rows(context, split, advance, sampled, sure=sure)
    save_array(context.workspace.path("lines", split_file(split.number, "npy")), counts.chunk_starts)
    duplicates = 0
    bucket_rows = np.zeros(context.buckets, np.int64)
    if rows.count:
        with stage("dedupe", rows.count):
            found = find_duplicates(rows, context)
            duplicates = len(found.dropped)
            if len(found.timestamps):
                rows["timestamp"][found.dated] = found.timestamps
        with stage("index", len(found.index)):
            write_index(context.workspace.path("index", split_file(split.number, "npy")), found.index)
            dropped = found.dropped
            del found  # the memory of its index serves the arranged rows
        with stage("scatter", rows.count):
            rows, bucket_rows = arrange_by_bucket(rows, dropped, context)
        with stage("write", rows.count):
            write_rows(context.workspace.path("rows", split_file(split.number)), rows, bucket_rows, context.library)
    return SplitResult(
        split=split,
        start=counts.start,
        stop=counts.stop,
        records=counts.records,
        blank_lines=counts.blank_lines,
        lines=counts.lines,
        duplicates=duplicates,
        handed_over=int(bucket_rows.sum()),
        bucket_rows=bucket_rows.tolist(),
        rejected_by_reason=counts.rejected,
        warned=dict(counts.warned),
        undated=counts.undated,
        over_a_day=counts.over_a_day,
        likely=dict(counts.likely),
        text_bytes=rows.text_bytes if bucket_rows.any() else 0,
        changes=counts.changes,
        repeated=counts.repeated,
    )


@dataclass(frozen=True)
class _Counts:
    """What was read of a split, as in SplitResult; ``chunk_starts``: as in lines/."""

    start: int
    stop: int
    records: int
    blank_lines: int
    lines: int
    rejected: Counter[str]
    warned: Counter[str]
    undated: int
    over_a_day: int
    likely: Counter[str]
    changes: tuple[HeaderChange, ...]
    repeated: bool
    chunk_starts: NDArray[np.int64]


def _read_rows(
    context: ReadContext, split: Split, advance: Advance, sampled: CrossCheck, *, sure: bool
) -> tuple[SplitRows, _Counts]:
    """Read a split, until its end or until its rows take ``context.held_bytes``; writes its rejected records."""
    key = context.pseudonyms.load() if context.pseudonyms else None
    records = blank_lines = lines = undated = 0
    warned: Counter[str] = Counter()
    likely: Counter[str] = Counter()
    odd_addresses = OddAddresses(context.geo(), context.formats.addresses)
    chunk_starts: list[tuple[int, int]] = []
    rows = SplitRows(timestamps=context.keep != "longest")
    expected = _expected_rows(split, context)
    rows.reserve(expected, expected * _USUAL_USER_BYTES)
    with stage("set up"):
        compiled, finder = _compiled_parser(context, split, rows), _record_finder(context, split)
    with (
        open_file(split.source, split.stop) as stream,
        RejectWriter(reject_file(context.workspace, split.number), context.keep_raw) as rejects,
    ):
        reader = SplitReader(
            split,
            stream,
            context.chunk_bytes,
            context.max_record,
            compiled,
            context.rules,
            context.formats,
            finder,
            context.headers,
        )
        for batch in reader:
            chunk_starts.append((reader.stop - batch.length - reader.start, lines))
            records += batch.records
            blank_lines += batch.blank_lines
            lines += batch.lines
            warned += batch.warned
            undated += batch.undated
            likely += batch.likely
            good, rejected = _hide_users(batch, reader.header, key) if key else (batch.rows, batch.rejected)
            rejects.add(rejected)
            if len(good):
                enriched = enrich(good, context.geo(), context.formats)
                rows.append(enriched)
                odd_addresses.add_batch(good["ip_address"], enriched["region"])
            if not sure and records > _ENOUGH_RECORDS and rejects.counts.total() > records * _MOST_REJECTED:
                raise HeaderUnsure
            advance(batch.length)
            if rows.held_bytes >= context.held_bytes:
                break
    for parser in reader.parsers:
        sampled.add(split, parser, rows)
    odd_addresses.add_compiled(reader.parsers, rows)
    likely += odd_addresses.likely
    starts = np.array(chunk_starts, np.int64).reshape(-1, 2)
    over_a_day = int((rows["micro_minutes"] > A_DAY).sum())
    of_split = reader.start, reader.stop, records, blank_lines, lines
    of_headers = tuple(reader.changes), reader.repeated
    return rows, _Counts(*of_split, rejects.counts, warned, undated, over_a_day, likely, *of_headers, starts)


def _hide_users(batch: Batch, header: Header, key: bytes) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(Good rows, rejected records) with pseudonyms instead of user_ids."""
    good = hide_users(batch.rows, key) if len(batch.rows) else batch.rows
    if len(good) and "log_id" not in header.columns:  # the user may be a part of the id
        good = hide_ids(good, key)
    return good, hide_in_rejected(batch.rejected, header.names[header.columns["user_id"]], key)


def _compiled_parser(context: ReadContext, split: Split, rows: SplitRows) -> CompiledParser | None:
    """The compiled parser; None where users get pseudonyms or rules judge texts, because that parser makes no texts,
    and where it does not read the formats of the values."""
    if context.library is None or context.rules or context.pseudonyms or not context.formats.compilable:
        return None
    if not split.header.usable:
        return None
    if "log_id" not in split.header.columns:  # an id of several columns
        return None
    return CompiledParser(context.library, split.header, context.geo(), rows, context.max_record, context.formats)


def _record_finder(context: ReadContext, split: Split) -> RecordFinder | None:
    """What finds the texts of records with quotes by the library, if there is one."""
    return RecordFinder(context.library, split.header, context.max_record) if context.library else None


def _expected_rows(split: Split, context: ReadContext) -> int:
    """An estimate of the split's rows, with room to spare: arrays that need not grow are not copied."""
    width = split.header.row_width
    limit = context.held_bytes // ROW_BYTES
    return min(limit, int((split.stop - split.start) / width * 1.05)) + 100 if width else 0


@dataclass(frozen=True)
class Duplicates:
    """The rows of a split that repeat another one's content.

    ==============  ==============================================================================================
    ``index``       the sorted id index of the rows that stay
    ``dropped``     positions of the rows that go
    ``dated``       positions of the rows that stay and may have copies; empty where no timestamp decides
    ``timestamps``  for each of these the timestamp that decides over its copies (int64, NO_TIMESTAMP if missing)
    ==============  ==============================================================================================
    """

    index: Keys
    dropped: Positions
    dated: Positions
    timestamps: NDArray[np.int64]


def find_duplicates(rows: SplitRows, context: ReadContext) -> Duplicates:
    """Find the rows that go. Only copies of equal content go, because a conflict is decided where all copies of its id
    meet."""
    keys = rows["id_hi"] & ~FINE_MASK
    keys |= rows["user_hash"] >> np.uint64(64 - FINE_BUCKET_BITS)
    index = sort_keys(context.library, keys.copy())
    repeated = repeated_keys(index)
    dropped = dated = timestamps = np.empty(0, np.int64)
    if not len(repeated):
        return Duplicates(index, dropped, dated, timestamps)
    if context.library:
        (candidates,) = find_keys(context.library, [keys], repeated)
        dropped, dated, timestamps = _compare(rows, candidates, context)
    elif len(candidates := rows_with_keys(keys, repeated)):
        contents = distinct_contents(rows.frame(candidates), context.keep)
        stay = contents["place"].to_numpy()
        dropped = np.setdiff1d(candidates, stay, assume_unique=True)
        if context.keep != "longest":
            dated, timestamps = stay, contents["timestamp"].fill_null(NO_TIMESTAMP).to_numpy()
    return Duplicates(_without(index, np.sort(keys[dropped])), dropped, dated, timestamps)


def _compare(
    rows: SplitRows, candidates: Positions, context: ReadContext
) -> tuple[Positions, Positions, NDArray[np.int64]]:
    """(``dropped``, ``dated``, ``timestamps``) of ``Duplicates``, by compiled code."""
    assert context.library
    times = None if context.keep == "longest" else rows["timestamp"][candidates]
    # Which content wins is decided where all copies meet.
    found = decide_copies(context.library, [_part(rows)], candidates, context.keep, None, times)
    if found.timestamps is None:
        return candidates[found.copies], candidates[:0], candidates[:0]
    return candidates[found.copies], candidates[found.stand], found.timestamps[found.stand]


def _part(rows: SplitRows) -> Part:
    names = ("id_hi", "id_lo", "region", "micro_minutes")
    return Part(user_id=rows.user_ids(), **{name: rows[name] for name in names})


def _without(ordered: NDArray[np.uint64], removed: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A sorted array less one element for each element of ``removed``, which is sorted and all of which are in it."""
    first = np.searchsorted(ordered, removed)
    rank = np.arange(len(removed)) - np.searchsorted(removed, removed)
    return np.delete(ordered, first + rank)


def arrange_by_bucket(rows: SplitRows, dropped: Positions, context: ReadContext) -> tuple[SplitRows, NDArray[np.int64]]:
    """(The rows that stay in order of bucket, those of one bucket as they came; number of rows of each bucket).

    ``rows`` is used up (``exchange.split_rows.arrange``).
    """
    shift = np.uint64(64 - FINE_BUCKET_BITS + context.bucket_shift)
    bucket = (rows["user_hash"] >> shift).astype(np.uint16)
    bucket[dropped] = context.buckets  # behind all others
    counts = np.bincount(bucket, minlength=context.buckets)[: context.buckets]
    if counts.max() == rows.count:  # as of very many small files
        return rows, counts
    if context.library is None:
        return rows.arranged(bucket, counts), counts
    return arrange(context.library, rows, bucket, counts), counts


def read_parts(
    context: ReadContext, tasks: Sequence[ReadTask], advance: Advance
) -> list[tuple[SplitResult | None, str | None] | FileRefused]:
    """Read splits and hash files. Returns for each task (result of the split, hash of the file), None for what the task
    does not ask for and for a split whose header is not sure; or the reason why its file is refused. ``advance`` gets
    bytes of splits."""
    sampled = CrossCheck(context)
    answers = [_read_part(context, task, advance, sampled) for task in tasks]
    wrong = sampled.find_wrong()
    return [
        FileRefused(DISAGREEMENT) if task.split and task.split.number in wrong else answer
        for task, answer in zip(tasks, answers, strict=True)
    ]


def _read_part(
    context: ReadContext, task: ReadTask, advance: Advance, sampled: CrossCheck
) -> tuple[SplitResult | None, str | None] | FileRefused:
    try:
        sure = task.sure or task.split is None or task.split.start == task.split.header.begin[0]
        result = read_split(context, task.split, advance, sampled, sure=sure) if task.split else None
    except HeaderUnsure:
        result = None
    except FileRefused as reason:
        return reason
    if task.hashed is None:
        return result, None
    try:
        with stage("checksum", file_size(task.path)):
            return result, hash_beginning(task.path, task.hashed)
    except OSError as fault:
        return unreadable(fault)
