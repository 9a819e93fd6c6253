"""URLs of databases: what they say, and what they must not say."""

import pytest

from pipeline.errors import ConfigError
from pipeline.sources.databases.address import is_database, parse_address


@pytest.mark.parametrize("url", ["postgresql://h/d", "postgres://", "mysql://h", "mariadb://h/d"])
def test_a_url_of_a_database_is_none_of_a_file(url: str) -> None:
    assert is_database(url)
    assert not is_database("s3://bucket/postgresql://")
    assert not is_database("data/mysql:")


def test_the_parts_of_a_url() -> None:
    found = parse_address("mariadb://jo%40x@db.example.com:3307/my%20shop?ssl_ca=ca.pem")
    assert (found.system, found.user, found.host, found.port, found.database, found.options) == (
        "mysql", "jo@x", "db.example.com", 3307, "my shop", {"ssl_ca": "ca.pem"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "url", ["postgresql://u:sec-ret@h/d", "postgresql://h/d?password=sec-ret", "mysql://u:sec-ret@h"]
)
def test_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"write (PG|MYSQL_)PASSWORD into the file \.env") as fault:
        parse_address(url)
    assert "sec-ret" not in str(fault.value)


@pytest.mark.parametrize("url", ["postgresql://h:port/d", "postgresql://[h/d", "mysql://u:se/cr#et@h:99999/d"])
def test_what_is_no_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="no URL of a database") as fault:
        parse_address(url)
    assert "se/cr" not in str(fault.value)


def test_a_database_is_the_same_for_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db")
    origins = {parse_address(f"postgresql://{user}/shop").origin for user in ("ann@db", "dan@", "")}
    assert origins == {"postgresql://db:/shop"}
    assert parse_address("postgresql://other/shop").origin not in origins
