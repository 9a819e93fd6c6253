"""Databases of every layout, written here bit by bit, against per-row lookups with maxminddb."""

import ipaddress
import random
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import maxminddb
import polars as pl
import pytest

from benchmarks.mmdb import encode
from pipeline.errors import ConfigError
from pipeline.geo.mmdb import compile_mmdb
from pipeline.geo.table import load_geo_table

ALIASES = ["2002::/16", "::ffff:0:0/96", "2001:200::/32"]
MODES = {"country_code": lambda code: {"country_code": code}, "nested": lambda code: {"country": {"iso_code": code}}}

Network = IPv4Network | IPv6Network
Networks = list[tuple[str, dict]]
"""(network, record)."""


def insert(root: list, network: Network, leaf: object) -> None:
    bits = f"{int(network[0]):0{network.max_prefixlen}b}"[: network.prefixlen]
    for bit in bits[:-1]:
        if not isinstance(root[int(bit)], list):
            root[int(bit)] = [root[int(bit)], root[int(bit)]]
        root = root[int(bit)]
    root[int(bits[-1])] = leaf


def write_mmdb(
    path: Path,
    networks: Networks,
    record_size: int = 24,
    ip_version: int = 6,
    aliases: Sequence[str] = (),
    database_type: str = "Test-Country",
) -> None:
    """``networks``: (text, record). An IPv6 database has its IPv4 tree at ::/96 and at ``aliases``."""
    root: list = [None, None]
    four: list = [None, None]
    for text, record in networks:
        network = ipaddress.ip_network(text)
        data = ("data", repr(record), record)
        insert(four if network.version == 4 else root, network, data)
    if ip_version == 4:
        root = four
    elif four != [None, None]:
        for text in ["::/96", *aliases]:
            insert(root, ipaddress.ip_network(text), four)
    nodes, place, stack = [], {}, [root]
    while stack:
        node = stack.pop()
        if id(node) not in place:
            place[id(node)] = len(nodes)
            nodes.append(node)
            stack += [child for child in node if isinstance(child, list)]
    section, offsets = b"", {}
    for node in nodes:
        for child in node:
            if isinstance(child, tuple) and child[1] not in offsets:
                offsets[child[1]] = len(section)
                section += encode(child[2])

    def number(child: Any) -> int:
        if child is None:
            return len(nodes)
        return place[id(child)] if isinstance(child, list) else len(nodes) + 16 + offsets[child[1]]

    tree = b""
    for left, right in ((number(left), number(right)) for left, right in nodes):
        if record_size == 28:
            tree += (left & 0xFFFFFF).to_bytes(3) + bytes([(left >> 24) << 4 | right >> 24])
            tree += (right & 0xFFFFFF).to_bytes(3)
        else:
            tree += left.to_bytes(record_size // 8) + right.to_bytes(record_size // 8)
    metadata = {
        "node_count": (len(nodes), 4),
        "record_size": (record_size, 2),
        "ip_version": (ip_version, 2),
        "database_type": database_type,
        "languages": [],
        "binary_format_major_version": (2, 2),
        "binary_format_minor_version": (0, 2),
        "build_epoch": (1_700_000_000, 8),
        "description": {"en": "test"},
    }
    path.write_bytes(tree + bytes(16) + section + b"\xab\xcd\xefMaxMind.com" + encode(metadata))


def make_networks(seed: int, record: Callable[[str], dict], families: Sequence[int] = (4, 6)) -> Networks:
    dice = random.Random(seed)
    networks = []
    for _ in range(150):
        code = dice.choice(["DE", "FR", "US", "JP", "BR"])
        if 4 in families:
            prefix = dice.randint(8, 32)
            start = dice.choice([0x08080000, 0x08080800, dice.getrandbits(32)]) + dice.getrandbits(8) & 0xFFFFFFFF
            networks.append(ipaddress.ip_network((start, prefix), strict=False))
            networks[-1] = (str(networks[-1]), record(code))
        if 6 in families:
            prefix = dice.choice([20, 32, 48, 64, 65, 96, 120, 128])
            start = dice.choice([0x2A00 << 112, 0x2A00 << 112 | 1 << 64, 0x2A << 120 | dice.getrandbits(120)])
            start += dice.getrandbits(66)
            networks.append((str(ipaddress.IPv6Network((start, prefix), strict=False)), record(code)))
    # Wide networks first: later ones are cut out of them.
    return sorted(networks, key=lambda network: int(network[0].split("/")[1]))


def sample_addresses(networks: Networks) -> Iterator[IPv4Address | IPv6Address]:
    dice = random.Random(1)
    for text, _ in networks:
        network = ipaddress.ip_network(text)
        for edge in (int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1):
            if 0 <= edge < 1 << network.max_prefixlen:
                yield ipaddress.ip_address(edge) if network.version == 4 else ipaddress.IPv6Address(edge)
                if network.version == 4:
                    yield ipaddress.IPv6Address(edge)
                    yield ipaddress.IPv6Address(0xFFFF << 32 | edge)
                    yield ipaddress.IPv6Address(0x2002 << 112 | edge << 80 | dice.getrandbits(80))
                    yield ipaddress.IPv6Address(0x20010200 << 96 | edge << 64 | dice.getrandbits(64))
    for _ in range(300):
        yield ipaddress.IPv4Address(dice.getrandbits(32))
        yield ipaddress.IPv6Address(dice.getrandbits(128))


def assert_as_maxminddb(path: Path, networks: Networks, country_of: Callable[[Any], str], cache: Path) -> None:
    table = load_geo_table(path, "country", None, cache)
    addresses = list(sample_addresses(networks))
    codes = table.lookup(pl.Series([str(address) for address in addresses]))
    compared = 0
    with maxminddb.open_database(path) as reader:
        six = reader.metadata().ip_version == 6
        for address, code in zip(addresses, codes, strict=True):
            found = table.names[code]
            if found == "PRIVATE":
                continue
            mapped = address.ipv4_mapped if address.version == 6 else None
            record = reader.get(mapped or address) if six or address.version == 4 or mapped else None
            assert found == (country_of(record) if record else "UNKNOWN"), address
            compared += 1
    assert compared > 300


@pytest.mark.parametrize("record_size", [24, 28, 32])
@pytest.mark.parametrize("aliases", [[], ALIASES], ids=["plain", "aliased"])
def test_both_families(tmp_path: Path, record_size: int, aliases: list[str]) -> None:
    networks = make_networks(record_size, MODES["country_code"])
    write_mmdb(tmp_path / "a.mmdb", networks, record_size, 6, aliases)
    assert_as_maxminddb(tmp_path / "a.mmdb", networks, lambda record: record["country_code"], tmp_path)


@pytest.mark.parametrize("record_size", [24, 28, 32])
def test_ipv4_only(tmp_path: Path, record_size: int) -> None:
    networks = make_networks(3, MODES["nested"], families=(4,))
    write_mmdb(tmp_path / "a.mmdb", networks, record_size, ip_version=4)
    assert_as_maxminddb(tmp_path / "a.mmdb", networks, lambda record: record["country"]["iso_code"], tmp_path)


def test_ipv6_only(tmp_path: Path) -> None:
    networks = make_networks(4, MODES["nested"], families=(6,))
    write_mmdb(tmp_path / "a.mmdb", networks)
    assert_as_maxminddb(tmp_path / "a.mmdb", networks, lambda record: record["country"]["iso_code"], tmp_path)


def test_one_record_for_all_of_ipv4(tmp_path: Path) -> None:
    networks = [("::/8", {"country_code": "DE"}), ("2a00::/16", {"country_code": "FR"})]
    write_mmdb(tmp_path / "a.mmdb", networks)
    table = load_geo_table(tmp_path / "a.mmdb", "country", None, tmp_path)
    texts = ["8.8.8.8", "::ffff:1.1.1.1", "::2", "2a00::1", "2b00::1", "10.0.0.1"]
    found = [table.names[code] for code in table.lookup(pl.Series(texts))]
    assert found == ["DE", "DE", "DE", "FR", "UNKNOWN", "PRIVATE"]


def test_continents_stand_in_for_countries(tmp_path: Path) -> None:
    networks = [
        ("2.0.0.0/8", {"continent": {"code": "EU"}}),
        ("3.0.0.0/8", {"continent": {"code": "EU"}, "country": {"iso_code": "US"}}),
        ("4.0.0.0/8", {"registered_country": {"iso_code": "US"}}),
        ("5.0.0.0/8", {"country_code": "XX"}),
        ("6.0.0.0/8", {"country_code": "None"}),
    ]
    write_mmdb(tmp_path / "a.mmdb", networks, database_type="GeoLite2-City")
    texts = pl.Series([f"{octet}.1.1.1" for octet in range(1, 7)])
    (tmp_path / "regions.csv").write_text("country,region\nUS,AMER\n")
    expected = {
        ("region", None): ["UNKNOWN", "Europe", "North America", "UNKNOWN", "UNKNOWN", "UNKNOWN"],
        ("country", None): ["UNKNOWN", "UNKNOWN", "US", "UNKNOWN", "XX", "UNKNOWN"],
        ("region", tmp_path / "regions.csv"): ["UNKNOWN", "UNKNOWN", "AMER", "UNKNOWN", "UNKNOWN", "UNKNOWN"],
    }
    for (level, regions), labels in expected.items():
        table = load_geo_table(tmp_path / "a.mmdb", level, regions, tmp_path)
        assert [table.names[code] for code in table.lookup(texts)] == labels
        assert table.build == "GeoLite2-City 2023-11-14"
        assert "MaxMind" in table.attribution


def test_a_country_that_is_a_number_to_readers_is_refused_where_it_becomes_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.mmdb"
    write_mmdb(path, [("1.0.0.0/8", {"country_code": "DE"}), ("2.0.0.0/8", {"country_code": "1D"})])
    with pytest.raises(ConfigError, match=r"a\.mmdb has the country '1D'.*GEO_LEVEL = region"):
        load_geo_table(path, "country", None, tmp_path)
    assert "1D" not in load_geo_table(path, "region", None, tmp_path).names


def test_a_database_without_countries_is_refused(tmp_path: Path) -> None:
    write_mmdb(
        tmp_path / "asn.mmdb", [("8.0.0.0/8", {"autonomous_system_number": (15169, 4)})], database_type="GeoLite2-ASN"
    )
    with pytest.raises(ConfigError, match=r"asn\.mmdb \(GeoLite2-ASN 2023-11-14\) has no country"):
        compile_mmdb(tmp_path / "asn.mmdb")


def test_a_tree_with_a_loop_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.mmdb"
    write_mmdb(path, [("2a00::/16", {"country_code": "DE"})])
    content = bytearray(path.read_bytes())
    # Both records of node 5 lead back to the root.
    content[30:36] = bytes(6)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="loop"):
        compile_mmdb(path)
