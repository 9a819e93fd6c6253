"""Address text → numbers, for whole columns.

An address is a dotted quad without leading zeros, or RFC 4291 text (also with an embedded quad). White space, zone
ids, brackets, ports, prefix lengths and other spellings of numbers make it no address. `::ffff:a.b.c.d` is the IPv4
address a.b.c.d (RFC 4291, 2.5.5.2).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_iptools

from pipeline.geo.ranges import U32, U64

_MAPPED_PREFIX = np.uint64(0xFFFF)
_ADDRESS = pl.Series("ip", ["::"])


@dataclass(frozen=True)
class Addresses:
    """The addresses of one column: values of each family with their row numbers. Rows in neither family hold no
    address.
    """

    v4: U32
    v4_rows: npt.NDArray[np.intp]
    v6_hi: U64
    v6_lo: U64
    v6_rows: npt.NDArray[np.intp]


def parse_addresses(texts: pl.Series) -> Addresses:
    """Read a String column; nulls and values that are no address are left out. Never raises for a value."""
    column = texts.alias("ip")
    v4 = column.to_frame().select(polars_iptools.ipv4_to_numeric("ip"))["ip"]
    if not v4.null_count():
        nothing = np.zeros(0, np.uint64)
        return Addresses(v4.to_numpy(), np.arange(len(v4)), nothing, nothing, np.zeros(0, np.intp))
    is_v4 = v4.is_not_null()
    v4_rows = np.flatnonzero(is_v4.to_numpy())
    rest_rows = np.flatnonzero(~is_v4.to_numpy())
    hi, lo, known = _parse_ipv6(column.filter(~is_v4))
    rest_rows = rest_rows[known]
    mapped = (hi == 0) & (lo >> np.uint64(32) == _MAPPED_PREFIX)
    v4_values = v4.drop_nulls().to_numpy()
    if mapped.any():
        v4_values = np.concatenate([v4_values, lo[mapped].astype(np.uint32)])
        v4_rows = np.concatenate([v4_rows, rest_rows[mapped]])
        hi, lo, rest_rows = hi[~mapped], lo[~mapped], rest_rows[~mapped]
    return Addresses(v4_values, v4_rows, hi, lo, rest_rows)


def _parse_ipv6(column: pl.Series) -> tuple[U64, U64, npt.NDArray[np.bool_]]:
    # polars-iptools 0.2.2 fails on a batch without any address: its result then has another type. The row in front
    # keeps every batch clear of that; the streaming engine would cut the column into several batches.
    padded = pl.concat([_ADDRESS, column], rechunk=True).to_frame().lazy()
    parsed = padded.select(polars_iptools.to_address("ip")).collect(engine="in-memory")["ip"].ext.storage()[1:]
    known = parsed.is_not_null().to_numpy()
    octets = parsed.drop_nulls().bin.reinterpret(dtype=pl.Array(pl.UInt8, 16)).to_numpy()
    halves = np.ascontiguousarray(octets).reshape(-1, 16).view(">u8").astype(np.uint64)
    return np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1]), known
