"""Pseudonyms are HMAC-SHA-256 as Python's own hmac computes it; the key is found in one place and never told."""

import hmac
import pickle
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.privacy import KEY_VARIABLE, find_key, hide_in_rejected, hide_users
from pipeline.reading.text_parser import REJECTED

KEY = "correct horse battery staple"


def by_hmac(key: bytes, user: str) -> str:
    return hmac.new(key, user.encode(), "sha256").hexdigest()


@given(st.lists(st.text(), max_size=20), st.binary(min_size=1, max_size=200))
def test_every_user_gets_its_hmac(users: list[str], key: bytes) -> None:
    rows = pl.DataFrame({"user_id": users, "n": range(len(users))}, schema={"user_id": pl.String, "n": pl.Int64})
    hidden = hide_users(rows, key)
    assert hidden.rows() == [(by_hmac(key, user), number) for number, user in enumerate(users)]


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
def test_the_key_of_a_file_and_of_the_environment(end: bytes, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "key").write_bytes(KEY.encode() + end)
    source = find_key(str(tmp_path / "key"))
    assert source.load() == KEY.encode()
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert find_key("").load() == KEY.encode()
    for said in (repr(source), repr(find_key("")), str(pickle.dumps(source)), str(pickle.dumps(find_key("")))):
        assert KEY not in said
    with pytest.raises(ConfigError, match="two keys"):
        find_key(str(tmp_path / "key"))


def test_a_key_that_is_missing_or_short_is_refused_without_being_told(tmp_path: Path, monkeypatch) -> None:
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
