"""Decodes and encodes the footer of a Parquet file, so that row groups can be copied into another file as bytes.

pyarrow can merge footers, but it cannot move, choose or leave out row groups. A footer is one struct in Thrift's
compact protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md); its fields are
those of ``FileMetaData`` (https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MAGIC = b"PAR1"
_END = 8
"""Bytes behind a footer: its length and the magic."""
_ROWS, _GROUPS, _PAIRS = 3, 4, 5
"""Fields of a footer: number of rows, list of row groups, list of keys with their values."""
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_INTEGERS = {_I16, _I32, _I64}
_LONG = 15
"""The length of a list that says that the true one follows."""


class Field(NamedTuple):
    """A value with its type in the protocol. A struct is a dict of fields by id; a list is (type, values)."""

    type: int
    value: Any


Struct = dict[int, Field]


class Encoded(bytes):
    """A struct that is encoded already."""


def read_footer(path: Path) -> Struct:
    """The decoded footer of a Parquet file. Raises ValueError where the file does not end with one."""
    with path.open("rb") as stream:
        stream.seek(0, 2)
        size = stream.tell()
        stream.seek(max(0, size - _END))
        end = stream.read(_END)
        length = int.from_bytes(end[:4], "little")
        if len(end) < _END or end[4:] != MAGIC or length + _END + len(MAGIC) > size:
            raise ValueError(f"{str(path)!r} does not end with the footer of a Parquet file")
        stream.seek(size - _END - length)
        return decode(stream.read(length))


def footer_of(empty: bytes) -> Struct:
    """The footer of a Parquet file without rows, for ``with_row_groups``: its fields stay encoded, and it has no
    metadata."""
    length = int.from_bytes(empty[-_END:-4], "little")
    fields = decode(empty[-_END - length : -_END])
    return {number: Field(kind, _encoded(kind, value)) for number, (kind, value) in fields.items() if number != _PAIRS}


def _encoded(kind: int, value: Any) -> Any:
    if kind not in (_LIST, _STRUCT):
        return value
    out = bytearray()
    _write_value(out, kind, value)
    return Encoded(out)


def with_row_groups(
    footer: Struct, entries: Sequence[Encoded], rows: int, metadata: Mapping[bytes, bytes] | None = None
) -> bytes:
    """The end of a Parquet file: a ``footer_of`` a file without rows, with ``entries`` as its row groups.

    ``rows``: number of rows of all row groups. ``metadata``: keys and their values; without it, those of that file.
    """
    added = {_ROWS: Field(_I64, rows), _GROUPS: Field(_LIST, (_STRUCT, list(entries)))}
    if metadata is not None:
        pairs = [{1: Field(_BINARY, key), 2: Field(_BINARY, value)} for key, value in metadata.items()]
        added[_PAIRS] = Field(_LIST, (_STRUCT, pairs))
    encoded = encode(footer | added)
    return b"".join((encoded, len(encoded).to_bytes(4, "little"), MAGIC))


def decode(data: bytes) -> Struct:
    """Decode one struct. Raises ValueError where ``data`` is none."""
    try:
        return _Reader(data).struct()
    except (IndexError, struct.error) as fault:
        raise ValueError("the footer of a Parquet file ends early") from fault


def encode(fields: Struct) -> bytes:
    """Encode a struct; the inverse of ``decode``."""
    out = bytearray()
    _write_struct(out, fields)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            number = number + step if step else self._integer()
            fields[number] = Field(kind, self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE):  # in a field, the type is the value
            return kind == _TRUE
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.struct()
        if kind in (_LIST, _SET):
            return self._list()
        if kind == _BYTE:
            return self._byte()
        if kind == _DOUBLE:
            return struct.unpack("<d", self._take(8))[0]
        raise ValueError(f"unknown type {kind} in the footer of a Parquet file")

    def _list(self) -> tuple[int, list[Any]]:
        head = self._byte()
        kind, count = head & 15, head >> 4
        if count == _LONG:
            count = self._varint()
        if kind in (_TRUE, _FALSE):
            return kind, [self._byte() for _ in range(count)]
        return kind, [self._value(kind) for _ in range(count)]

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise IndexError
        self._at += count
        return self._data[self._at - count : self._at]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def _integer(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)


def _write_struct(out: bytearray, fields: Struct) -> None:
    before = 0
    for number, (kind, value) in sorted(fields.items()):
        if kind in (_TRUE, _FALSE):
            kind = _TRUE if value else _FALSE
        if 0 < number - before <= 15:
            out.append((number - before) << 4 | kind)
        else:
            out.append(kind)
            _write_integer(out, number)
        _write_value(out, kind, value)
        before = number
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _INTEGERS:
        _write_integer(out, value)
    elif kind == _BINARY:
        write_varint(out, len(value))
        out += value
    elif isinstance(value, Encoded):
        out += value
    elif kind == _STRUCT:
        _write_struct(out, value)
    elif kind in (_LIST, _SET):
        _write_list(out, *value)
    elif kind == _BYTE:
        out.append(value)
    elif kind == _DOUBLE:
        out += struct.pack("<d", value)


def _write_list(out: bytearray, kind: int, values: list[Any]) -> None:
    if len(values) < _LONG:
        out.append(len(values) << 4 | kind)
    else:
        out.append(_LONG << 4 | kind)
        write_varint(out, len(values))
    for value in values:
        if kind in (_TRUE, _FALSE):
            out.append(value)
        else:
            _write_value(out, kind, value)


def _write_integer(out: bytearray, number: int) -> None:
    write_varint(out, (number << 1) ^ (number >> 63))


def write_varint(out: bytearray, number: int) -> None:
    """Append a number of at least 0 in the protocol's form, which Parquet's runs have, too."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
