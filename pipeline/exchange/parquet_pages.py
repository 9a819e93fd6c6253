"""Puts a row group of a Parquet file together from pages whose values are encoded already, and compresses these.

All columns are optional; in a page either no value is missing or all are. The structs are those of
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.exchange.parquet_footer import Encoded, Field, Struct, encode, write_varint

INT64, BYTE_ARRAY = 2, 6
"""Physical types."""
PLAIN, DIFFERENCES, FRONTS = 0, 5, 7
"""Encodings of values: DIFFERENCES is called DELTA_BINARY_PACKED, FRONTS DELTA_BYTE_ARRAY."""
_RLE, _RLE_DICTIONARY = 3, 8
_CODECS = {"snappy": 1, "zstd": 6}
_DATA, _DICTIONARY = 0, 2
"""Types of pages."""
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
"""Types of fields."""


@dataclass(frozen=True)
class Page:
    """A page: its ``header``, its compressed ``body``, and what the footer says of it.

    ==============  ==========================================
    ``kind``        type of the page
    ``rows``        its values, with the missing ones
    ``encoding``    of its values
    ``plain_size``  bytes of header and body before compression
    ==============  ==========================================
    """

    header: bytes
    body: pa.Buffer
    kind: int
    rows: int
    encoding: int
    plain_size: int

    @property
    def size(self) -> int:
        """Bytes of header and body in the file."""
        return len(self.header) + len(self.body)


@dataclass(frozen=True)
class Column:
    """A column of a row group: its name, physical type and pages, all of which have the ``codec`` (snappy or zstd).

    ``bounds``: the least and the greatest value, encoded as PLAIN, texts without their lengths; None where the footer
    does not tell them. ``missing``: number of values that are missing; None where the footer does not tell it.
    """

    name: str
    type: int
    pages: tuple[Page, ...]
    bounds: tuple[bytes, bytes] | None = None
    missing: int | None = None
    codec: str = "zstd"


def levels(rows: int, there: bool = True) -> bytes:
    """What a page of ``rows`` rows says before its values: all of them are there, or none."""
    run = bytearray()
    write_varint(run, rows << 1)
    run.append(there)
    return len(run).to_bytes(4, "little") + run


def data_page(rows: int, encoding: int, body: bytes | memoryview, codec: str = "zstd") -> Page:
    """A page of ``rows`` values in an ``encoding``; ``body``: the levels, and the values. ``codec``: of its column."""
    header = {
        1: Field(_I32, rows),
        2: Field(_I32, encoding),
        3: Field(_I32, _RLE),  # of the levels
        4: Field(_I32, _RLE),
    }
    return _page(_DATA, {5: Field(_STRUCT, header)}, rows, encoding, body, codec)


def missing_column(name: str, kind: int, rows: int, *, told: bool) -> Column:
    """A column without values; ``told``: whether the footer says so."""
    return Column(name, kind, (data_page(rows, PLAIN, levels(rows, False)),), missing=rows if told else None)


def repeated_texts(name: str, runs: Sequence[tuple[bytes, int]]) -> Column:
    """A column in which each text of ``runs`` follows so many times."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(text for text, _ in runs))}
    body = bytearray()
    for text in numbers:
        body += len(text).to_bytes(4, "little") + text
    header = {1: Field(_I32, len(numbers)), 2: Field(_I32, PLAIN)}
    dictionary = _page(_DICTIONARY, {7: Field(_STRUCT, header)}, 0, PLAIN, bytes(body))
    rows, width = sum(count for _, count in runs), max(1, (len(numbers) - 1).bit_length())
    body = bytearray(levels(rows) + bytes([width]))
    for text, count in runs:
        write_varint(body, count << 1)
        body += numbers[text].to_bytes((width + 7) // 8, "little")
    pages = dictionary, data_page(rows, _RLE_DICTIONARY, bytes(body))
    return Column(name, BYTE_ARRAY, pages, (min(numbers), max(numbers)), 0)


def row_group(columns: Sequence[Column], rows: int, at: int) -> tuple[Encoded, Iterator[bytes | pa.Buffer]]:
    """(What the footer says of a row group that begins at byte ``at``, its bytes in order)."""
    chunks, begin = [], at
    for column in columns:
        chunks.append(_chunk(column, rows, begin))
        begin += sum(page.size for page in column.pages)
    plain = sum(page.plain_size for column in columns for page in column.pages)
    group = {
        1: Field(_LIST, (_STRUCT, chunks)),
        2: Field(_I64, plain),
        3: Field(_I64, rows),
        5: Field(_I64, at),
        6: Field(_I64, begin - at),
    }
    pages = (page for column in columns for page in column.pages)
    return Encoded(encode(group)), (part for page in pages for part in (page.header, page.body))


def _page(kind: int, header: Struct, rows: int, encoding: int, body: bytes | memoryview, codec: str = "zstd") -> Page:
    packed = pa.Codec(codec).compress(body)  # by zstd at level 1
    sizes = {1: Field(_I32, kind), 2: Field(_I32, len(body)), 3: Field(_I32, len(packed))}
    head = encode(sizes | header)
    return Page(head, packed, kind, rows, encoding, len(head) + len(body))


def _chunk(column: Column, rows: int, begin: int) -> Struct:
    """What the footer says of a column that begins at byte ``begin``."""
    first = column.pages[0]
    encodings = sorted({_RLE, *(page.encoding for page in column.pages)})
    meta = {
        1: Field(_I32, column.type),
        2: Field(_LIST, (_I32, encodings)),
        3: Field(_LIST, (_BINARY, [column.name.encode()])),
        4: Field(_I32, _CODECS[column.codec]),
        5: Field(_I64, rows),
        6: Field(_I64, sum(page.plain_size for page in column.pages)),
        7: Field(_I64, sum(page.size for page in column.pages)),
        9: Field(_I64, begin + (first.size if first.kind == _DICTIONARY else 0)),
    }
    if first.kind == _DICTIONARY:
        meta[11] = Field(_I64, begin)
    if column.missing is not None:
        told = {3: Field(_I64, column.missing)}
        if column.bounds:
            told |= {5: Field(_BINARY, column.bounds[1]), 6: Field(_BINARY, column.bounds[0])}
        meta[12] = Field(_STRUCT, told)
    return {2: Field(_I64, 0), 3: Field(_STRUCT, meta)}
