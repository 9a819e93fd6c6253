"""Addresses in text are cut to networks; the networks are those of the standard library, or written out."""

import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.privacy import mask_addresses


@given(st.ip_addresses(v=4), st.sampled_from(["{}", "user {} here", "[{}]", "x={},y", "{}:80"]))
def test_ipv4(address, text) -> None:
    network = ipaddress.ip_network((address, 24), strict=False)
    assert mask_addresses(text.format(address)) == text.format(network)


@given(st.ip_addresses(v=6).filter(lambda a: not a.ipv4_mapped), st.sampled_from(["{}", "[{}]", "{}%eth0", "at {}, z"]))
def test_ipv6(address, text) -> None:
    network = ipaddress.ip_network((address, 48), strict=False)
    assert mask_addresses(text.format(address)) == text.format(network)
    assert mask_addresses(text.format(address.exploded)) == text.format(network)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::ffff:8.8.4.4", "8.8.4.0/24"),
        ("008.008.008.008", "008.008.008.0/24"),
        ("2001:db8:1:2:3:4:5:6:7", "2001:db8:1::/48"),
        ("2001:db8::12345", "2001:db8::/48"),
        ("2001:db8:1:2:3", "2001:db8:1::/48"),
        ("8.8.8.8888", "8.8.8.0/24"),
        ("seen at 2001:db8:1:2::3.", "seen at 2001:db8:1::/48."),
        ("300.1.2.3 and 1.1.1.1", "300.1.2.0/24 and 1.1.1.0/24"),
    ],
)
def test_what_is_nearly_an_address(text, shown) -> None:
    assert mask_addresses(text) == shown


@pytest.mark.parametrize(
    "text", ["", "12.5", "1e999", "12,5", "2026-01-01T12:30:00Z", "12:30:00", "1.2.3", "1.2.3.4.5", "a:b", "50 %"]
)
def test_other_text_stays(text) -> None:
    assert mask_addresses(text) == text


@pytest.mark.parametrize("piece", ["1", "a", ":", "1:", "1.", "::", "1.1.1.1", "f:", " :"])
def test_hostile_text_takes_no_time(piece) -> None:
    begun = time.monotonic()
    mask_addresses(piece * (2**20 // len(piece)) + " :")
    assert time.monotonic() - begun < 5
