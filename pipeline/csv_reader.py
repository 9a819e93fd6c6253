"""Verified batches of one split: good rows, rejected records, and counts that balance.

Bytes are read in chunks of whole lines. Each chunk is parsed by Polars as text, and the scanner checks the result
against the bytes. A chunk that passes is clean. One that does not is read again carefully: plain lines by Polars, the
others record by record; and what that finds must equal the scanner's own count of records, or the file is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline import scanner, values
from pipeline.errors import FileRefused
from pipeline.header import Header
from pipeline.records import RECORD_TOO_LONG, byte_fault, read_record
from pipeline.splits import Split

LF, CR, QUOTE = 0x0A, 0x0D, 0x22

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Rejected:
    """A record that is not counted. ``line`` (from 0) and ``offset`` (bytes) are relative to the split's start."""

    line: int
    offset: int
    reason: str
    column: str | None
    value: str | None
    raw: bytes


@dataclass
class Batch:
    """The records of one chunk.

    ``rows`` has the good ones: log_id, user_id, ip_address (String), micro_minutes (Int64), offset (UInt32, bytes from
    the split's start), and, where timestamps decide, timestamp (Int64, microseconds since 1970 UTC, or null).
    ``length`` is in bytes, ``lines`` in physical lines.
    """

    rows: pl.DataFrame
    rejected: list[Rejected]
    records: int
    blank_lines: int
    lines: int
    length: int


@dataclass
class _Columns:
    """Text columns of one chunk by role, with each row's byte offset and line in the chunk."""

    texts: dict[str, pl.Series]
    offsets: NDArray[np.int64]
    lines: NDArray[np.int64]
    rejected: list[Rejected] = field(default_factory=list)


@dataclass
class SplitReader:
    """Iterates over the batches of a split; ``start`` and ``stop`` tell the bytes that it really covered."""

    split: Split
    stream: BinaryIO
    chunk_bytes: int
    max_record: int
    start: int = 0
    stop: int = 0

    def __iter__(self) -> Iterator[Batch]:
        split = self.split
        self.start = self.stop = split.start if split.exact else self._next_line(split.start - 1)
        line = 0
        while self.stop < split.stop:
            batch = self._read_batch(self.stop, line)
            self.stop += batch.length
            line += batch.lines
            yield batch

    def _read_batch(self, position: int, line: int) -> Batch:
        """The batch that begins at ``position``, on line ``line`` of the split."""
        data = self._read(position, min(self.chunk_bytes, self.split.stop - position))
        end = data.rfind(b"\n") + 1
        if end == 0:
            data = self._finish_line(position, data)
            end = len(data)
        if not data.endswith(b"\n", 0, end):
            if len(data) > self.max_record + 1:
                return self._overlong(position, data, line)
            data += b"\n"  # the last line of a file need not end
            end = len(data)
        chunk = data if end == len(data) else data[:end]
        header = self.split.header
        texts = None if b'""' in chunk else parse(chunk, header)  # doubled quotes never pass
        starts = None if texts is None else check(chunk, texts, header, self.max_record)
        if texts is None or starts is None:
            return self._read_carefully(position, chunk, line)
        columns = _Columns(texts, starts, np.arange(len(starts)))
        return self._batch(columns, chunk, position, line, scanner.Tally(len(starts), 0, len(starts), len(chunk)))

    def _read_carefully(self, position: int, chunk: bytes, line: int) -> Batch:
        """The same for a chunk that is not clean; a record may continue beyond it."""
        limit = len(chunk)
        beyond = self._read(position + limit, self.max_record + 2)
        data = chunk + beyond
        if not data.endswith(b"\n"):
            data += b"\n"
        header = self.split.header
        tally = scanner.tally(data, limit, ord(header.delimiter), header.fields, self.max_record)
        columns = _parse_carefully(data, limit, header, self.max_record, trust_polars=True)
        if columns is None or _records(columns) != tally.records:
            columns = _parse_carefully(data, limit, header, self.max_record, trust_polars=False)
        if columns is None or _records(columns) != tally.records:
            found = "nothing" if columns is None else f"{_records(columns)} records"
            raise FileRefused(
                f"it does not balance near byte {position}: the scanner counts {tally.records} records, "
                f"the parser found {found}. A fault in the program; please report it with that part of the file."
            )
        return self._batch(columns, data, position, line, tally)

    def _batch(self, columns: _Columns, data: bytes, position: int, line: int, tally: scanner.Tally) -> Batch:
        base = position - self.start
        rows = _judge_values(columns, data, self.split.header, self.max_record)
        rows = rows.with_columns((pl.col("offset") + base).cast(pl.UInt32))
        rejected = [
            Rejected(line + r.line, base + r.offset, r.reason, r.column, r.value, r.raw) for r in columns.rejected
        ]
        length = min(tally.length, self.split.size - position)  # without a line end that was supplied
        return Batch(rows, rejected, tally.records, tally.blank_lines, tally.lines, length)

    def _overlong(self, position: int, head: bytes, line: int) -> Batch:
        """A line beyond ``max_record``: one rejected record, of which the first ``max_record`` bytes are kept."""
        end = self._next_line(position + len(head))
        reject = Rejected(line, position - self.start, RECORD_TOO_LONG, None, None, head[: self.max_record])
        none = _no_columns(self.split.header)
        rows = _judge_values(none, b"", self.split.header, self.max_record)
        return Batch(rows.with_columns(pl.col("offset").cast(pl.UInt32)), [reject], 1, 0, 1, end - position)

    def _finish_line(self, position: int, data: bytes) -> bytes:
        """``data`` and what follows it to the next line end, the file's end or just beyond ``max_record``."""
        parts, have, step = [data], len(data), max(256, self.chunk_bytes // 64)
        while have <= self.max_record + 2:
            more = self._read(position + have, step)
            if not more:
                break
            end = more.find(b"\n") + 1
            parts.append(more[:end] if end else more)
            if end:
                break
            have += len(more)
            step *= 2
        return b"".join(parts)

    def _next_line(self, position: int) -> int:
        """Start of the first line after the first line end at or after ``position``; the file's size if none."""
        while data := self._read(position, 1 << 16):
            end = data.find(b"\n") + 1
            if end:
                return position + end
            position += len(data)
        return position

    def _read(self, position: int, size: int) -> bytes:
        wanted = max(0, min(size, self.split.size - position))
        try:
            self.stream.seek(position)
            data = self.stream.read(wanted)
        except OSError as fault:
            raise FileRefused(f"cannot be read near byte {position}: {fault.strerror}.") from fault
        if len(data) < wanted:
            raise FileRefused("it became shorter while it was read. Run again when it is complete.")
        return data


def parse(data: bytes, header: Header) -> dict[str, pl.Series] | None:
    """Text columns of ``data`` by role, as Polars reads them; None where it cannot.

    Every value is text and empty fields are empty strings: nothing is inferred, cast or left out here.
    """
    schema = {f"c{place}": pl.String for place in range(header.fields)}
    try:
        frame = pl.read_csv(
            data,
            has_header=False,
            columns=sorted(header.columns.values()),
            separator=header.delimiter,
            quote_char='"' if b'"' in data else None,
            schema=schema,
            infer_schema=False,
            empty_string_is_null=False,
            low_memory=True,
        )
    except pl.exceptions.PolarsError:
        return None
    return {role: frame[f"c{place}"] for role, place in header.columns.items()}


def check(data: bytes, texts: dict[str, pl.Series], header: Header, max_record: int) -> Positions | None:
    """Start of every record where the scanner finds ``texts`` to be what ``data`` says, else None."""
    columns = {header.columns[role]: text for role, text in texts.items()}
    return scanner.check(data, ord(header.delimiter), header.fields, columns, max_record)


def _records(columns: _Columns) -> int:
    return len(columns.offsets) + len(columns.rejected)


def _no_columns(header: Header) -> _Columns:
    nothing = np.empty(0, np.int64)
    return _Columns({role: pl.Series([], dtype=pl.String) for role in header.columns}, nothing, nothing)


def _parse_carefully(
    data: bytes, limit: int, header: Header, max_record: int, *, trust_polars: bool
) -> _Columns | None:
    """The records that begin before ``limit``: plain lines through Polars (and the check), the others one by one.

    None where Polars disagrees with the check. Without ``trust_polars`` every record is read one by one.
    """
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == LF)
    starts = np.concatenate(([0], ends[:-1] + 1))
    stops = ends - ((array[ends - 1] == CR) & (ends > starts))
    inside = starts < limit
    plain = stops - starts <= max_record if trust_polars else np.zeros(len(ends), bool)
    if trust_polars:
        plain &= _plain_lines(data, array, starts, ends, header)
    found = _no_columns(header)
    singles: list[tuple[int, int, tuple[bytes, ...]]] = []
    resume = 0
    for line in np.flatnonzero(~plain & inside & (stops > starts)).tolist():
        start = int(starts[line])
        if start < resume:
            continue
        record = read_record(data, start, header.delimiter.encode(), header.fields, max_record)
        resume = record.end
        if record.end > ends[line] + 1:  # its quoted fields hold the next lines
            plain[line + 1 : np.searchsorted(starts, record.end)] = False
        if record.values is None:
            found.rejected.append(Rejected(line, start, record.reason or "", None, None, record.raw[:max_record]))
        else:
            singles.append((line, start, record.values))
    lines = np.flatnonzero(plain & inside)
    if len(lines):
        bulk = _join_lines(data, starts, ends, lines)
        texts = parse(bulk, header)
        if texts is None:
            return None
        if check(bulk, texts, header, max_record) is None:
            return None
        found = _Columns(texts, starts[lines], lines, found.rejected)
    return _append(found, singles, header)


def _plain_lines(
    data: bytes, array: NDArray[np.uint8], starts: Positions, ends: Positions, header: Header
) -> NDArray[np.bool_]:
    """Which lines are records that Polars reads as the contract does: the right number of fields, valid text, and
    quotes (if any) that surround whole fields and are not doubled."""
    before = np.searchsorted(np.flatnonzero(array == ord(header.delimiter)), ends)
    plain: NDArray[np.bool_] = np.diff(before, prepend=0) == header.fields - 1
    quoted = np.unique(np.searchsorted(ends, np.flatnonzero(array == QUOTE)))
    if len(quoted):
        plain[quoted] = _quoted_whole(_join_lines(data, starts, ends, quoted), header)
    suspects = array == 0
    if byte_fault(data):
        suspects |= array >= 0x80
    for line in np.unique(np.searchsorted(ends, np.flatnonzero(suspects))).tolist():
        plain[line] &= not byte_fault(data[starts[line] : ends[line]])
    return plain


def _quoted_whole(data: bytes, header: Header) -> NDArray[np.bool_]:
    """Of lines with quotes, which have the right number of fields and only quotes that surround whole fields."""
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == LF)
    quotes = np.flatnonzero(array == QUOTE)
    line = np.searchsorted(ends, quotes)
    number = np.bincount(line, minlength=len(ends))
    before = np.cumsum(number) - number
    opens = (np.arange(len(quotes)) - before[line]) % 2 == 0
    boundary = np.zeros(256, bool)
    boundary[[LF, ord(header.delimiter)]] = True
    after = array[quotes + 1]
    left = (quotes == 0) | boundary[array[quotes - 1]]
    right = boundary[after] | ((after == CR) & (array[np.minimum(quotes + 2, len(array) - 1)] == LF))
    broken = np.bincount(line[np.where(opens, ~left, ~right)], minlength=len(ends)) > 0
    delimiters = np.flatnonzero(array == ord(header.delimiter))
    owner = np.searchsorted(ends, delimiters)
    outside = (np.searchsorted(quotes, delimiters) - before[owner]) % 2 == 0
    fields = np.bincount(owner[outside], minlength=len(ends)) + 1
    found: NDArray[np.bool_] = (fields == header.fields) & (number % 2 == 0) & ~broken
    return found


def _join_lines(data: bytes, starts: Positions, ends: Positions, lines: Positions) -> bytes:
    """The bytes of these lines, in order."""
    gaps = np.flatnonzero(np.diff(lines) != 1)
    first = lines[np.concatenate(([0], gaps + 1))]
    last = lines[np.concatenate((gaps, [len(lines) - 1]))]
    return b"".join(data[s:e] for s, e in zip(starts[first].tolist(), (ends[last] + 1).tolist(), strict=True))


def _append(found: _Columns, singles: list[tuple[int, int, tuple[bytes, ...]]], header: Header) -> _Columns:
    """``found`` and the records that were read one by one."""
    if not singles:
        return found
    texts = {
        role: pl.concat([found.texts[role], pl.Series([v[place].decode() for _, _, v in singles], dtype=pl.String)])
        for role, place in header.columns.items()
    }
    offsets = np.concatenate((found.offsets, [start for _, start, _ in singles]))
    lines = np.concatenate((found.lines, [line for line, _, _ in singles]))
    return _Columns(texts, offsets, lines, found.rejected)


def _judge_values(columns: _Columns, data: bytes, header: Header, max_record: int) -> pl.DataFrame:
    """The rows whose values are valid, in order of offset unless read one by one; the others join ``rejected``."""
    texts = columns.texts
    names = {role: header.names[place] for role, place in header.columns.items()}
    micro, faults = values.micro_minutes(texts["watch_time"])
    reasons = {row: (reason, "watch_time") for row, reason in faults.items()}
    reasons |= dict.fromkeys(values.blank_rows(texts["user_id"]), (values.BLANK_USER_ID, "user_id"))
    reasons |= dict.fromkeys(values.blank_rows(texts["log_id"]), (values.BLANK_LOG_ID, "log_id"))
    reasons |= dict.fromkeys(values.repeated_header_rows(texts, names), (values.REPEATED_HEADER, ""))
    rows = pl.DataFrame([texts[role].alias(role) for role in ("log_id", "user_id", "ip_address")]).with_columns(
        pl.Series("micro_minutes", micro), pl.Series("offset", columns.offsets)
    )
    if "timestamp" in texts:
        rows = rows.with_columns(values.epoch_micros(texts["timestamp"]).alias("timestamp"))
    if not reasons:
        return rows
    for row, (reason, role) in reasons.items():
        offset = int(columns.offsets[row])
        raw = read_record(data, offset, header.delimiter.encode(), header.fields, max_record).raw
        value = texts[role][row] if role else None
        columns.rejected.append(Rejected(int(columns.lines[row]), offset, reason, names.get(role), value, raw))
    keep = np.ones(len(rows), bool)
    keep[list(reasons)] = False
    return rows.filter(pl.Series(keep))
