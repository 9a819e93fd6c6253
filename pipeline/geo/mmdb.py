"""MMDB file → country ranges, by a walk over the file's own search tree.

The walk follows the MaxMind DB format, version 2.0 (https://maxmind.github.io/MaxMind-DB/): ``node_count`` nodes of
two records each; a record below ``node_count`` is a node, equal to it "no data", above it a pointer to data. The
package's iterator is not used: it leaves out the aliases of the IPv4 tree (2002::/16 and others) that a lookup
follows, and takes ten times as long.
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
    """Where the walk ended: first address (left-aligned halves), prefix length and record value; sorted by address."""

    hi: U64
    lo: U64
    depth: U16
    record: U32


def compile_mmdb(database: Path) -> CountryRanges:
    """Countries of an MMDB file as ranges. Takes ``country_code``, else ``country.iso_code``, else (as
    ``continent:XX``) ``continent.code``.

    An IPv4-only database answers "not in the database" for every IPv6 address that is not IPv4-mapped.
    Raises ConfigError when the file is missing, is no MMDB, is damaged, or names no country at all.
    """
    try:
        content = database.read_bytes()
    except OSError as fault:
        raise ConfigError(f"GEO_DATABASE: cannot read {database}: {fault.strerror}. {_NEXT_STEP}") from fault
    try:
        with maxminddb.open_database(io.BytesIO(content), maxminddb.MODE_FD) as reader:
            ranges = _Compiler(reader, content).compile()
    # The reader's decoder turns a damaged file into almost any exception.
    except Exception as fault:
        found = str(fault)[:200] or type(fault).__name__
        raise ConfigError(f"GEO_DATABASE: {database} is not a usable MMDB file: {found}. {_NEXT_STEP}") from fault
    if not any(_CODE.fullmatch(label) for label in ranges.labels):
        raise ConfigError(f"GEO_DATABASE: {database} ({ranges.build}) has no country in any record. {_NEXT_STEP}")
    return ranges


class _Compiler:
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
        """The record reached by 96 zero bits; a leaf reached earlier holds for all of IPv4."""
        record = 0
        for _ in range(96):
            if record >= self._meta.node_count:
                break
            record = int(self._left[record])
        return record

    def _compile_ipv6(self, alias: int | None, v4_start: U32, v4_code: U16) -> tuple[U64, U64, U16]:
        tree = self._walk(0, 128, alias)
        aliased = np.zeros(len(tree.record), np.bool_) if alias is None else tree.record == alias
        plain = _Leaves(tree.hi[~aliased], tree.lo[~aliased], tree.depth[~aliased], tree.record[~aliased])
        parts = [(plain.hi, plain.lo, self._codes(plain, four=False))]
        for place in np.flatnonzero(aliased):
            if tree.depth[place] > 96:
                raise ValueError("its IPv4 tree appears below 96 bits")
            hi, lo = _shift_ipv4(v4_start.astype(np.uint64), 96 - int(tree.depth[place]))
            parts.append((hi | tree.hi[place], lo | tree.lo[place], v4_code))
        hi, lo, code = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((lo, hi))
        hi, lo, code = hi[order], lo[order], code[order]
        keep = first_of_runs(code)
        return hi[keep], lo[keep], code[keep]

    def _walk(self, root: int, bits: int, alias: int | None) -> _Leaves:
        """Every leaf under ``root``, level by level. A record equal to ``alias`` (the IPv4 tree) counts as a leaf."""
        nodes = np.array([root], np.uint32)
        hi, lo = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
        found: list[_Leaves] = []
        visited = 0
        for level in range(bits):
            visited += len(nodes)
            # A tree visits each node once; a damaged file with loops would otherwise fill the memory.
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
        """The label code of each leaf; asks the reader once per distinct data record, for an address that leads to
        it.
        """
        records, first, inverse = np.unique(leaves.record, return_index=True, return_inverse=True)
        codes = np.zeros(len(records), np.uint16)
        for place, (record, leaf) in enumerate(zip(records.tolist(), first.tolist(), strict=True)):
            if record not in self._code_of_record:
                hi, lo = int(leaves.hi[leaf]), int(leaves.lo[leaf])
                address = IPv4Address(hi >> 32) if four else IPv6Address(hi << 64 | lo)
                label = _label_of(self._reader.get(address))
                self._code_of_record[record] = self._labels.setdefault(label, len(self._labels))
            codes[place] = self._code_of_record[record]
        return codes[inverse]


def _decode_nodes(content: bytes, node_count: int, record_size: int) -> tuple[U32, U32]:
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
    value = np.zeros(len(columns), np.uint32)
    for place in range(columns.shape[1]):
        value = value << np.uint32(8) | columns[:, place]
    return value


def _whole_space(record: int) -> _Leaves:
    zero = np.zeros(1, np.uint64)
    return _Leaves(zero, zero, np.zeros(1, np.uint16), np.array([record], np.uint32))


def _sort_leaves(found: list[_Leaves]) -> _Leaves:
    hi, lo = (np.concatenate([getattr(part, half) for part in found]) for half in ("hi", "lo"))
    order = np.lexsort((lo, hi))
    depth = np.concatenate([part.depth for part in found])
    record = np.concatenate([part.record for part in found])
    return _Leaves(hi[order], lo[order], depth[order], record[order])


def _shift_ipv4(address: U64, shift: int) -> tuple[U64, U64]:
    """IPv4 addresses moved ``shift`` (0 to 96) bits up in 128 bits, as high and low halves."""
    if shift >= 64:
        return address << np.uint64(shift - 64), np.zeros_like(address)
    high = address >> np.uint64(64 - shift) if shift else np.zeros_like(address)
    return high, address << np.uint64(shift)


def _label_of(record: object) -> str:
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
