"""One file through ``SplitReader`` alone, as Phase 1 drives it, against the reference; and bytes to try.

Much faster than the whole data path.
"""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st

from pipeline.exchange.split_rows import SplitRows
from pipeline.preprocess.enrichment import enrich
from pipeline.reading import csv_reader, quoted_lines
from pipeline.reading.compiled_parser import CompiledParser
from pipeline.reading.csv_reader import Batch, SplitReader
from pipeline.reading.early_records import note_early_records
from pipeline.reading.header import Header, read_header
from pipeline.reading.later_headers import HeaderFinder
from pipeline.reading.record_finder import RecordFinder
from pipeline.reading.splits import Split
from tests.harness import GEO, IN_MEMORY, accepted_rows, enriched, library
from tests.properties.nasty import COLUMNS, MAX_RECORD, hostile_files, records, soup
from tests.reference import MALFORMED, MALFORMED_REASONS, ROLES, read_file


def plain(reason: str, raw: bytes) -> str:
    """The reason as the contract defines it. The contract does not say why a record of several lines is malformed."""
    if reason in MALFORMED_REASONS or (reason == "record_too_long" and len(raw) < MAX_RECORD):
        return MALFORMED
    return reason


@contextmanager
def narrow_limits(narrow: bool) -> Iterator[None]:
    """Where ``narrow``, lower the limits on lines of a batch and quotes of a line, so that small files pass them."""
    lines, rounds = (3, 2) if narrow else (csv_reader._MOST_LINES, quoted_lines._ROUNDS)
    with mock.patch.object(csv_reader, "_MOST_LINES", lines), mock.patch.object(quoted_lines, "_ROUNDS", rounds):
        yield


def wanted_columns(*, timestamps: bool) -> dict[str, tuple[str, ...]]:
    """The columns that a file must have."""
    return {role: (name,) for role, name in ROLES.items() if timestamps or role != "timestamp"}


def header_of(data: bytes, *, timestamps: bool) -> Header | None:
    """The header of ``data``, read from a file as the program reads it; None for an empty file."""
    wanted = wanted_columns(timestamps=timestamps)
    with tempfile.NamedTemporaryFile(suffix=".csv", dir=IN_MEMORY) as file:
        file.write(data)
        file.flush()
        found = read_header(Path(file.name), wanted, MAX_RECORD)
        return note_early_records(file, found, MAX_RECORD) if found else None


def cut_into_splits(data: bytes, header: Header, split_bytes: int) -> Iterator[Split]:
    """Splits of ``split_bytes``; the last may be shorter."""
    begin, _ = header.begin
    if header.early_records:
        yield Split(0, "", len(data), begin, header.data_start, True, header)
    for start in range(header.data_start, len(data), split_bytes):
        stop = min(start + split_bytes, len(data))
        yield Split(0, "", len(data), start, stop, start == header.data_start, header)


def assert_reader_equals_reference(
    data: bytes, chunk_bytes: int, split_bytes: int, *, timestamps: bool, compiled: bool, texts: bool = False
) -> None:
    """Rows, rejects (line, offset, reason, raw) and counts, whatever the sizes and the parser; ``texts``: whether the
    library copies texts where Polars does not parse a chunk, as with record rules."""
    truth = read_file(data, MAX_RECORD, timestamps=timestamps)
    assert truth is not None
    header = header_of(data, timestamps=timestamps)
    assert header is not None
    rows: list[tuple[int, tuple]] = []
    rejects: list[tuple[int, int, str, bytes]] = []
    records = blank_lines = 0
    position, line = header.begin
    assert header.preamble_lines == truth.preamble_lines
    for split in cut_into_splits(data, header, split_bytes):
        split = replace(split, header=header)
        reader, found, batches = _read(data, split, chunk_bytes, timestamps=timestamps, compiled=compiled, texts=texts)
        if reader.start != position:  # a quoted field spans the cut
            split = split.restarted_at(position, header)
            reader, found, batches = _read(
                data, split, chunk_bytes, timestamps=timestamps, compiled=compiled, texts=texts
            )
        rows += [(reader.start + offset, values) for offset, values in accepted_rows(found, GEO.load().names)]
        for batch in batches:
            rejects += [
                (line + at, reader.start + offset, plain(reason, raw), raw)
                for at, offset, reason, _, _, raw in batch.rejected.iter_rows()
            ]
            records += batch.records
            blank_lines += batch.blank_lines
        assert sum(batch.records - len(batch.rejected) for batch in batches) == found.count
        line += sum(batch.lines for batch in batches)
        position = reader.stop
        header = reader.changes[-1].header if reader.changes else header
    assert position == len(data)
    width = 5 if timestamps else 4
    assert sorted(rows, key=lambda row: row[0]) == [
        (offset, enriched(*(e.log_id, e.user_id, e.ip_address, e.micro, e.timestamp)[:width]))
        for offset, e in truth.events
    ]
    assert sorted(rejects) == truth.rejects
    assert (records, blank_lines) == (truth.records, truth.blank_lines)


def _read(
    data: bytes, split: Split, chunk_bytes: int, *, timestamps: bool, compiled: bool, texts: bool
) -> tuple[SplitReader, SplitRows, list[Batch]]:
    rows, geo = SplitRows(timestamps=timestamps), GEO.load()
    compiled = compiled and split.header.usable
    parser = CompiledParser(Path(library()), split.header, geo, rows, MAX_RECORD) if compiled else None
    finder = RecordFinder(Path(library()), split.header, MAX_RECORD) if texts else None
    headers = HeaderFinder(wanted_columns(timestamps=timestamps), {})
    reader = SplitReader(split, io.BytesIO(data), chunk_bytes, MAX_RECORD, parser, finder=finder, headers=headers)
    batches = []
    for batch in reader:
        if len(batch.rows):
            rows.append(enrich(batch.rows, geo))
        batches.append(batch)
    return reader, rows, batches


parsers = st.sampled_from(
    [{"compiled": True, "texts": True}, {"compiled": False, "texts": True}, {"compiled": False, "texts": False}]
)
"""Who parses: the compiled parser; Polars and the library's texts, as with record rules; Polars and careful Python."""


@st.composite
def fuzzed_files(draw: st.DrawFn) -> bytes:
    """Hostile files; rows with a few bytes changed, doubled or cut; and lines over a small alphabet."""
    kind = draw(st.sampled_from(["hostile", "mutated", "alphabet", "spliced"]))
    if kind == "hostile":
        return draw(hostile_files())
    delimiter = draw(st.sampled_from([b",", b";", b"\t", b"|"]))
    header = delimiter.join(COLUMNS) + draw(st.sampled_from([b"\n", b"\r\n"]))
    if kind == "alphabet":
        letters = st.sampled_from(
            [delimiter, b'"', b'"', b"\n", b"\r", b"\r\n", b"1", b"\0", b"\x80", b"\xc3\xa9", b" "]
        )
        row = st.lists(letters, max_size=3).map(b"".join)
        line = st.one_of(
            st.lists(row, min_size=7, max_size=7).map(delimiter.join), st.lists(letters, max_size=40).map(b"".join)
        )
        return header + b"\n".join(draw(st.lists(line, max_size=12)))
    body = b"".join(draw(st.lists(records(delimiter, COLUMNS, 0.05), min_size=1, max_size=12)))
    if kind == "spliced":
        first, second = sorted(draw(st.tuples(st.integers(0, len(body)), st.integers(0, len(body)))))
        return header + body[:first] + draw(soup) + body[second:] + body[first:second]
    mutated = bytearray(body)
    for at in draw(st.lists(st.integers(0, len(body) - 1), max_size=6)):
        mutated[at] = draw(st.sampled_from(b'"",;\t|\n\n\r\x00\xff\x80 19.-eE'))
    return header + bytes(mutated)
