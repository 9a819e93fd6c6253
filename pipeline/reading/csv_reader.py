"""Reads one split as verified batches: valid rows, rejected records, and counts that balance.

Bytes are read in chunks of whole lines. Each chunk goes to the first of these parsers that can take it:

1. The compiled parser takes every chunk but a mess, if the run has a library and nothing needs all values as text.
2. Polars parses a clean chunk as columns of text.
3. If the run has a library, it finds the records of a chunk and copies their texts.
4. The careful parser takes every chunk: plain lines by Polars, the other records one by one.

The scanner checks the results of the first three against the bytes. The number of records that the careful parser finds
must be the number that the scanner counts; otherwise the file is refused.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Protocol, TypeVar

import numpy as np
import polars as pl

from pipeline.errors import FileRefused
from pipeline.reading import scanner, text_parser, values, watch_times
from pipeline.reading.careful_parser import parse_carefully
from pipeline.reading.compiled_parser import CompiledParser, ParsedChunk
from pipeline.reading.early_records import find_early_records
from pipeline.reading.file_access import unreadable
from pipeline.reading.header import Header, read_next_lines
from pipeline.reading.header_changes import MOST_HEADERS, TOO_MANY_HEADERS, UNUSABLE_HEADER, HeaderChange
from pipeline.reading.later_headers import HeaderFinder, HeadersFound, find_headers, reject_all, with_reasons
from pipeline.reading.log_ids import id_roles, join_columns
from pipeline.reading.record_finder import FoundRecords, RecordFinder, copied_rightly
from pipeline.reading.record_rules import BoundRule, apply_rules
from pipeline.reading.record_starts import find_record_start, next_line
from pipeline.reading.single_record import RECORD_TOO_LONG
from pipeline.reading.splits import Split
from pipeline.reading.text_parser import NO_REJECTED, REJECTED, Positions, TextColumns, check, rejected_frame
from pipeline.reading.timestamps import moments
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats
from pipeline.timing import stage
from utils.units import format_count

_NO_ROWS = pl.DataFrame()
_MOST_LINES = 50_000
"""Most lines of a batch, because each line may become a Python object: a chunk of rubbish can have a million lines. A
chunk of logs has fewer."""

_FEWEST_BYTES = 16 * 2**10
"""Bytes of the first chunk behind a header among the records, as the next header may be near; each further chunk has
twice as many."""

_NEAR = 32
"""The first look beyond a chunk, for the end of its last record, takes the chunk's size divided by this number."""


@dataclass(frozen=True)
class Batch:
    """The records of one chunk.

    ===============  ================================================================================================
    ``rows``         the valid records that the compiled parser did not add to its rows; no columns if there are none
    ``rejected``     the rejected records, as ``REJECTED``; lines and offsets count from the split's start
    ``records``      number of records, whoever parsed them
    ``blank_lines``  number of blank lines, which are no records
    ``lines``        number of physical lines
    ``length``       bytes of the chunk that the batch covers
    ``warned``       reason → number of valid rows that break the warning rule
    ``undated``      number of valid rows without a timestamp that can be read, where the header has the role
    ``likely``       setting and value → number of rejected rows that look as if the setting should have the value
    ===============  ================================================================================================

    Columns of ``rows``:

    =================  ===========================================================================
    ``log_id``         String; of several columns as ``log_ids.join_columns`` makes it
    ``user_id``        String
    ``ip_address``     String
    ``micro_minutes``  Int64, watch time in millionths of a minute
    ``offset``         UInt32, first byte of the record, counted from the split's start
    ``timestamp``      Int64, ``timestamps.moments`` or null; only if the header has the role
    =================  ===========================================================================
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    records: int
    blank_lines: int
    lines: int
    length: int
    warned: Counter[str]
    undated: int = 0
    likely: Counter[str] = field(default_factory=Counter)


class _Measured(Protocol):
    @property
    def length(self) -> int:
        """Bytes that were parsed."""


_Parsed = TypeVar("_Parsed", bound=_Measured)


@dataclass
class SplitReader:
    """Iterates over the batches of a split.

    The stream has the bytes of ``split.source``. ``start`` and ``stop`` are the bytes that the batches so far cover:
    the first record may begin behind ``split.start``, and the last one may end behind ``split.stop``. ``header`` is in
    force in the batch that was yielded last, which ends behind the next header; ``changes`` are the headers among the
    records, and ``repeated`` says whether one of them repeats the header in force. ``parsers`` are the compiled parsers
    that were used, one for each header. Without ``headers`` no header is looked for.

    Iteration raises FileRefused where the file cannot be read, became shorter, or the counts of the scanner and the
    parsers differ.
    """

    split: Split
    stream: BinaryIO
    chunk_bytes: int
    max_record: int
    compiled: CompiledParser | None = None
    rules: tuple[BoundRule, ...] = ()
    formats: ValueFormats = USUAL_FORMATS
    finder: RecordFinder | None = None
    headers: HeaderFinder | None = None
    start: int = field(init=False, default=0)
    stop: int = field(init=False, default=0)
    header: Header = field(init=False)
    changes: list[HeaderChange] = field(init=False, default_factory=list)
    repeated: bool = field(init=False, default=False)
    parsers: list[CompiledParser] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.header = self.split.header
        self._chunk = self.chunk_bytes
        self.parsers += [self.compiled] if self.compiled else []

    def __iter__(self) -> Iterator[Batch]:
        split = self.split
        self.start = self.stop = split.start if split.exact else find_record_start(self._read, split, self.max_record)
        line = 0
        if self.stop < self.header.data_start and self.header.early_records:
            batch = self._read_preamble()
            self.stop, line = self.header.data_start, batch.lines
            yield batch
        while self.stop < split.stop:
            batch = self._read_to_header(line)
            self.stop += batch.length
            line += batch.lines
            yield batch
            self._chunk = min(self.chunk_bytes, 2 * self._chunk)
            if self.changes and self.changes[-1].header is not self.header:
                self._switch_to(self.changes[-1].header)

    def _read_to_header(self, line: int) -> Batch:
        """Read the next batch, to the next header that changes how records are read; adds it to ``changes``."""
        mark = self.compiled.mark() if self.compiled else None
        batch = self._read_batch(self.stop, line, self.split.stop)
        if self.headers is None or not len(batch.rejected):
            return batch
        found = self._find_headers(batch, self.headers)
        if found.change and self.start + found.change.offset < self.stop + batch.length:
            # What stands behind was read by the wrong header. The bytes to the header are the same records again.
            if self.compiled and mark:
                self.compiled.take_back(mark)
            batch = self._read_batch(self.stop, line, self.start + found.change.offset)
            found = self._find_headers(batch, self.headers)
        self.repeated |= found.repeated
        self.changes += [found.change] if found.change else []
        if len(self.changes) > MOST_HEADERS:
            raise FileRefused(TOO_MANY_HEADERS)
        return replace(batch, rejected=with_reasons(batch.rejected, found.reasons))

    def _find_headers(self, batch: Batch, finder: HeaderFinder) -> HeadersFound:
        def lines_at(position: int) -> list[bytes]:
            return read_next_lines(self._read, position, self.max_record)

        return find_headers(
            batch.rejected, finder, self.header, self.start, lambda at: next_line(self._read, at), lines_at
        )

    def _switch_to(self, header: Header) -> None:
        self.header = header
        self._chunk = min(self.chunk_bytes, _FEWEST_BYTES)
        if self.parsers:
            self.compiled = self.parsers[0].with_header(header) if header.usable else None
            self.parsers += [self.compiled] if self.compiled else []
        if self.finder:
            self.finder = self.finder.with_header(header)

    def _read_preamble(self) -> Batch:
        """The records before the header, as one batch of rejected records; other lines before it are no records."""
        header = self.header
        try:
            early = find_early_records(self.stream, header, self.max_record, self.formats)
        except OSError as fault:
            raise unreadable(fault, self.start) from fault
        length = header.data_start - self.start
        return Batch(_NO_ROWS, early.rejected, early.records, 0, header.first_line - 1, length, Counter())

    def _read_batch(self, position: int, line: int, stop: int) -> Batch:
        """Read the batch that begins at byte ``position`` of the file, on line ``line`` of the split, and takes no
        record that begins at ``stop`` or behind it."""
        data = self._read(position, min(self._chunk, stop - position))
        end = data.rfind(b"\n") + 1
        if end == 0:
            data = self._finish_line(position, data)
            end = len(data)
        if not data.endswith(b"\n", 0, end):
            if len(data) > self.max_record + 1:
                return self._reject_overlong(position, data, line)
            data += b"\n"  # the last line of a file need not end
            end = len(data)
        if not self.header.usable:
            return self._read_carefully(position, _first_lines(data[:end]), line)
        return self._parse_compiled(position, data, end, line) or self._parse_text(
            position, _first_lines(data[:end]), line
        )

    def _parse_compiled(self, position: int, data: bytes, end: int, line: int) -> Batch | None:
        """Parse the records that begin in the first ``end`` bytes of ``data`` by the compiled parser, if it can."""
        parser = self.compiled
        if not parser:
            return None

        def parse(data: bytes, size: int, whole: bool) -> ParsedChunk | None:
            with stage("parse, hash, geo", min(size, end)):
                return parser.parse(data, end, size, position - self.start, whole=whole)

        parsed, data = self._parse_to_the_end(parse, position, data, end)
        return self._make_batch(parsed.left, data, position, line, parsed.tally) if parsed else None

    def _find_texts(self, position: int, chunk: bytes, line: int) -> Batch | None:
        """Parse the records that begin in ``chunk`` as text by the compiled library, if it is there and can."""
        finder = self.finder
        if not finder:
            return None

        def find(data: bytes, size: int, whole: bool) -> FoundRecords | None:
            with stage("parse", min(size, len(chunk))):
                return finder.find(data, len(chunk), size, whole=whole)

        found, data = self._parse_to_the_end(find, position, chunk, len(chunk))
        if not found:
            return None
        with stage("parse", found.length):
            columns = finder.texts(found, np.arange(len(found.separators), dtype=np.int32))
        with stage("verify"):
            same = copied_rightly(found, columns, header=self.header)
        return self._make_batch(columns, data, position, line, found.tally) if same else None

    def _parse_to_the_end(
        self, parse: Callable[[bytes, int, bool], _Parsed | None], position: int, data: bytes, end: int
    ) -> tuple[_Parsed | None, bytes]:
        """(result of ``parse``, the bytes that it was for): more bytes where the first record goes on behind ``end``.

        ``parse`` gets bytes, how many of them count, and whether the records that begin before ``end`` need no others.
        """
        parsed = parse(data, end, position + end >= self.split.size)
        if not parsed or parsed.length:
            return parsed, data
        data = data[:end] + self._read(position + end, self.max_record + 2)
        if not data.endswith(b"\n"):
            data += b"\n"
        parsed = parse(data, len(data), True)
        return (parsed if parsed and parsed.length else None), data

    def _parse_text(self, position: int, chunk: bytes, line: int) -> Batch:
        """Parse a chunk of whole lines by Polars, or carefully where the scanner does not confirm the result."""
        header = self.header
        texts = None if b'""' in chunk else text_parser.parse(chunk, header)  # doubled quotes never pass
        starts = None if texts is None else check(chunk, texts, header, self.max_record)
        if texts is None or starts is None:
            return self._find_texts(position, chunk, line) or self._read_carefully(position, chunk, line)
        columns = TextColumns(texts, starts, _find_line_stops(chunk, starts), np.arange(len(starts)))
        tally = scanner.Tally(len(starts), 0, len(starts), len(chunk))
        return self._make_batch(columns, chunk, position, line, tally)

    def _read_carefully(self, position: int, chunk: bytes, line: int) -> Batch:
        """Parse a chunk of any lines, of which the last record may end beyond the chunk.

        Raises FileRefused where the careful parser does not find as many records as the scanner counts.
        """
        limit = len(chunk)
        header = self.header
        shape = (limit, ord(header.delimiter), header.fields, self.max_record)
        # Few records end far beyond the chunk; to read ``max_record`` bytes more for every chunk would take too long.
        near = self._read(position + limit, min(self.chunk_bytes // _NEAR, self.max_record)) if b'"' in chunk else b""
        data = chunk + near[: near.rfind(b"\n") + 1]
        with stage("verify", limit):
            tally = scanner.tally(data, *shape)
            if tally.unfinished:
                data = chunk + self._read(position + limit, self.max_record + 2)
                if not data.endswith(b"\n"):
                    data += b"\n"
                tally = scanner.tally(data, *shape)
        with stage("parse"):
            columns = parse_carefully(data, limit, header, self.max_record, trust_polars=True)
            if columns is None or columns.records != tally.records:
                columns = parse_carefully(data, limit, header, self.max_record, trust_polars=False)
        if columns is None or columns.records != tally.records:
            found = "nothing" if columns is None else format_count(columns.records, "record")
            raise FileRefused(
                f"it does not balance near byte {position}: the scanner counts {tally.records} records, "
                f"the parser found {found}. A fault in the program; please report it with that part of the file."
            )
        return self._make_batch(columns, data, position, line, tally)

    def _make_batch(self, columns: TextColumns, data: bytes, position: int, line: int, tally: scanner.Tally) -> Batch:
        """Judge the values of ``columns``, and count lines and offsets from the split's start."""
        base = position - self.start
        length = min(tally.length, self.split.size - position)  # less a line end that _read_batch has added
        if not columns.records:
            return Batch(_NO_ROWS, NO_REJECTED, tally.records, tally.blank_lines, tally.lines, length, Counter())
        rows, rejected, undated = _NO_ROWS, columns.rejected, 0
        warned, likely = Counter[str](), Counter[str]()
        if not self.header.usable:
            rejected = reject_all(columns, data)
        elif len(columns.offsets):
            with stage("parse"):
                judged = judge_values(columns, data, self.header, self.rules, self.formats)
            rows = judged.rows.with_columns((pl.col("offset") + base).cast(pl.UInt32))
            rejected, warned, likely = judged.rejected, judged.warned, judged.likely
            undated = rows["timestamp"].null_count() if "timestamp" in rows.columns else 0
        rejected = rejected.with_columns(pl.col("line") + line, pl.col("offset") + base)
        counts = tally.records, tally.blank_lines, tally.lines, length
        return Batch(rows, rejected, *counts, warned, undated, likely)

    def _reject_overlong(self, position: int, head: bytes, line: int) -> Batch:
        """Reject a line beyond ``max_record`` as one record, of which the first ``max_record`` bytes are kept."""
        end = next_line(self._read, position + len(head))
        reason = RECORD_TOO_LONG if self.header.usable else UNUSABLE_HEADER
        record = (line, position - self.start, reason, None, None, head[: self.max_record])
        rejected = pl.DataFrame([record], schema=REJECTED, orient="row")
        return Batch(_NO_ROWS, rejected, 1, 0, 1, end - position, Counter())

    def _finish_line(self, position: int, data: bytes) -> bytes:
        """``data``, which is at ``position``, up to the next line end, the file's end or just beyond ``max_record``."""
        pieces, length, step = [data], len(data), max(256, self.chunk_bytes // 64)
        while length <= self.max_record + 2:
            more = self._read(position + length, step)
            if not more:
                break
            end = more.find(b"\n") + 1
            pieces.append(more[:end] if end else more)
            if end:
                break
            length += len(more)
            step *= 2
        return b"".join(pieces)

    def _read(self, position: int, size: int) -> bytes:
        """At most ``size`` bytes at ``position``; fewer only at the file's end, as far as it was known."""
        wanted = max(0, min(size, self.split.size - position))
        try:
            with stage("read", wanted):
                self.stream.seek(position)
                data = self.stream.read(wanted)
        except OSError as fault:
            raise unreadable(fault, position) from fault
        if len(data) < wanted:
            raise FileRefused("it became shorter while it was read. Run again when it is complete.")
        return data


def _first_lines(chunk: bytes) -> bytes:
    """At most the first ``_MOST_LINES`` lines of ``chunk``; the next batch begins behind them."""
    if chunk.count(b"\n") <= _MOST_LINES:
        return chunk
    ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == scanner.LF)
    return chunk[: ends[_MOST_LINES - 1] + 1]


def _find_line_stops(data: bytes, starts: Positions) -> Positions:
    """The ends of the lines of ``data``, without LF and CRLF. ``starts``: where the lines begin."""
    array = np.frombuffer(data, np.uint8)
    ends = np.append(starts[1:], len(data)) - 1
    stops: Positions = ends - ((array[ends - 1] == scanner.CR) & (ends > starts))
    return stops


@dataclass(frozen=True)
class JudgedRecords:
    """The records of one chunk after their values were judged.

    ============  ====================================================================================================
    ``rows``      the valid records, in the columns of ``Batch.rows``; ``offset`` is Int64 and counts from the chunk's
                  start
    ``rejected``  the malformed records and those with an invalid value, as ``TextColumns.rejected``
    ``warned``    reason → number of valid rows that break the warning rule
    ``likely``    as in ``Batch``
    ============  ====================================================================================================
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    warned: Counter[str]
    likely: Counter[str] = field(default_factory=Counter)


def judge_values(
    columns: TextColumns,
    data: bytes,
    header: Header,
    rules: tuple[BoundRule, ...] = (),
    formats: ValueFormats = USUAL_FORMATS,
) -> JudgedRecords:
    """Judge the values of the chunk ``data`` by the contract (contract: records), in the ``formats`` of the settings,
    and by the user's ``rules``.

    Rows stay in the order of ``columns``. An id of several columns is blank where one of them is. A record with several
    faults is rejected for one of them: a blank log_id before a blank user_id and the watch time, then the rules in
    their order.
    """
    texts = columns.texts
    names = {role: header.names[index] for role, index in header.columns.items()}
    micro_minutes, faults = watch_times.micro_minutes(texts["watch_time"], formats)
    reasons = {row: (reason, "watch_time") for row, reason in faults.items()}
    reasons |= dict.fromkeys(values.blank_rows(texts["user_id"]), (values.BLANK_USER_ID, "user_id"))
    ids = id_roles(texts)
    for role in reversed(ids):
        reasons |= dict.fromkeys(values.blank_rows(texts[role]), (values.BLANK_LOG_ID, role))
    warned: Counter[str] = Counter()
    if rules:
        findings = apply_rules(rules, texts, micro_minutes, reasons.keys())
        reasons |= findings.broken
        warned = findings.warned
    log_id = join_columns([texts[role] for role in ids])
    rows = pl.DataFrame([log_id, texts["user_id"].alias("user_id"), texts["ip_address"].alias("ip_address")])
    rows = rows.with_columns(pl.Series("micro_minutes", micro_minutes), pl.Series("offset", columns.offsets))
    if "timestamp" in texts:
        rows = rows.with_columns(moments(texts["timestamp"], formats.timestamps).alias("timestamp"))
    if not reasons:
        return JudgedRecords(rows, columns.rejected, warned)
    valid = np.ones(len(rows), bool)
    valid[list(reasons)] = False
    rejected = pl.concat([columns.rejected, _rejected_rows(columns, data, reasons, names)])
    return JudgedRecords(rows.filter(pl.Series(valid)), rejected, warned, _likely_formats(texts["watch_time"], reasons))


def _likely_formats(texts: pl.Series, reasons: dict[int, tuple[str, str]]) -> Counter[str]:
    """WATCH_TIME_FORMAT and value → number of the rows rejected for their watch time that look so."""
    odd = watch_times.WATCH_TIME_NOT_A_NUMBER, watch_times.WATCH_TIME_WRONG_FORMAT
    rows = [row for row, (reason, _) in reasons.items() if reason in odd]
    if not rows:
        return Counter()
    likely = watch_times.likely_formats(texts.gather(rows))
    return Counter({f"WATCH_TIME_FORMAT = {form}": count for form, count in likely.items()})


def _rejected_rows(
    columns: TextColumns, data: bytes, reasons: dict[int, tuple[str, str]], names: dict[str, str]
) -> pl.DataFrame:
    """The rows of ``reasons`` as ``REJECTED``.

    ``reasons``: row → (reason, role of the column or ``""``); ``names``: role → name of the column.
    """
    rows = np.fromiter(reasons, np.int64, len(reasons))
    reason_of_row, role_of_row = zip(*reasons.values(), strict=True)
    roles = pl.Series(role_of_row, dtype=pl.String)
    value = pl.repeat(None, len(rows), dtype=pl.String, eager=True)
    for role in set(role_of_row) - {""}:
        value = columns.texts[role].gather(rows).zip_with(roles == role, value)
    column = roles.replace_strict(names, default=None, return_dtype=pl.String)
    bounds = columns.offsets[rows], columns.stops[rows]
    return rejected_frame(data, columns.lines[rows], *bounds, pl.Series(reason_of_row, dtype=pl.String), column, value)
