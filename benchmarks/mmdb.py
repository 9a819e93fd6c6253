"""Writes an MMDB of countries, as a user would name with ``--geo-db``, by ranges of IPv4 addresses.

The layout is that of the MaxMind DB format, version 2.0 (https://maxmind.github.io/MaxMind-DB/): a search tree of
24-bit records, the data, the metadata. The tree is one of IPv6, with the IPv4 addresses at ::/96, as in the databases
that people download.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

_IPV4_DEPTH = 96
_RECORD_BITS = 24
_SEPARATOR = 16
"""Bytes between tree and data; a record that leads to data counts them."""
_MARKER = b"\xab\xcd\xefMaxMind.com"


def encode(value: object) -> bytes:
    """The few types of the data section that are needed here; an unsigned number is (value, bytes)."""
    if isinstance(value, dict):
        return bytes([7 << 5 | len(value)]) + b"".join(encode(key) + encode(item) for key, item in value.items())
    if isinstance(value, str):
        return bytes([2 << 5 | len(value)]) + value.encode()
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(encode, value))
    if isinstance(value, tuple):
        number, width = value
        kind = {2: bytes([5 << 5 | 2]), 4: bytes([6 << 5 | 4]), 8: bytes([8, 9 - 7])}[width]
        return kind + int(number).to_bytes(width)
    raise TypeError(f"no encoding for {type(value).__name__}")


def write_countries(path: Path, starts: NDArray[np.uint32], codes: NDArray[np.uint16], labels: Sequence[str]) -> None:
    """Write an MMDB in which each address has the country of its range.

    ``starts``: first address of each range, ascending from 0; ``codes``: its label, as a position in ``labels``. A
    label that is no country code of two letters means that the database has no record.
    """
    data, offsets = _data(labels)
    levels = _levels(starts.astype(np.int64), offsets[codes])
    nodes = _IPV4_DEPTH + sum(len(divided) // 2 for divided, _ in levels)
    records = [np.stack([np.arange(1, _IPV4_DEPTH + 1), np.full(_IPV4_DEPTH, nodes)], axis=1).ravel()]
    below = _IPV4_DEPTH + 1
    for divided, offset in levels:
        leaf = np.where(offset < 0, nodes, nodes + _SEPARATOR + offset)
        records.append(np.where(divided, below - 1 + np.cumsum(divided), leaf))
        below += int(divided.sum())
    tree = np.concatenate(records).astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    path.write_bytes(tree + bytes(_SEPARATOR) + data + _MARKER + encode(_metadata(nodes)))


def _data(labels: Sequence[str]) -> tuple[bytes, Numbers]:
    """(the data section, where in it each label's record begins, or -1)."""
    section, offsets = b"", []
    for label in labels:
        known = len(label) == 2
        offsets.append(len(section) if known else -1)
        section += encode({"country": {"iso_code": label}}) if known else b""
    return section, np.array(offsets)


def _levels(starts: Numbers, offsets: Numbers) -> list[tuple[NDArray[np.bool_], Numbers]]:
    """For each depth the records of its nodes, left and right in turn: whether the half is divided further, and the
    offset of its data where it is not."""
    levels = []
    firsts = np.zeros(1, np.int64)
    for depth in range(32):
        if not len(firsts):
            break
        half = 1 << (31 - depth)
        halves = np.stack([firsts, firsts + half], axis=1).ravel()
        place = np.searchsorted(starts, halves, side="right") - 1
        divided = np.searchsorted(starts, halves + half - 1, side="right") - 1 != place
        levels.append((divided, offsets[place]))
        firsts = halves[divided]
    return levels


def _metadata(nodes: int) -> dict[str, object]:
    return {
        "node_count": (nodes, 4),
        "record_size": (_RECORD_BITS, 2),
        "ip_version": (6, 2),
        "database_type": "Benchmark-Country",
        "languages": [],
        "binary_format_major_version": (2, 2),
        "binary_format_minor_version": (0, 2),
        "build_epoch": (1_780_000_000, 8),
        "description": {"en": "countries for a benchmark"},
    }
