"""Compiles an MMDB file into country ranges, by a walk over the search tree in the file.

The walk follows the MaxMind DB format, version 2.0 (https://maxmind.github.io/MaxMind-DB/). The tree has ``node_count``
nodes of two records. A record below ``node_count`` is the number of a node, a record equal to it means "no data", and a
larger one points to data. The iterator of the package maxminddb is not used, because it leaves out the aliases of the
IPv4 tree (2002::/16 and others) that a lookup follows, and takes ten times as long.
"""

import hashlib
import io
import re
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import maxminddb
import numpy as np

from pipeline.errors import ConfigError
from pipeline.geo.ranges import U16, U32, U64, CountryRanges, first_of_runs

_NEXT_STEP = "Name an MMDB with countries (DB-IP, IPtoASN, GeoLite2/GeoIP2 Country or City), or leave GEO_DATABASE out."
_CODE = re.compile(r"[A-Z0-9]{2}")


@dataclass(frozen=True)
class _Leaves:
    """The leaves at which the walk ended, sorted by address.

    ==========  ========================================================================
    ``hi``      upper half of the first address; an IPv4 address fills the upper 32 bits
    ``lo``      lower half of the first address
    ``depth``   prefix length
    ``record``  value of the record
    ==========  ========================================================================
    """

    hi: U64
    lo: U64
    depth: U16
    record: U32


def compile_mmdb(database: Path) -> CountryRanges:
    """Compile the countries of an MMDB file.

    The label of a record is its ``country_code``, else its ``country.iso_code``, else ``continent:XX`` with its
    ``continent.code``. In a database of IPv4 alone, no IPv6 address is in the database unless it is IPv4-mapped.
    Raises ConfigError where the file cannot be read, is no MMDB file, is damaged, or names no country.
    """
    try:
        content = database.read_bytes()
    except OSError as fault:
        raise ConfigError(f"GEO_DATABASE: cannot read {database}: {fault.strerror}. {_NEXT_STEP}") from fault
    try:
        with maxminddb.open_database(io.BytesIO(content), maxminddb.MODE_FD) as reader:
            ranges = _Compiler(reader, content).compile()
    # The package's decoder raises almost anything for a damaged file.
    except Exception as fault:
        found = str(fault)[:200] or type(fault).__name__
        if "BytesIO" in found:  # the package takes the bytes for a file name when it finds no metadata in them
            found = "it has no metadata of that format"
        raise ConfigError(f"GEO_DATABASE: {database} is not a usable MMDB file: {found}. {_NEXT_STEP}") from fault
    if not any(_CODE.fullmatch(label) for label in ranges.labels):
        raise ConfigError(f"GEO_DATABASE: {database} ({ranges.build}) has no country in any record. {_NEXT_STEP}")
    return ranges


class _Compiler:
    """Compiles the file with these bytes, which ``reader`` reads, too; collects the labels of all records."""

    def __init__(self, reader: maxminddb.Reader, content: bytes) -> None:
        self._reader = reader
        self._meta = reader.metadata()
        self._hash = hashlib.sha256(content).hexdigest()
        self._left, self._right = _decode_nodes(content, self._meta.node_count, self._meta.record_size)
        self._labels: dict[str, int] = {"": 0}
        self._code_of_record: dict[int, int] = {self._meta.node_count: 0}

    def compile(self) -> CountryRanges:
        six = self._meta.ip_version == 6
        root = self._find_ipv4_root() if six else 0
        has_tree = root < self._meta.node_count
        tree = self._walk(root, 32, None) if has_tree else _whole_space(root)
        v4_start = (tree.hi >> np.uint64(32)).astype(np.uint32)
        v4_code = self._codes(tree, four=True)
        keep = first_of_runs(v4_code)
        v4_start, v4_code = v4_start[keep], v4_code[keep]
        if six:
            v6_hi, v6_lo, v6_code = self._compile_ipv6(root if has_tree else None, v4_start, v4_code)
        else:
            v6_hi, v6_lo, v6_code = np.zeros(1, np.uint64), np.zeros(1, np.uint64), np.zeros(1, np.uint16)
        return CountryRanges(
            v4_start=v4_start,
            v4_code=v4_code,
            v6_hi=v6_hi,
            v6_lo=v6_lo,
            v6_code=v6_code,
            labels=tuple(self._labels),
            build=_describe_build(self._meta.database_type, self._meta.build_epoch),
            attribution=_attribution(self._meta.database_type),
            database_hash=self._hash,
        )

    def _find_ipv4_root(self) -> int:
        """The record behind 96 zero bits: the root of the IPv4 tree, or the leaf that ends the path earlier."""
        record = 0
        for _ in range(96):
            if record >= self._meta.node_count:
                break
            record = int(self._left[record])
        return record

    def _compile_ipv6(self, alias: int | None, v4_start: U32, v4_code: U16) -> tuple[U64, U64, U16]:
        """(upper halves, lower halves, codes) of the IPv6 ranges.

        ``alias``: root of the IPv4 tree, whose ranges (``v4_start``, ``v4_code``) are repeated wherever it appears.
        """
        tree = self._walk(0, 128, alias)
        aliased = np.zeros(len(tree.record), np.bool_) if alias is None else tree.record == alias
        plain = _Leaves(tree.hi[~aliased], tree.lo[~aliased], tree.depth[~aliased], tree.record[~aliased])
        ranges = [(plain.hi, plain.lo, self._codes(plain, four=False))]
        for leaf in np.flatnonzero(aliased):
            if tree.depth[leaf] > 96:
                raise ValueError("its IPv4 tree appears below 96 bits")
            hi, lo = _shift_ipv4(v4_start.astype(np.uint64), 96 - int(tree.depth[leaf]))
            ranges.append((hi | tree.hi[leaf], lo | tree.lo[leaf], v4_code))
        hi, lo, code = (np.concatenate(column) for column in zip(*ranges, strict=True))
        order = np.lexsort((lo, hi))
        hi, lo, code = hi[order], lo[order], code[order]
        keep = first_of_runs(code)
        return hi[keep], lo[keep], code[keep]

    def _walk(self, root: int, bits: int, alias: int | None) -> _Leaves:
        """Find every leaf under node ``root``, level by level, in a tree of at most ``bits`` levels.

        A record equal to ``alias``, the root of the IPv4 tree, counts as a leaf. Raises ValueError for a damaged tree.
        """
        nodes = np.array([root], np.uint32)
        hi, lo = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
        found: list[_Leaves] = []
        visited = 0
        for level in range(bits):
            visited += len(nodes)
            # A node of a tree is visited once. A damaged file can have loops, which would fill the memory.
            if visited > 4 * self._meta.node_count + 256:
                raise ValueError("its search tree has loops")
            bit = np.uint64(1 << (63 - level % 64))
            records = np.concatenate([self._left[nodes], self._right[nodes]])
            hi = np.concatenate([hi, hi | bit if level < 64 else hi])
            lo = np.concatenate([lo, lo | bit if level >= 64 else lo])
            inner = records < self._meta.node_count
            if alias is not None:
                inner &= records != alias
            leaf = ~inner
            depth = np.full(np.count_nonzero(leaf), level + 1, np.uint16)
            found.append(_Leaves(hi[leaf], lo[leaf], depth, records[leaf]))
            nodes, hi, lo = records[inner], hi[inner], lo[inner]
            if not len(nodes):
                break
        else:
            raise ValueError(f"its search tree is deeper than {bits} bits")
        return _sort_leaves(found)

    def _codes(self, leaves: _Leaves, four: bool) -> U16:
        """The code of each leaf's label. Each distinct record is read once, by the address of one of its leaves.

        ``four``: whether the leaves are of the IPv4 tree. New labels are added to those of the compiler.
        """
        records, first, inverse = np.unique(leaves.record, return_index=True, return_inverse=True)
        codes = np.zeros(len(records), np.uint16)
        for index, (record, leaf) in enumerate(zip(records.tolist(), first.tolist(), strict=True)):
            if record not in self._code_of_record:
                hi, lo = int(leaves.hi[leaf]), int(leaves.lo[leaf])
                address = IPv4Address(hi >> 32) if four else IPv6Address(hi << 64 | lo)
                label = _label_of(self._reader.get(address))
                self._code_of_record[record] = self._labels.setdefault(label, len(self._labels))
            codes[index] = self._code_of_record[record]
        return codes[inverse]


def _decode_nodes(content: bytes, node_count: int, record_size: int) -> tuple[U32, U32]:
    """(left records, right records) of all nodes. Raises ValueError where they do not fit the file."""
    width = record_size // 4
    if record_size not in (24, 28, 32) or node_count < 1 or node_count * width > len(content):
        raise ValueError(f"{node_count} nodes of {record_size}-bit records do not fit the file")
    raw = np.frombuffer(content, np.uint8, node_count * width).reshape(node_count, width).astype(np.uint32)
    if record_size == 32:
        return _join_bytes(raw[:, 0:4]), _join_bytes(raw[:, 4:8])
    left, right = _join_bytes(raw[:, 0:3]), _join_bytes(raw[:, -3:])
    if record_size == 28:
        # The middle byte holds the four highest bits of both records.
        left |= (raw[:, 3] >> 4) << 24
        right |= (raw[:, 3] & 0x0F) << 24
    return left, right


def _join_bytes(columns: U32) -> U32:
    """The big-endian numbers whose bytes are in the columns."""
    value = np.zeros(len(columns), np.uint32)
    for column in range(columns.shape[1]):
        value = value << np.uint32(8) | columns[:, column]
    return value


def _whole_space(record: int) -> _Leaves:
    """One leaf for all addresses."""
    zero = np.zeros(1, np.uint64)
    return _Leaves(zero, zero, np.zeros(1, np.uint16), np.array([record], np.uint32))


def _sort_leaves(found: list[_Leaves]) -> _Leaves:
    hi, lo = (np.concatenate([getattr(leaves, half) for leaves in found]) for half in ("hi", "lo"))
    order = np.lexsort((lo, hi))
    depth = np.concatenate([leaves.depth for leaves in found])
    record = np.concatenate([leaves.record for leaves in found])
    return _Leaves(hi[order], lo[order], depth[order], record[order])


def _shift_ipv4(address: U64, shift: int) -> tuple[U64, U64]:
    """(upper halves, lower halves) of IPv4 addresses that are moved up by ``shift`` bits, 0 to 96."""
    if shift >= 64:
        return address << np.uint64(shift - 64), np.zeros_like(address)
    high = address >> np.uint64(64 - shift) if shift else np.zeros_like(address)
    return high, address << np.uint64(shift)


def _label_of(record: object) -> str:
    """The label of a decoded record, as ``compile_mmdb`` says; ``""`` if it names neither country nor continent."""
    if not isinstance(record, dict):
        return ""
    country, continent = record.get("country"), record.get("continent")
    nested = country.get("iso_code") if isinstance(country, dict) else None
    for code in (record.get("country_code"), nested):
        if isinstance(code, str) and _CODE.fullmatch(code):
            return code
    code = continent.get("code") if isinstance(continent, dict) else None
    return f"continent:{code}" if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _describe_build(database_type: str, epoch: int) -> str:
    printable = "".join(character for character in database_type if character.isprintable())[:80]
    return f"{printable or 'MMDB'} {time.strftime('%Y-%m-%d', time.gmtime(epoch))}"


def _attribution(database_type: str) -> str:
    if database_type.startswith("DBIP"):
        return "IP Geolocation by DB-IP (https://db-ip.com)"
    if database_type.startswith("GeoLite2"):
        return "This product includes GeoLite2 data created by MaxMind, available from https://www.maxmind.com"
    return ""
