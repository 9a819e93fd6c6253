"""Private intervals are what a walk over the registry's entries finds for each address."""

from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.geo.special import private_intervals, read_special_purpose

HEADER = "# a comment\nblock,name,rfc,globally_reachable\n"
FIRST = int(ip_address("10.0.0.0"))
BLOCKS = st.integers(26, 32).flatmap(
    lambda prefix: st.integers(0, 63).map(lambda low: str(ip_network((FIRST + low, prefix), strict=False)))
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry") / "registry.csv"


@given(st.dictionaries(BLOCKS, st.sampled_from(["True", "False", "N/A"]), max_size=8))
def test_the_most_specific_entry_that_says_something_decides(registry: Path, entries: dict[str, str]) -> None:
    registry.write_text(HEADER + "".join(f"{block},name,RFC,{reach}\n" for block, reach in entries.items()))
    found = private_intervals(4, registry)
    private = {address for first, last in found for address in range(first, last + 1)}
    expected = set()
    for address in range(FIRST - 1, FIRST + 65):
        covering = [ip_network(block) for block in entries if ip_address(address) in ip_network(block)]
        said = [entries[str(block)] for block in sorted(covering, key=lambda block: block.prefixlen)]
        said = [reach for reach in said if reach != "N/A"]
        if said and said[-1] == "False":
            expected.add(address)
    assert private == expected
    assert all(one[1] + 1 < two[0] for one, two in pairwise(found)), "intervals touch or are not in order"
    assert private_intervals(6, registry) == []


def test_the_last_address_of_all_is_reached(registry: Path) -> None:
    registry.write_text(HEADER + "255.0.0.0/8,name,RFC,False\nff00::/8,name,RFC,False\n::/128,name,RFC,False\n")
    assert private_intervals(4, registry) == [(255 << 24, (1 << 32) - 1)]
    assert private_intervals(6, registry) == [(0, 0), (255 << 120, (1 << 128) - 1)]


def test_entries_are_read_as_they_are_written(registry: Path) -> None:
    registry.write_text(HEADER + '10.0.0.0/8,"Private, Use",RFC1918,False\n2002::/16,6to4,RFC3056,N/A\n')
    assert read_special_purpose(registry) == [
        (ip_network("10.0.0.0/8"), "False"),
        (ip_network("2002::/16"), "N/A"),
    ]


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("10.1.2.3", True),
        ("192.0.0.8", True),
        ("192.0.0.9", False),
        ("224.0.0.1", True),
        ("8.8.8.8", False),
        ("::1", True),
        ("fe80::1", True),
        ("2001::1", True),
        ("2001:4:112::1", False),
        ("2002::1", False),
        ("2a00::1", False),
    ],
)
def test_the_shipped_registry_says(address: str, private: bool) -> None:
    parsed = ip_address(address)
    intervals = private_intervals(parsed.version)
    assert any(first <= int(parsed) <= last for first, last in intervals) == private
