"""Texts become the numbers that Python's ipaddress reads, in the rows where they stand."""

from ipaddress import IPv4Address, ip_address

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.geo.addresses import parse_addresses

ADDRESS_LIKE = st.one_of(
    st.none(),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded.upper()),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
    st.ip_addresses(v=4).map(lambda address: f"2001:db8::{address}"),
    st.text("0123456789abcF:.% /", max_size=20),
)


def expected(texts: list[str | None]) -> tuple[dict[int, int], dict[int, int]]:
    """Row -> number of the address, for IPv4 and for IPv6."""
    four: dict[int, int] = {}
    six: dict[int, int] = {}
    for row, text in enumerate(texts):
        if text is None or "%" in text:
            continue
        try:
            address = ip_address(text)
        except ValueError:
            continue
        if isinstance(address, IPv4Address):
            four[row] = int(address)
        elif address.ipv4_mapped:
            four[row] = int(address.ipv4_mapped)
        else:
            six[row] = int(address)
    return four, six


@given(st.lists(ADDRESS_LIKE, max_size=30))
@example(["1.2.3.4", "5.6.7.8"])
@example(["x", None, ""])
@example(["::ffff:1.2.3.4", "255.255.255.255", "::", "x", "::ffff:0:1"])
def test_the_numbers_are_those_of_ipaddress(texts: list[str | None]) -> None:
    found = parse_addresses(pl.Series(texts, dtype=pl.String))
    four = dict(zip(found.v4_rows.tolist(), found.v4.tolist(), strict=True))
    halves = zip(found.v6_hi.tolist(), found.v6_lo.tolist(), strict=True)
    six = dict(zip(found.v6_rows.tolist(), (hi << 64 | lo for hi, lo in halves), strict=True))
    assert (four, six) == expected(texts)
    assert len(found.v4_rows) + len(found.v6_rows) == len(four) + len(six), "a row was found twice"
    assert (found.v4.dtype, found.v6_hi.dtype, found.v6_lo.dtype) == ("uint32", "uint64", "uint64")
