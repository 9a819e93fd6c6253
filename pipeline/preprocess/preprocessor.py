"""The Phase 1 kernel: one split of a CSV becomes one Parquet file in buckets, an id index, and counts that balance."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.dedupe import distinct_contents, repeated_keys, rows_with_keys
from pipeline.engines import Advance
from pipeline.errors import FileRefused
from pipeline.exchange.id_index import FINE_BUCKET_BITS, FINE_MASK, write_index
from pipeline.exchange.row_files import write_rows
from pipeline.exchange.split_rows import NO_TIMESTAMP, ROW_BYTES, SplitRows, arrange
from pipeline.exchange.workspace import save_array, split_file
from pipeline.native.copies import Part, find_keys, judge_copies
from pipeline.preprocess.context import ReadContext
from pipeline.preprocess.cross_check import DISAGREEMENT, CrossCheck
from pipeline.preprocess.enrichment import enrich
from pipeline.preprocess.reject_writer import RejectWriter
from pipeline.preprocess.tasks import ReadTask, SplitResult
from pipeline.privacy import hide_in_rejected, hide_users
from pipeline.reading.compiled_parser import PlainParser
from pipeline.reading.csv_reader import SplitReader
from pipeline.reading.file_access import open_file, unreadable
from pipeline.reading.input_files import file_size, hash_file
from pipeline.reading.splits import Split
from pipeline.timing import stage

_USUAL_USER_BYTES = 16


def preprocess(context: ReadContext, split: Split, advance: Advance) -> SplitResult:
    """Read, verify, enrich, deduplicate and write one split; ``advance`` is told the bytes as they are done.

    Raises FileRefused where the file cannot be read, or not to the contract, or where the compiled parser is wrong.
    """
    sampled = CrossCheck(context)
    result = read_split(context, split, advance, sampled)
    if sampled.find_wrong():
        raise FileRefused(DISAGREEMENT)
    return result


def read_split(context: ReadContext, split: Split, advance: Advance, sampled: CrossCheck) -> SplitResult:
    """The same, but what the compiled parser made of the split counts only if ``sampled``, which gets rows of it, finds
    it right."""
    key = context.pseudonyms.load() if context.pseudonyms else None
    warned: Counter[str] = Counter()
    records = blank_lines = lines = 0
    marks: list[tuple[int, int]] = []
    name = split_file(split.number)
    rows = SplitRows(timestamps=context.keep != "longest")
    expected = _expected_rows(split, context)
    rows.reserve(expected, expected * _USUAL_USER_BYTES)
    with stage("set up"):
        plain = _plain_parser(context, split, rows)
    with (
        open_file(split.source) as stream,
        RejectWriter(context.workspace.path("rejects", name), context.keep_raw) as rejects,
    ):
        reader = SplitReader(split, stream, context.chunk_bytes, context.max_record, plain, context.rules)
        for batch in reader:
            marks.append((reader.stop - batch.length - reader.start, lines))
            records += batch.records
            blank_lines += batch.blank_lines
            lines += batch.lines
            warned += batch.warned
            if key:
                batch.rows = hide_users(batch.rows, key) if len(batch.rows) else batch.rows
                batch.rejected = hide_in_rejected(
                    batch.rejected, split.header.names[split.header.columns["user_id"]], key
                )
            rejects.add(batch.rejected)
            if len(batch.rows):
                rows.append(enrich(batch.rows, context.geo()))
            advance(batch.length)
            if rows.held_bytes >= context.held_bytes:
                break
    if plain:
        sampled.add(split, plain, rows)
    save_array(
        context.workspace.path("lines", split_file(split.number, "npy")), np.array(marks, np.int64).reshape(-1, 2)
    )
    duplicates = 0
    bucket_rows = np.zeros(context.buckets, np.int64)
    if rows.count:
        with stage("dedupe", rows.count):
            index, dropped = drop_duplicates(rows, context)
        duplicates = len(dropped)
        with stage("index", len(index)):
            write_index(context.workspace.path("index", split_file(split.number, "npy")), index)
            del index  # its memory serves the arranged rows
        with stage("scatter", rows.count):
            rows, bucket_rows = arrange_by_bucket(rows, dropped, context)
        with stage("write", rows.count):
            write_rows(context.workspace.path("rows", name), rows, bucket_rows)
    return SplitResult(
        split=split,
        start=reader.start,
        stop=reader.stop,
        records=records,
        blank_lines=blank_lines,
        lines=lines,
        duplicates=duplicates,
        handed_over=int(bucket_rows.sum()),
        bucket_rows=tuple(bucket_rows.tolist()),
        rejected_by_reason=rejects.counts,
        warned=dict(warned),
    )


def _plain_parser(context: ReadContext, split: Split, rows: SplitRows) -> PlainParser | None:
    """The compiled parser, unless users get pseudonyms or rules judge texts, which it does not make."""
    if context.library is None or context.rules or context.pseudonyms:
        return None
    return PlainParser(context.library, split.header, context.geo(), rows, context.max_record)


def _expected_rows(split: Split, context: ReadContext) -> int:
    """Rows of a usual split, with some room: arrays that need not grow are not copied."""
    width = split.header.row_width
    most = context.held_bytes // ROW_BYTES
    return min(most, int((split.stop - split.start) / width * 1.05)) + 1000 if width else 0


def drop_duplicates(rows: SplitRows, context: ReadContext) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(sorted id index of the rows that stay, places of the duplicates that go).

    Only copies of equal content go, because a conflict is decided where all copies of its id meet. A copy that stays
    carries the timestamp that decides over all its copies.
    """
    keys = rows["id_hi"] & ~FINE_MASK
    keys |= rows["user_hash"] >> np.uint64(64 - FINE_BUCKET_BITS)
    index = np.sort(keys)
    repeated = repeated_keys(index)
    dropped = np.empty(0, np.int64)
    if context.library and context.keep == "longest":
        (candidates,) = find_keys(context.library, [keys], repeated)
        found = judge_copies(context.library, [_part(rows)], candidates)
        dropped, candidates = candidates[found.copies], candidates[found.ambiguous]
    else:
        candidates = rows_with_keys(keys, repeated)
    if len(candidates):
        contents = distinct_contents(rows.frame(candidates), context.keep)
        stay = contents["place"].to_numpy()
        dropped = np.union1d(dropped, np.setdiff1d(candidates, stay, assume_unique=True))
        if context.keep != "longest":
            rows["timestamp"][stay] = contents["timestamp"].fill_null(NO_TIMESTAMP).to_numpy()
    return _without(index, np.sort(keys[dropped])), dropped


def _part(rows: SplitRows) -> Part:
    names = ("id_hi", "id_lo", "region", "micro_minutes")
    return Part(user_id=rows.user_ids(), **{name: rows[name] for name in names})


def _without(ordered: NDArray[np.uint64], removed: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A sorted array less one element for each element of ``removed`` (sorted)."""
    first = np.searchsorted(ordered, removed)
    rank = np.arange(len(removed)) - np.searchsorted(removed, removed)
    return np.delete(ordered, first + rank)


def arrange_by_bucket(
    rows: SplitRows, dropped: NDArray[np.int64], context: ReadContext
) -> tuple[SplitRows, NDArray[np.int64]]:
    """The rows that stay, in order of bucket and as they came within it; and each bucket's count."""
    shift = np.uint64(64 - FINE_BUCKET_BITS + context.bucket_shift)
    bucket = (rows["user_hash"] >> shift).astype(np.uint16)
    bucket[dropped] = context.buckets  # behind all others
    counts = np.bincount(bucket, minlength=context.buckets)[: context.buckets]
    if context.library is None:
        return rows.arranged(bucket, counts), counts
    return arrange(context.library, rows, bucket, counts), counts


def read_parts(
    context: ReadContext, tasks: Sequence[ReadTask], advance: Advance
) -> list[tuple[SplitResult | None, str | None] | FileRefused]:
    """For each task (counts of the split, hash of the file), each where the task asks for it; or why its file is
    refused."""
    sampled = CrossCheck(context)
    found = [_read_part(context, task, advance, sampled) for task in tasks]
    wrong = sampled.find_wrong()
    return [
        FileRefused(DISAGREEMENT) if task.split and task.split.number in wrong else part
        for task, part in zip(tasks, found, strict=True)
    ]


def _read_part(
    context: ReadContext, task: ReadTask, advance: Advance, sampled: CrossCheck
) -> tuple[SplitResult | None, str | None] | FileRefused:
    try:
        result = read_split(context, task.split, advance, sampled) if task.split else None
    except FileRefused as reason:
        return reason
    if not task.hashed:
        return result, None
    try:
        with stage("checksum", file_size(task.path)):
            return result, hash_file(task.path)
    except OSError as fault:
        return unreadable(fault)
