"""Texts become the numbers that Python's ipaddress reads, in the rows where they stand."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, cast

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.geo.addresses import bare_addresses, parse_addresses
from tests.examples import tries

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


def taken_out(text: str, form: str, proxies: int) -> IPv4Address | IPv6Address | None:
    """The address of a text, by string operations and ipaddress alone."""
    if form == "forwarded":
        places = [place.strip(" \t") for place in text.split(",")]
        places = [place for place in places if place]
        number = len(places) - proxies if proxies else 0
        if not 0 <= number < len(places):
            return None
        text = places[number]
    host, port, zone = text, "", ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") and len(rest) > 1 else rest and "bad"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        port = port or "bad"
    host, percent, zone = host.partition("%")
    if port and not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        return None
    if "[" in text[1:] or (text.startswith("[") and "]" not in text):
        return None
    if percent and not re.fullmatch(r"[0-9A-Za-z._~-]+", zone):
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return None if percent and address.version == 4 else address


ENDPOINTS = st.builds(
    lambda address, zone, brackets, port: (f"[{address}{zone}]" if brackets else f"{address}{zone}") + port,
    st.one_of(
        st.ip_addresses(), st.sampled_from(["1.2.3.4", "::1", "::ffff:8.8.8.8", "fe80::1", "01.2.3.4", "", "unknown"])
    ),
    st.sampled_from(["", "", "", "%eth0", "%", "%25lan", "%a b", "%é"]),
    st.booleans(),
    st.sampled_from(["", "", ":443", ":0", ":65535", ":65536", ":", ":00080", ":123456", ":http", "]", "x"]),
)
LISTS = st.lists(st.one_of(ENDPOINTS, st.sampled_from(["", " ", "\t", "-"])), min_size=1, max_size=4).flatmap(
    lambda places: st.sampled_from([",", ", ", " ,\t"]).map(lambda between: between.join(places))
)


@tries(200)
@given(st.lists(st.one_of(ENDPOINTS, LISTS), min_size=1, max_size=20), st.sampled_from([0, 1, 2, 3]))
@example(["1.2.3.4:80", "[::1]", "[::1]:443", "fe80::1%eth0", "[fe80::1%eth0]:1", "[1.2.3.4]", "[1.2.3.4%eth0]"], 0)
@example([" 1.2.3.4 , 5.6.7.8:1,[::1]:2", "1.2.3.4,,", ",1.2.3.4", ",", "unknown, 1.2.3.4"], 1)
def test_an_address_is_taken_out_of_an_endpoint_and_of_a_list(texts: list[str], proxies: int) -> None:
    for form in ("endpoint", "forwarded"):
        bare = bare_addresses(pl.Series(texts, dtype=pl.String), cast(Any, form), proxies)
        taken = [taken_out(text, form, proxies if form == "forwarded" else 0) for text in texts]
        found = parse_addresses(bare)
        four = dict(zip(found.v4_rows.tolist(), found.v4.tolist(), strict=True))
        halves = zip(found.v6_hi.tolist(), found.v6_lo.tolist(), strict=True)
        six = dict(zip(found.v6_rows.tolist(), (hi << 64 | lo for hi, lo in halves), strict=True))
        assert (four, six) == expected([address and str(address) for address in taken])


def test_a_plain_address_has_no_port() -> None:
    texts = pl.Series(["1.2.3.4:80", "[::1]", "1.2.3.4, 5.6.7.8"])
    assert bare_addresses(texts, "plain", 0).to_list() == texts.to_list()
