"""Addresses become networks, as the standard library has them; user ids become their HMAC; the key is never shown."""

import hmac
import ipaddress
import pickle
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.privacy import KEY_VARIABLE, find_key, hide_in_rejected, hide_users, mask_addresses, pseudonym_of
from pipeline.reading.text_parser import REJECTED
from tests.pace import patient

KEY = "correct horse battery staple"


@given(st.ip_addresses(v=4), st.sampled_from(["{}", "user {} here", "[{}]", "x={},y", "{}:80"]))
def test_an_ipv4_address_becomes_its_network(address: ipaddress.IPv4Address, text: str) -> None:
    network = ipaddress.ip_network((address, 24), strict=False)
    assert mask_addresses(text.format(address)) == text.format(network)


@given(st.ip_addresses(v=6).filter(lambda a: not a.ipv4_mapped), st.sampled_from(["{}", "[{}]", "{}%eth0", "at {}, z"]))
def test_an_ipv6_address_becomes_its_network(address: ipaddress.IPv6Address, text: str) -> None:
    network = ipaddress.ip_network((address, 48), strict=False)
    assert mask_addresses(text.format(address)) == text.format(network)
    assert mask_addresses(text.format(address.exploded)) == text.format(network)


@pytest.mark.parametrize(
    ("text", "masked"),
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
def test_what_is_nearly_an_address_is_cut_too(text: str, masked: str) -> None:
    assert mask_addresses(text) == masked


@pytest.mark.parametrize(
    "text", ["", "12.5", "1e999", "12,5", "2026-01-01T12:30:00Z", "12:30:00", "1.2.3", "1.2.3.4.5", "a:b", "50 %"]
)
def test_other_text_stays(text: str) -> None:
    assert mask_addresses(text) == text


@pytest.mark.parametrize("piece", ["1", "a", ":", "1:", "1.", "::", "1.1.1.1", "f:", " :"])
def test_hostile_text_takes_no_time(piece: str) -> None:
    begun = time.monotonic()
    mask_addresses(piece * (2**20 // len(piece)) + " :")
    assert time.monotonic() - begun < patient(5)


def by_hmac(key: bytes, user: str) -> str:
    return hmac.new(key, user.encode(), "sha256").hexdigest()


@given(st.lists(st.text(), max_size=20), st.binary(min_size=1, max_size=200))
def test_every_user_gets_its_hmac(users: list[str], key: bytes) -> None:
    rows = pl.DataFrame({"user_id": users, "n": range(len(users))}, schema={"user_id": pl.String, "n": pl.Int64})
    hidden = hide_users(rows, key)
    assert hidden.rows() == [(by_hmac(key, user), number) for number, user in enumerate(users)]
    assert [pseudonym_of(user, key) for user in users] == hidden["user_id"].to_list()


def test_rejected_records_keep_no_user_and_no_bytes() -> None:
    rejected = [
        (1, 2, "rule:u", "uid", "ann", b"1,ann,x"),
        (3, 4, "watch_time_not_a_number", "x", "bob", b"2,2026-01-01,bob"),  # as where columns changed their places
        (5, 6, "wrong_field_count", None, None, b"bob"),
    ]
    found = hide_in_rejected(pl.DataFrame(rejected, schema=REJECTED, orient="row"), "uid", KEY.encode())
    assert found.schema == REJECTED
    assert found.rows() == [
        (1, 2, "rule:u", "uid", by_hmac(KEY.encode(), "ann"), b""),
        (3, 4, "watch_time_not_a_number", "x", None, b""),
        (5, 6, "wrong_field_count", None, None, b""),
    ]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_key_of_a_file_and_of_the_environment(end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(KEY.encode() + end)
    source = find_key(str(tmp_path / "key"))
    assert source.load() == KEY.encode()
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert find_key("").load() == KEY.encode()
    for found in (source, find_key("")):
        assert KEY not in repr(found)
        assert KEY.encode() not in pickle.dumps(found)
    with pytest.raises(ConfigError, match="two keys"):
        find_key(str(tmp_path / "key"))


def test_an_executor_without_the_variable_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    source = find_key("")
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ConfigError, match=rf"{KEY_VARIABLE}, which the executors of a cluster do not get"):
        source.load()


def test_a_key_that_is_missing_or_short_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        find_key("")
    with pytest.raises(ConfigError, match="could not be read") as refused:
        find_key(KEY)
    assert KEY not in str(refused.value)
    (tmp_path / "key").write_bytes(b"fifteen bytes!!\n")
    with pytest.raises(ConfigError, match="15 bytes: expected at least 16") as refused:
        find_key(str(tmp_path / "key"))
    assert "fifteen" not in str(refused.value)
    monkeypatch.setenv(KEY_VARIABLE, "")
    with pytest.raises(ConfigError, match="0 bytes"):
        find_key("")


def test_a_key_that_changes_during_the_run_stops_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    source = find_key(str(tmp_path / "key"))
    (tmp_path / "key").write_text(KEY + "!")
    with pytest.raises(EnvironmentFault, match="changed"):
        source.load()
