"""Extracts a CSV file: its good rows, typed, into Parquet files, and its rejected records."""

import gzip
import math
import mmap
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from pipeline.errors import InputError
from pipeline.machine import display_name
from pipeline.sources.csv_blocks import Block, Header, find_end, good_records, read_block
from pipeline.sources.csv_records import MAX_RECORD_BYTES, Record, split_fields
from pipeline.sources.extracted import Extracted, ExtractWriter, Stamp
from pipeline.sources.source import Source
from pipeline.sources.typed_rows import Rejected, type_rows
from pipeline.storage.transfer import spooled
from pipeline.storage.urls import is_url

_DELIMITERS = (",", ";", "\t", "|")
_BOM = b"\xef\xbb\xbf"
BLOCK_BYTES = 16 * 2**20
"""Most bytes of a block."""
_LEAST_BYTES = 2 * MAX_RECORD_BYTES
"""Bytes of a block below which another thread is not worth its while."""
_LINE_BYTES = 2**14
"""What is added to a block, which ends with a line: so the last one is no small rest."""


@dataclass(frozen=True)
class _Job:
    """What all blocks of a file share."""

    text: bytes
    header: Header
    source: Source
    names: Mapping[str, str]
    called: str


def extract_csv(source: Source, path: str, stamp: Stamp, writer: ExtractWriter, threads: int = 1) -> Extracted:
    """Extract the file at a path or URL with ``writer``, block by block, on ``threads`` threads.

    Raises InputError where the header lacks a column.
    """
    with _opened(path, writer.folder) as text:
        header = find_header(text, source, path)
        job = _Job(text, header, source, _chosen_names(source, header), stamp.source)
        line = 2
        with ThreadPoolExecutor(threads) as pool:
            for block, good, rejected in _read_all(job, pool, threads):
                _reject(job, writer, block, rejected, line)
                line += block.lines
                if len(good):
                    writer.add(stamp.add_to(good))
                _leave(text, block.end)
    return writer.finish()


def find_header(text: bytes, source: Source, path: str) -> Header:
    """The header in the first line. Raises InputError where it lacks a column that is not optional, or is repeated."""
    begin = len(_BOM) if text[:3] == _BOM else 0
    end = text.find(b"\n", begin) + 1 or len(text)
    line = text[begin:end].rstrip(b"\r\n")
    needed = {name: column.names(name) for name, column in source.contract.columns.items() if not column.optional}
    best: tuple[int, Header | None, list[str]] = (-1, None, list(needed))
    for delimiter in (source.delimiter,) if source.delimiter else _DELIMITERS:
        names = _header_names(line, delimiter)
        lacking = [name for name, known in needed.items() if not set(known) & set(names)]
        if len(names) - len(lacking) > best[0] or best[1] is None:
            best = (len(names) - len(lacking), Header(names, delimiter, end), lacking)
        if not lacking:
            return _checked(Header(names, delimiter, end), source, path)
    raise InputError(
        f"{display_name(path)}: the header lacks {', '.join(' or '.join(needed[name]) for name in best[2])}. "
        "Add the column to the file, or say in the contract (read_from=...) or the job's settings (names.SOURCE.COLUMN)"
        " what it is called there."
    )


def _header_names(line: bytes, delimiter: str) -> tuple[str, ...]:
    try:
        fields = split_fields(line, delimiter) or ()
    except UnicodeDecodeError:
        return ()
    return tuple((field or "").strip() for field in fields)


def _checked(header: Header, source: Source, path: str) -> Header:
    wanted = {name for known, column in source.contract.columns.items() for name in column.names(known)}
    if twice := [name for name, count in Counter(header.names).items() if count > 1 and name in wanted]:
        raise InputError(
            f"{display_name(path)}: the header names {twice[0]} {header.names.count(twice[0])} times. Rename the "
            "columns in the file."
        )
    unique = tuple(f"{name}#{at}" if name not in wanted else name for at, name in enumerate(header.names))
    return Header(unique, header.delimiter, header.begin)


def _chosen_names(source: Source, header: Header) -> dict[str, str]:
    """Column of the contract → its name in this file; optional ones that the file lacks are left out."""
    found = {}
    for name, column in source.contract.columns.items():
        if there := next((known for known in column.names(name) if known in header.names), None):
            found[name] = there
    return found


def _read_all(job: _Job, pool: ThreadPoolExecutor, ahead: int) -> Iterator[tuple[Block, pl.DataFrame, Rejected | None]]:
    """Read blocks on threads, a few ahead of the one that is taken. A careful block moves where the next one begins."""
    begin = job.header.begin
    size = _block_bytes(len(job.text) - begin, ahead)
    waiting: list[tuple[int, int, Future[tuple[Block, pl.DataFrame, Rejected | None]]]] = []
    while begin < len(job.text) or waiting:
        while begin < len(job.text) and len(waiting) <= ahead:
            end = find_end(job.text, begin, size)
            waiting.append((begin, end, pool.submit(_read, job, begin, end)))
            begin = end
        _, end, future = waiting.pop(0)
        block, good, rejected = future.result()
        if block.end != end:  # the record at its end reaches into the next block
            for _, _, stale in waiting:
                stale.cancel()
            begin, waiting = block.end, []
        yield block, good, rejected


def _block_bytes(size: int, threads: int) -> int:
    """How large blocks are, so that all threads have as much to do to the end."""
    rounds = math.ceil(size / (threads * BLOCK_BYTES))
    return max(_LEAST_BYTES, math.ceil(size / max(1, rounds * threads)) + _LINE_BYTES)


def _read(job: _Job, begin: int, end: int) -> tuple[Block, pl.DataFrame, Rejected | None]:
    block = read_block(job.text, begin, end, job.header, list(job.names.values()))
    columns = job.source.contract.columns
    texts = block.rows.select(_text(name, job.names.get(name)) for name in columns)
    return block, *type_rows(texts, job.source.contract)


def _text(name: str, there: str | None) -> pl.Expr:
    return pl.col(there).alias(name) if there else pl.lit(None, pl.String).alias(name)


def _reject(job: _Job, writer: ExtractWriter, block: Block, rejected: Rejected | None, line: int) -> None:
    """Note the rejected records of a block, which begins at ``line`` of the file, in their order there, so that it does
    not matter how the file is divided."""
    bad: list[tuple[Record, str, str, str | None]] = [(record, record.reason, "", None) for record in block.rejected]
    if rejected:
        wanted = dict(zip(rejected.rows, rejected.reasons.iter_rows(named=True), strict=True))
        for number, record in enumerate(good_records(job.text, block.begin, block.end, job.header)):
            if found := wanted.get(number):
                bad.append((record, found["check"], found["column"], found["value"]))
    for record, check, column, value in sorted(bad, key=lambda one: one[0].line):
        writer.reject(job.called, line + record.line, check, column, value, _bytes(job, block, record))


def _bytes(job: _Job, block: Block, record: Record) -> bytes:
    return job.text[block.begin + record.begin : block.begin + record.end]


def _leave(text: bytes, end: int) -> None:
    """Give back the memory of a mapped file up to ``end``: nothing is read there again."""
    if isinstance(text, mmap.mmap) and hasattr(text, "madvise"):
        text.madvise(mmap.MADV_DONTNEED, 0, end - end % mmap.PAGESIZE)


@contextmanager
def _opened(path: str, folder: Path) -> Iterator[bytes]:
    """The bytes of a file, expanded where it is compressed, as memory that is read from disk as it is used.

    An object, and what is expanded, is copied into ``folder`` for as long.
    """
    with spooled(path, folder) if is_url(path) else open(path, "rb") as stream:
        ending = path.lower().rpartition(".")[2]
        if ending not in ("gz", "zst"):
            with _mapped(stream) as text:
                yield text
            return
        with tempfile.TemporaryFile(dir=folder) as spool:
            with _expanding(stream, ending) as expanded:
                shutil.copyfileobj(expanded, spool, 2**20)
            spool.flush()
            with _mapped(spool) as text:
                yield text


def _expanding(stream: IO[bytes], ending: str) -> Any:
    if ending == "gz":
        return gzip.open(stream)
    from pyarrow import CompressedInputStream

    return CompressedInputStream(stream, "zstd")


@contextmanager
def _mapped(stream: Any) -> Iterator[bytes]:
    if stream.seek(0, 2) == 0:
        yield b""
        return
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        yield cast(bytes, memory)
