"""The shipped geo table against per-row lookups with maxminddb, the IANA registries' entries and Python's ipaddress."""

import ipaddress
import lzma
import pickle
import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import maxminddb
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.geo.mmdb import compile_mmdb
from pipeline.geo.ranges import load_ranges
from pipeline.geo.special import read_special_purpose
from pipeline.geo.table import INVALID, SHIPPED_TABLE, GeoTable, load_geo_table
from tests.examples import tries

DATABASE_COPY = Path(__file__).parent / "data" / f"{SHIPPED_TABLE.stem}.mmdb.xz"
ENTRIES = read_special_purpose()
SPECIAL_FIRST_BYTES: dict[int, set[int]] = {version: set() for version in (4, 6)}
for _block, _ in ENTRIES:
    _shift = _block.max_prefixlen - 8
    SPECIAL_FIRST_BYTES[_block.version].update(range(int(_block[0]) >> _shift, (int(_block[-1]) >> _shift) + 1))
Network = IPv4Network | IPv6Network
MAPPED = ipaddress.ip_network("::ffff:0:0/96")


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("geo") / "dbip-country-lite.mmdb"
    path.write_bytes(lzma.decompress(DATABASE_COPY.read_bytes()))
    return path


@pytest.fixture(scope="session")
def reader(database: Path) -> Iterator[maxminddb.Reader]:
    with maxminddb.open_database(database) as opened:
        yield opened


@pytest.fixture(scope="session")
def countries(tmp_path_factory: pytest.TempPathFactory) -> GeoTable:
    return load_geo_table(None, "country", None, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def continents(tmp_path_factory: pytest.TempPathFactory) -> GeoTable:
    return load_geo_table(None, "region", None, tmp_path_factory.mktemp("cache"))


def labels(table: GeoTable, texts: Sequence[str | None]) -> list[str]:
    codes = table.lookup(pl.Series(texts, dtype=pl.String))
    assert codes.dtype == np.uint16
    return [table.names[code] for code in codes]


def is_private(version: int, number: int) -> bool:
    """Written anew for the tests: walk outward from the most specific entry until one says True or False."""
    width = 32 if version == 4 else 128
    if number >> (width - 8) not in SPECIAL_FIRST_BYTES[version]:
        return False
    covering = [
        (block.prefixlen, reach)
        for block, reach in ENTRIES
        if block.version == version
        and number >> (width - block.prefixlen) == int(block[0]) >> (width - block.prefixlen)
    ]
    for _, reach in sorted(covering, reverse=True):
        if reach != "N/A":
            return reach == "False"
    return False


def expected_country(reader: maxminddb.Reader, version: int, number: int) -> str:
    if version == 6 and number >> 32 == 0xFFFF:
        version, number = 4, number & 0xFFFFFFFF
    if is_private(version, number):
        return "PRIVATE"
    address = ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)
    found = reader.get(address)
    return found["country_code"] if found else "UNKNOWN"


def write_text(version: int, number: int) -> str:
    if version == 4:
        return socket.inet_ntop(socket.AF_INET, number.to_bytes(4))
    return socket.inet_ntop(socket.AF_INET6, number.to_bytes(16))


def assert_as_oracle(table: GeoTable, reader: maxminddb.Reader, version: int, numbers: Sequence[int]) -> None:
    found = labels(table, [write_text(version, number) for number in numbers])
    wrong = [
        (write_text(version, number), label, expected)
        for number, label in zip(numbers, found, strict=True)
        if label != (expected := expected_country(reader, version, number))
    ]
    assert not wrong[:10]


@pytest.mark.slow
def test_random_ipv4_addresses(countries: GeoTable, reader: maxminddb.Reader) -> None:
    assert_as_oracle(countries, reader, 4, np.random.default_rng(4).integers(0, 1 << 32, 150_000).tolist())


@pytest.mark.slow
def test_random_ipv6_addresses(countries: GeoTable, reader: maxminddb.Reader) -> None:
    random = np.random.default_rng(6)
    # A third anywhere, a third in the space in use, a third close to where ranges of the database begin.
    high = random.integers(0, 1 << 64, 150_000, dtype=np.uint64)
    high[1::3] = high[1::3] >> np.uint64(3) | np.uint64(1 << 61)
    starts = load_ranges(SHIPPED_TABLE).v6_hi
    near = random.choice(starts, len(high[2::3])) + random.integers(0, 3, len(high[2::3]), dtype=np.uint64)
    high[2::3] = near - np.uint64(1)
    low = random.integers(0, 1 << 64, 150_000, dtype=np.uint64)
    assert_as_oracle(countries, reader, 6, [h << 64 | x for h, x in zip(high.tolist(), low.tolist(), strict=True)])


def walk_networks(reader: maxminddb.Reader, version: int, number: int, end: int) -> Iterator[tuple[int, int, str]]:
    """(first, last, country) of every network: a lookup's prefix length tells where the next begins."""
    width, kind = (32, ipaddress.IPv4Address) if version == 4 else (128, ipaddress.IPv6Address)
    while number < end:
        found, prefix = reader.get_with_prefix_len(kind(number))
        last = number | ((1 << (width - prefix)) - 1)
        yield number, last, found["country_code"] if found else "UNKNOWN"
        number = last + 1


@pytest.mark.slow
@pytest.mark.parametrize(("version", "begin", "end"), [(4, 0, 1 << 32), (6, 0, 1 << 25), (6, 1 << 32, 1 << 128)])
def test_first_and_last_address_of_every_network(
    countries: GeoTable, reader: maxminddb.Reader, version: int, begin: int, end: int
) -> None:
    firsts, lasts, expected = zip(*walk_networks(reader, version, begin, end), strict=True)
    for numbers in (firsts, lasts):
        found = labels(countries, [write_text(version, number) for number in numbers])
        wrong = [
            (write_text(version, number), label, country)
            for number, label, country in zip(numbers, found, expected, strict=True)
            if label != country and label != expected_country(reader, version, number)
        ]
        assert not wrong[:10]


def test_ipv4_inside_ipv6(countries: GeoTable, reader: maxminddb.Reader) -> None:
    numbers = np.random.default_rng(46).integers(0, 1 << 32, 3000).tolist()
    quads = [write_text(4, number) for number in numbers]
    sixtofours = [write_text(6, 0x2002 << 112 | number << 80 | 1) for number in numbers]
    mapped, compatible = ([f"{start}{quad}" for quad in quads] for start in ("::ffff:", "::"))
    found = zip(*(labels(countries, texts) for texts in (quads, mapped, compatible, sixtofours)), strict=True)
    for number, sixtofour, regions in zip(numbers, sixtofours, found, strict=True):
        own, of_mapped, of_compatible, of_sixtofour = regions
        assert of_mapped == own == expected_country(reader, 4, number)
        assert of_compatible == expected_country(reader, 6, number)
        assert of_sixtofour == expected_country(reader, 6, int(ipaddress.ip_address(sixtofour)))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry[0]))
def test_special_purpose_entry_and_its_neighbours(
    countries: GeoTable, reader: maxminddb.Reader, entry: tuple[Network, str]
) -> None:
    block, _ = entry
    edges = (int(block[0]) - 1, int(block[0]), int(block[-1]), int(block[-1]) + 1)
    assert_as_oracle(countries, reader, block.version, [edge for edge in edges if 0 <= edge < 1 << block.max_prefixlen])


PRIVATE_ADDRESSES = """
0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 169.254.169.254 172.16.0.0
172.31.255.255 192.0.0.0 192.0.0.8 192.0.0.11 192.0.0.170 192.0.2.1 192.88.99.2 192.168.0.1 198.18.0.0
198.19.255.255 198.51.100.7 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255 :: ::1
64:ff9b:1:: 100::1 100:0:0:1::1 2001::1 2001:1:: 2001:1::4 2001:2::1 2001:10::1 2001:db8::1 2001:1ff:ffff::
3fff::1 3fff:fff:: 5f00::1 fc00::1 fdff:: fe80::1 febf::1 ff02::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
::ffff:10.1.2.3 ::ffff:224.0.0.1 ::FFFF:127.0.0.1 ::ffff:7f00:1 0:0:0:0:0:ffff:c0a8:0101
"""
LOOKED_UP_ADDRESSES = """
1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.0.0.9 192.0.0.10
192.0.1.0 192.31.196.1 192.52.193.1 192.88.99.1 192.88.99.3 192.175.48.1 198.17.255.255 198.20.0.0
223.255.255.255 ::2 ::10.0.0.1 64:ff9b::1 64:ff9b:2:: 100:0:0:2:: 2001:1::1 2001:1::2 2001:1::3 2001:3::1
2001:4:112::1 2001:20::1 2001:30::1 2001:200:: 2001:db9:: 2002:: 2002:a00:1:: 2620:4f:8000::1 3ffe::
3fff:1000:: 5eff:: 5f01:: fbff:: fe00:: fec0:: ::ffff:8.8.8.8
"""


@pytest.mark.parametrize("table", ["countries", "continents"])
def test_what_is_private(request: pytest.FixtureRequest, table: str) -> None:
    loaded = request.getfixturevalue(table)
    assert set(labels(loaded, PRIVATE_ADDRESSES.split())) == {"PRIVATE"}
    assert not {"PRIVATE", "INVALID"} & set(labels(loaded, LOOKED_UP_ADDRESSES.split()))


def test_registry_agrees_with_cpython_where_its_versions_agree() -> None:
    # Entries that some CPython from 3.11 to 3.13 does not know, or reads otherwise (it calls 2002::/16 private).
    differing = """
192.0.0.0/24 192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.88.99.2/32 224.0.0.0/4 ff00::/8 64:ff9b:1::/48 100:0:0:1::/64
2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:3::/32 2001:4:112::/48 2001:20::/28 2001:30::/28 2002::/16 3fff::/20
5f00::/16
"""
    for block, _ in ENTRIES:
        if str(block) not in differing.split():
            assert is_private(block.version, int(block[0])) == (not block[0].is_global), block


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "8.8.8.8 ",
        " 8.8.8.8",
        "8.8.8.8\n",
        "8.8.8",
        "8.8.8.8.8",
        "08.8.8.8",
        "256.8.8.8",
        "8.8.8.8:80",
        "8.8.8.8/32",
        "0x8.8.8.8",
        "134744072",
        "８.8.8.8",
        "8.8.8.8\x00",
        "::1%eth0",
        "[::1]",
        "[::1]:80",
        "::1/128",
        ":::",
        "1::2::3",
        "12345::",
        "g::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::ffff:08.8.8.8",
        "8.8.8.8::",
        ":1::",
        "localhost",
        "N/A",
        "-",
        "::1 ",
    ],
)
def test_what_is_no_address(countries: GeoTable, text: str | None) -> None:
    assert labels(countries, ["8.8.8.8", text]) == ["US", "INVALID"]


def test_spellings_of_ipv6(countries: GeoTable) -> None:
    spellings = [
        "2a00:1450:4001:0800:0000:0000:0000:200e",
        "2A00:1450:4001:800::200E",
        "2a00:1450:4001:800:0:0:0.0.32.14",
    ]
    assert len(set(labels(countries, spellings))) == 1
    assert "INVALID" not in labels(
        countries, [*spellings, "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::8", "1:2:3:4:5:6:1.2.3.4"]
    )


ADDRESS_LIKE = st.one_of(
    st.text(max_size=50),
    st.text(alphabet="0123456789abcdefABCDEF:.%/ []", max_size=45),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
    st.lists(st.integers(0, 300).map(str), min_size=3, max_size=5).map(".".join),
    st.lists(st.sampled_from(["", "0", "1", "ffff", "0a0b", "12345", "1.2.3.4", "01.2.3.4"]), max_size=10).map(
        ":".join
    ),
)


@given(st.lists(ADDRESS_LIKE, max_size=30))
@tries(300)
def test_invalid_exactly_where_ipaddress_rejects(continents: GeoTable, texts: list[str]) -> None:
    def is_address(text: str) -> bool:
        try:
            return bool(ipaddress.ip_address(text)) and "%" not in text
        except ValueError:
            return False

    codes = continents.lookup(pl.Series(texts, dtype=pl.String))
    assert [code != INVALID for code in codes.tolist()] == [is_address(text) for text in texts]


def test_rows_keep_their_order(countries: GeoTable) -> None:
    texts = ["8.8.8.8", None, "::1", "::ffff:8.8.8.8", "x", "10.0.0.1", "2a02::", "8.8.8.8"]
    alone = [labels(countries, [text])[0] for text in texts]
    assert labels(countries, texts) == alone
    assert labels(countries, []) == []
    chunked = pl.concat([pl.Series(texts[:3], dtype=pl.String), pl.Series(texts[3:], dtype=pl.String)], rechunk=False)
    assert [countries.names[code] for code in countries.lookup(chunked)] == alone


@pytest.mark.parametrize("address", ["2a02::1", "8.8.8.8"])
def test_stretches_without_any_address(countries: GeoTable, address: str) -> None:
    texts = ["x"] * 150_000 + [None] * 150_000 + [address] + ["2a02:x"] * 150_000
    codes = countries.lookup(pl.Series(texts, dtype=pl.String))
    assert np.flatnonzero(codes).tolist() == [300_000]
    assert not countries.lookup(pl.Series(["x"] * 300_000)).any()
    assert not countries.lookup(pl.Series([None] * 3, dtype=pl.String)).any()


def test_names_and_levels(countries: GeoTable, continents: GeoTable) -> None:
    assert continents.names == (
        *("INVALID", "PRIVATE", "UNKNOWN"),
        *("Africa", "Antarctica", "Asia", "Europe", "North America", "Oceania", "South America"),
    )
    assert countries.names[:3] == continents.names[:3]
    assert list(countries.names[3:]) == sorted(countries.names[3:])
    assert "DB-IP" in continents.build
    assert "https://db-ip.com" in continents.attribution
    by_country = dict(
        line.split(",")
        for line in (SHIPPED_TABLE.parent / "country-regions.csv").read_text().splitlines()
        if line[0] != "#"
    )
    random = np.random.default_rng(7)
    texts = [write_text(4, number) for number in random.integers(0, 1 << 32, 20_000).tolist()]
    expected = [by_country.get(label, label) for label in labels(countries, texts)]
    assert labels(continents, texts) == expected
    assert set(countries.names[3:]) <= set(by_country)


def test_shipped_table_is_what_the_database_compiles_to(database: Path) -> None:
    shipped, compiled = load_ranges(SHIPPED_TABLE), compile_mmdb(database)
    assert shipped.labels == compiled.labels
    assert shipped.database_hash == compiled.database_hash
    for column in ("v4_start", "v4_code", "v6_hi", "v6_lo", "v6_code"):
        assert np.array_equal(getattr(shipped, column), getattr(compiled, column))


def test_a_pickled_table_is_small_and_equal(continents: GeoTable) -> None:
    pickled = pickle.dumps(continents)
    assert len(pickled) < 20_000
    again = pickle.loads(pickled)
    texts = [write_text(4, number) for number in np.random.default_rng(8).integers(0, 1 << 32, 1000).tolist()]
    assert labels(again, texts) == labels(continents, texts)
    assert (again.names, again.digest) == (continents.names, continents.digest)


@pytest.mark.slow
def test_the_cache_is_reused_and_mended(database: Path, tmp_path: Path, countries: GeoTable) -> None:
    cache = tmp_path / "new" / "cache"
    first = load_geo_table(database, "country", None, cache)
    compiled, prepared = sorted(cache.iterdir(), key=lambda path: "lookup" in path.name)
    before, content = compiled.stat(), compiled.read_bytes()
    assert load_geo_table(database, "country", None, cache).digest == first.digest == countries.digest
    assert compiled.stat().st_mtime_ns == before.st_mtime_ns
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0x10
    for damage in (b"no archive", bytes(flipped)):
        compiled.write_bytes(damage)
        prepared.unlink(missing_ok=True)
        assert labels(load_geo_table(database, "country", None, cache), ["8.8.8.8"]) == ["US"]
        assert compiled.read_bytes() == content
    assert sorted(cache.iterdir()) == sorted([compiled, prepared])
    compiled.unlink()
    assert labels(first.source.load(), ["8.8.8.8"]) == ["US"]
    prepared.unlink()
    with pytest.raises(EnvironmentFault, match="geo-v"):
        first.source.load()


def test_a_prepared_table_is_used_and_mended(
    tmp_path: Path, countries: GeoTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_geo_table(None, "country", None, tmp_path)
    (prepared,) = tmp_path.iterdir()
    content = prepared.read_bytes()
    texts = [write_text(4, number) for number in np.random.default_rng(9).integers(0, 1 << 32, 1000).tolist()]
    texts += ["::1", "2a02:8888::1", "10.0.0.1", "x"]
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.geo.table.prepare", lambda *_: pytest.fail("the table lies ready"))
        again = load_geo_table(None, "country", None, tmp_path)
        assert labels(pickle.loads(pickle.dumps(again)), texts) == labels(countries, texts)
        assert (again.names, again.build, again.attribution, again.digest) == (
            *(countries.names, countries.build),
            *(countries.attribution, countries.digest),
        )
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0x10
    for damage in (b"no archive", bytes(flipped), content[:-30_000]):
        prepared.write_bytes(damage)
        assert labels(pickle.loads(pickle.dumps(again)), texts) == labels(countries, texts)
        assert labels(load_geo_table(None, "country", None, tmp_path), texts) == labels(countries, texts)
        assert prepared.read_bytes() == content


def test_without_a_cache_every_process_prepares_its_table(tmp_path: Path, countries: GeoTable) -> None:
    (tmp_path / "file").write_text("in the way")
    table = load_geo_table(None, "country", None, tmp_path / "file" / "cache")
    assert labels(pickle.loads(pickle.dumps(table)), ["8.8.8.8"]) == labels(countries, ["8.8.8.8"])


def test_an_unusable_cache_folder_is_an_environment_fault(database: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="writable"):
        load_geo_table(database, "country", None, tmp_path / "file" / "cache")


def test_regions_of_the_user(tmp_path: Path, countries: GeoTable) -> None:
    table = tmp_path / "regions.csv"
    table.write_text('# ours\ncountry,region\n\nDE,EMEA\nFR,EMEA\nJP,APAC\nUS,"A, M/R"\n', encoding="utf-8-sig")
    mine = load_geo_table(None, "region", table, tmp_path)
    assert mine.names == ("INVALID", "PRIVATE", "UNKNOWN", "A, M/R", "APAC", "EMEA")
    assert labels(mine, ["8.8.8.8", "10.0.0.1", "x"]) == ["A, M/R", "PRIVATE", "INVALID"]
    texts = [write_text(4, number) for number in np.random.default_rng(9).integers(0, 1 << 32, 5000).tolist()]
    expected = {"DE": "EMEA", "FR": "EMEA", "JP": "APAC", "US": "A, M/R", "PRIVATE": "PRIVATE"}
    assert labels(mine, texts) == [expected.get(label, "UNKNOWN") for label in labels(countries, texts)]
    table.write_text("country,region\nDE,Europe\n")
    assert load_geo_table(None, "region", table, tmp_path).digest != mine.digest


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"country,region\nDE,\xe4\n")
    for name in ("missing.csv", "latin.csv"):
        with pytest.raises(ConfigError, match=name):
            load_geo_table(None, "region", tmp_path / name, tmp_path)
    for name in ("missing.mmdb", "latin.csv"):
        with pytest.raises(ConfigError, match=name):
            load_geo_table(tmp_path / name, "region", None, tmp_path)
    with pytest.raises(ConfigError, match="GEO_DATABASE"):
        load_geo_table(tmp_path, "region", None, tmp_path)


@given(place=st.floats(0, 1, exclude_max=True), octets=st.binary(min_size=1, max_size=8), cut=st.booleans())
@tries(8)
def test_a_damaged_database_is_refused_or_read(database: Path, place: float, octets: bytes, cut: bool) -> None:
    content = bytearray(database.read_bytes())
    at = int(place * len(content))
    content[at : at + len(octets)] = octets
    damaged = database.with_name("damaged.mmdb")
    damaged.write_bytes(content[: at + 1] if cut else content)
    refusal = "damaged.mmdb"
    try:
        compile_mmdb(damaged)
    except ConfigError as fault:
        refusal = str(fault)
    assert "damaged.mmdb" in refusal
