"""Parses columns of address texts into numbers.

An address is a dotted quad without leading zeros, or an IPv6 address (RFC 4291, section 2.2), perhaps with an embedded
quad. A text with white space, a zone id, brackets, a port, a prefix length or another spelling of numbers is no
address. ``::ffff:a.b.c.d`` is the IPv4 address a.b.c.d (RFC 4291, 2.5.5.2).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_iptools

from pipeline.geo.ranges import U32, U64

AddressFormat = Literal["plain", "endpoint", "forwarded"]

_PORT = "(?::(?:[0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))"
_ZONE = "(?:%[0-9A-Za-z._~-]+)"
_V6 = "([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)"
_ENDPOINTS = (
    rf"\A([0-9.]+){_PORT}\z",
    rf"\A\[{_V6}{_ZONE}?\]{_PORT}?\z",
    rf"\A{_V6}{_ZONE}\z",
    rf"\A\[([0-9.]+)\]{_PORT}?\z",
)
"""An address with a port, in brackets or with a zone id (RFC 3986, RFC 4007): the group is the address alone."""

_MAPPED_PREFIX = np.uint64(0xFFFF)
_ADDRESS = pl.Series("ip", ["::"])


@dataclass(frozen=True)
class Addresses:
    """The addresses of one column. A row in neither family has no address.

    ===========  =======================================
    ``v4``       IPv4 addresses, the first octet highest
    ``v4_rows``  their row numbers, in no order
    ``v6_hi``    upper halves of the IPv6 addresses
    ``v6_lo``    lower halves of the IPv6 addresses
    ``v6_rows``  their row numbers, ascending
    ===========  =======================================
    """

    v4: U32
    v4_rows: npt.NDArray[np.intp]
    v6_hi: U64
    v6_lo: U64
    v6_rows: npt.NDArray[np.intp]


def bare_addresses(texts: pl.Series, form: AddressFormat, proxies: int) -> pl.Series:
    """Take the address out of each text of a String column; a text without one stays, or becomes null.

    =============  ===================================================================================================
    ``plain``      the text is the address
    ``endpoint``   the address may have a port (0 to 65535), brackets and, if it is IPv6, a zone id
    ``forwarded``  the text is a list of endpoints with commas between them, as in X-Forwarded-For: the first counts
                   where ``proxies`` is 0; else the one that the outermost of so many trusted proxies has added, which
                   is as many places from the end, and null where the list is shorter. Spaces, tabs and empty places do
                   not count.
    =============  ===================================================================================================

    geo.h has the same rules.
    """
    if form == "plain":
        return texts
    if form == "forwarded":
        place = pl.element().str.strip_chars(" \t")
        places = texts.str.split(",").list.eval(place.filter(place != ""))
        texts = places.list.get(-proxies if proxies else 0, null_on_oob=True)
    text = pl.col("text")
    address = pl.coalesce(*(text.str.extract(pattern, 1) for pattern in _ENDPOINTS), text)
    decorated = text.str.contains_any(["[", "%"]) | (
        text.str.contains(".", literal=True) & text.str.contains(":", literal=True)
    )
    frame = texts.alias("text").to_frame()
    if not frame.select(decorated.any()).item():
        return texts
    return frame.select(pl.when(decorated).then(address).otherwise(text).alias("text")).to_series()


def parse_addresses(texts: pl.Series) -> Addresses:
    """Parse a String column. Nulls and texts that are no address are left out; no value raises."""
    column = texts.alias("ip")
    v4 = column.to_frame().select(polars_iptools.ipv4_to_numeric("ip"))["ip"]
    if not v4.null_count():
        no_halves = np.zeros(0, np.uint64)
        return Addresses(v4.to_numpy(), np.arange(len(v4)), no_halves, no_halves, np.zeros(0, np.intp))
    is_v4 = v4.is_not_null()
    v4_rows = np.flatnonzero(is_v4.to_numpy())
    rest_rows = np.flatnonzero(~is_v4.to_numpy())
    hi, lo, parsed = _parse_ipv6(column.filter(~is_v4))
    rest_rows = rest_rows[parsed]
    mapped = (hi == 0) & (lo >> np.uint64(32) == _MAPPED_PREFIX)
    v4_values = v4.drop_nulls().to_numpy()
    if mapped.any():
        v4_values = np.concatenate([v4_values, lo[mapped].astype(np.uint32)])
        v4_rows = np.concatenate([v4_rows, rest_rows[mapped]])
        hi, lo, rest_rows = hi[~mapped], lo[~mapped], rest_rows[~mapped]
    return Addresses(v4_values, v4_rows, hi, lo, rest_rows)


def _parse_ipv6(column: pl.Series) -> tuple[U64, U64, npt.NDArray[np.bool_]]:
    """(upper halves, lower halves, whether each row is an address) of a column; an IPv4 address counts as mapped."""
    # polars-iptools 0.2.2 fails on a batch without any address, because its result then has another type. The address
    # in front prevents the failure of one batch; the streaming engine would cut the column into several.
    padded = pl.concat([_ADDRESS, column], rechunk=True).to_frame().lazy()
    parsed = padded.select(polars_iptools.to_address("ip")).collect(engine="in-memory")["ip"].ext.storage()[1:]
    is_address = parsed.is_not_null().to_numpy()
    octets = parsed.drop_nulls().bin.reinterpret(dtype=pl.Array(pl.UInt8, 16)).to_numpy()
    halves = np.ascontiguousarray(octets).reshape(-1, 16).view(">u8").astype(np.uint64)
    return np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1]), is_address
