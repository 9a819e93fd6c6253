"""Writes and reads row groups of rows files by compiled code, Parquet of one page for each column; and encodes the
values of other pages."""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.native.library import load

_P = ctypes.c_void_p
_ENTRY_BYTES = 1024
"""Room for what a footer says of a row group: 8 columns take 600 bytes at most."""

Columns = Mapping[str, NDArray[Any]]
"""The columns of ``exchange.split_rows.SplitRows`` by name, with ``bounds`` and ``texts`` for the user_ids: user i has
the bytes from ``bounds[i]`` to ``bounds[i + 1]`` of ``texts``. They are contiguous."""


class _SortedRows(ctypes.Structure):
    _fields_ = [
        (name, _P)
        for name in (
            "id_hi",
            "id_lo",
            "user_hash",
            "bounds",
            "texts",
            "region",
            "micro_minutes",
            "offset",
            "timestamp",
        )
    ]


class _GroupTarget(ctypes.Structure):
    _fields_ = [
        *((name, _P) for name in ("id_hi", "id_lo", "bounds", "texts", "region", "micro_minutes", "offset", "place")),
        ("first_place", ctypes.c_int64),
        *((name, _P) for name in ("timestamp", "content")),
    ]


class Group(NamedTuple):
    """A row group of a file: its first byte, the byte behind it, its rows, and the bytes of their user_ids."""

    start: int
    stop: int
    rows: int
    text_bytes: int


def encode_groups(
    library: Path, columns: Columns, bounds: Sequence[tuple[int, int]], start: int
) -> Iterator[tuple[Group, memoryview, bytes]]:
    """Encode row groups that follow each other in a file from byte ``start`` on.

    ``bounds``: (first row, row behind the last one) of each. Yields (the group, its bytes, what the footer says of it);
    the bytes are valid until the next group is asked for.
    """
    functions = load(library)
    rows = _SortedRows(**{name: values.ctypes.data for name, values in columns.items()})
    text_bytes = [int(columns["bounds"][stop] - columns["bounds"][first]) for first, stop in bounds]
    rooms = (functions.group_room(stop - first, text) for (first, stop), text in zip(bounds, text_bytes, strict=True))
    pages, entry, sizes = np.empty(max(rooms, default=0), np.uint8), np.empty(_ENTRY_BYTES, np.uint8), np.empty(2, int)
    for (first, stop), text in zip(bounds, text_bytes, strict=True):
        functions.write_group(
            ctypes.addressof(rows),
            first,
            stop - first,
            start,
            pages.ctypes.data,
            entry.ctypes.data,
            sizes.ctypes.data,
        )
        size, told = sizes.tolist()
        yield Group(start, start + size, stop - first, text), pages[:size].data, entry[:told].tobytes()
        start += size


def encode_numbers(library: Path, values: NDArray[np.int64]) -> memoryview:
    """Encode numbers as DELTA_BINARY_PACKED, in whole bytes."""
    out = np.empty(9 * len(values) + 2048, np.uint8)
    return out[: load(library).encode_numbers(values.ctypes.data, len(values), out.ctypes.data)].data


def encode_fronts(
    library: Path, texts: NDArray[np.uint8], begins: NDArray[np.int64], stops: NDArray[np.int64], room: int = 0
) -> memoryview:
    """Encode texts as DELTA_BYTE_ARRAY, behind ``room`` bytes that are left free; text i has the bytes from
    ``begins[i]`` to ``stops[i]`` of ``texts``. All are contiguous."""
    count = len(begins)
    out = np.empty(room + int((stops - begins).sum()) + 10 * count + 4096, np.uint8)
    lengths = np.empty(2 * count, np.uint32)
    size = load(library).encode_fronts(
        texts.ctypes.data,
        begins.ctypes.data,
        stops.ctypes.data,
        count,
        lengths.ctypes.data,
        out.ctypes.data + room,
    )
    return out[: room + size].data


def decode_groups(
    library: Path,
    data: bytes,
    groups: Sequence[Group],
    columns: Columns,
    *,
    timestamps: bool,
    row: int = 0,
    first_place: int = 0,
) -> None:
    """Decode row groups that follow each other; ``data`` begins with the first one, and may end within the last.

    Args:
        columns: where the wanted columns go to, from entry ``row`` on, with room for the rows of all groups. There may
            be ``content``, and ``place`` (int64; the offset plus ``first_place``) instead of ``offset``. The entry
            ``row`` of ``bounds`` says where in ``texts`` the first user begins.
        timestamps: whether the groups have this column.

    Raises ValueError where ``data`` is not what ``encode_groups`` made.
    """
    functions = load(library)
    address = np.frombuffer(data, np.uint8).ctypes.data
    sizes = {name: 0 if name == "texts" else values.itemsize for name, values in columns.items()}
    addresses = {name: values.ctypes.data + row * sizes[name] for name, values in columns.items()}
    for group in groups:
        begin = group.start - groups[0].start
        target = _GroupTarget(first_place=first_place)
        for name, first in addresses.items():
            setattr(target, name, first)
            addresses[name] += group.rows * sizes[name]
        size = min(group.stop - group.start, len(data) - begin)
        found = ctypes.addressof(target)
        if not functions.read_group(address + begin, size, group.rows, group.text_bytes, timestamps, found):
            raise ValueError("the rows of a split are damaged")
