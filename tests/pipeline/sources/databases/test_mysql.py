"""Tables of a real MariaDB: every type comes out exactly, from one snapshot, whatever happens meanwhile."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal as Exact
from pathlib import Path

import polars as pl
import pymysql
import pytest

from pipeline.datasets import Bool, Contract, Date, Decimal, Float, Int, Money, Text, Time
from pipeline.errors import ConfigError, InputError
from pipeline.sources.databases import mysql
from pipeline.sources.databases.address import parse_address
from pipeline.sources.databases.catalog import choose_columns, fit_contract
from pipeline.sources.databases.faults import DatabaseFault
from pipeline.sources.databases.mysql import open_mysql
from pipeline.sources.typed_rows import Rejected, type_rows
from tests.database_servers import empty_database, mysql_session, run_mysql

TEXTS = [
    ("tinyint(1)", "1", None),
    ("tinyint(1)", "-128", None),
    ("bigint unsigned", "18446744073709551615", None),
    ("decimal(65,30)", "12345678901234567890123456789012345.123456789012345678901234567890", None),
    ("decimal(10,2)", "0.10", None),
    ("double", "0.30000000000000004", None),
    ("float", "0.1", "0.10000000149011612"),
    ("bit(4)", "10", None),
    ("year", "2026", None),
    ("date", "0000-00-00", None),
    ("date", "2026-11-00", None),
    ("datetime", "0000-00-00 00:00:00", None),
    ("datetime(6)", "2026-11-30 10:00:00.000001", None),
    ("timestamp", "2026-11-30 10:00:00", None),
    ("time", "838:59:59", None),
    ("time(3)", "-25:00:00.500", None),
    ("char(5)", "ab", None),
    ("varchar(9)", "", None),
    ("text", "  🐘 \\t\\n\\0", "  🐘 \t\n\0"),
    ("varchar(5) character set latin1", "é", None),
    ("enum('good','so so')", "so so", None),
    ("set('a','b','c')", "a,c", None),
    ("json", '{"n": 12345678901234567890.10, "n": 1}', None),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
    ("inet6", "::1", None),
    ("blob", "\\0\\'ÿ", "0027C3BF"),
    ("binary(3)", "a", "610000"),
]


@pytest.fixture
def url(mariadb: str) -> Iterator[str]:
    with empty_database(mariadb) as found:
        yield found


def read(url: str, contract: type[Contract], name: str = "t") -> tuple[pl.DataFrame, type[Contract]]:
    """The texts of a table, and the contract that types them."""
    with open_mysql(parse_address(url), [name]) as snapshot:
        table = snapshot.table(name)
        assert table
        columns = choose_columns(table, name, contract)
        frames = list(snapshot.read(snapshot.select(table, columns)))
        return pl.concat(frames) if frames else pl.DataFrame(), fit_contract(contract, columns, snapshot)


def typed(url: str, contract: type[Contract]) -> tuple[pl.DataFrame, Rejected | None]:
    return type_rows(*read(url, contract))


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without compiled code."""
    if request.param == "plain":
        monkeypatch.setattr(mysql, "compile_library", lambda _: (None, "none"))


@pytest.mark.usefixtures("way")
def test_every_type_becomes_the_text_that_the_server_shows(url: str) -> None:
    columns = ", ".join(f"c{at} {kind} null" for at, (kind, _, _) in enumerate(TEXTS))
    values = ", ".join(given if kind.startswith("bit") else f"'{given}'" for kind, given, _ in TEXTS)
    run_mysql(
        url,
        f"CREATE TABLE t (id int auto_increment primary key, {columns})",
        f"SET STATEMENT sql_mode = '' FOR INSERT INTO t VALUES (1, {values})",
        "INSERT INTO t (id) VALUES (2)",
    )
    contract = type("All", (Contract,), {f"c{at}": Text(nullable=True) for at in range(len(TEXTS))})
    found, _ = read(url, contract)
    assert set(found.dtypes) == {pl.String()}
    assert list(found.row(0)) == [shown or given for _, given, shown in TEXTS]
    assert set(found.row(1)) == {None}


class Typed(Contract):
    whole = Int()
    huge = Decimal(scale=0)
    flag = Bool()
    bit = Bool()
    cents = Money(currency="EUR")
    real = Float()
    single = Float()
    day = Date(formats=("%d.%m.%Y",))
    midnight = Date()
    moment = Time(zone="Europe/Berlin")
    stamp = Time(zone="Europe/Berlin")
    from_day = Time()
    empty = Text()


def test_values_become_those_of_the_contract(url: str) -> None:
    run_mysql(
        url,
        "CREATE TABLE t (whole bigint, huge bigint unsigned, flag tinyint(1), bit bit(1), cents decimal(12,4),"
        " real double, single float, day date, midnight datetime(3), moment datetime(6), stamp timestamp,"
        " from_day date, empty varchar(3))".replace(" real ", " `real` ").replace(" bit bit", " `bit` bit"),
    )
    with mysql_session(url) as run:
        run("SET time_zone = '+05:00'")
        run(
            "INSERT INTO t VALUES (-9223372036854775808, 18446744073709551615, 1, b'0', 12.3400, 1e-300, 0.25,"
            " '2026-02-28', '2026-02-28', '2026-07-01 12:00:00.000001', '2026-07-01 12:00:00', '2026-07-01', '')"
        )
    rows, rejected = typed(url, Typed)
    assert rejected is None
    assert rows.row(0) == (
        -(2**63), Exact(2**64 - 1), True, False, 1234, 1e-300, 0.25, date(2026, 2, 28), date(2026, 2, 28),
        datetime(2026, 7, 1, 10, 0, 0, 1), datetime(2026, 7, 1, 7), datetime(2026, 7, 1), "",
    )  # fmt: skip


class Moments(Contract):
    at = Time(nullable=True)


def test_fractions_of_seconds_are_exact(url: str) -> None:
    digits = ["", "1", "12", "123", "1234", "12345", "123456", "000001", "999999"]
    for scale in (0, 3, 6):
        texts = [f"2026-11-30 23:59:59.{one[:scale]}" for one in digits] + [f"1000-01-01 00:00:00.{'9' * scale}"]
        rows = ", ".join(f"('{text}')" for text in texts)
        run_mysql(
            url, "DROP TABLE IF EXISTS t", f"CREATE TABLE t (at datetime({scale}))", f"INSERT INTO t VALUES {rows}"
        )
        found, rejected = typed(url, Moments)
        assert rejected is None
        expected = [text.partition(".") for text in texts]
        assert found["at"].to_list() == [
            datetime.fromisoformat(whole).replace(microsecond=int(part.ljust(6, "0"))) for whole, _, part in expected
        ]


class Wild(Contract):
    n = Int(nullable=True)
    day = Date(nullable=True)
    moment = Time(nullable=True)
    flag = Bool(nullable=True)


@pytest.mark.parametrize(
    ("column", "given"),
    [
        ("n", "18446744073709551615"),
        ("day", "0000-00-00"),
        ("day", "2026-02-00"),
        ("moment", "0000-00-00 00:00:00"),
        ("flag", "2"),
    ],
)
def test_what_is_no_value_of_the_contract_is_rejected_with_what_it_was(url: str, column: str, given: str) -> None:
    run_mysql(
        url,
        "CREATE TABLE t (n bigint unsigned, day date, moment datetime, flag tinyint)",
        f"SET STATEMENT sql_mode = '' FOR INSERT INTO t ({column}) VALUES ('{given}')",
        "INSERT INTO t VALUES (2, '2026-01-01', '2026-01-01 10:00', 0)",
    )
    rows, rejected = typed(url, Wild)
    assert rejected
    assert rejected.reasons.select("column", "value").rows() == [(column, given)]
    assert rows.rows() == [(2, date(2026, 1, 1), datetime(2026, 1, 1, 10), False)]


class Long(Contract):
    n = Int()
    text = Text(nullable=True)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("rows", "size", "block"), [(0, 1, 2**20), (30_000, 100, 2**16), (5, 300_000, 2**16)])
def test_rows_are_whole_wherever_blocks_end(
    url: str, rows: int, size: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql, "_BLOCK_BYTES", block)
    run_mysql(
        url,
        "CREATE TABLE t (n int, text longtext)",
        f"INSERT INTO t SELECT seq, if(seq % 3, repeat(char(97 + seq % 26), seq % {size}), NULL) FROM seq_1_to_{rows}"
        if rows
        else "DO 0",
    )
    found, _ = read(url, Long)
    expected = [(str(n), chr(97 + n % 26) * (n % size) if n % 3 else None) for n in range(1, rows + 1)]
    assert found.rows() == expected


def test_a_row_that_is_too_long_is_told(url: str) -> None:
    run_mysql(url, "SET GLOBAL max_allowed_packet = 64000000", "CREATE TABLE t (n int, text longtext)")
    run_mysql(url, "INSERT INTO t VALUES (1, repeat('x', 17000000))")
    with pytest.raises(InputError, match="a row of a table is longer than 16 MB"):
        read(url, Long)


class Number(Contract):
    n = Int()


def test_all_tables_are_of_one_moment_and_keep_their_columns(url: str) -> None:
    run_mysql(url, "CREATE TABLE a AS SELECT 1 AS n", "CREATE TABLE b AS SELECT 1 AS n")
    with open_mysql(parse_address(url), ["a", "b"]) as snapshot:
        counts = []
        for name in ("a", "b"):
            table = snapshot.table(name)
            assert table
            query = snapshot.select(table, choose_columns(table, name, Number))
            counts.append(sum(len(rows) for rows in snapshot.read(query)))
            run_mysql(url, "INSERT INTO a VALUES (2)", "INSERT INTO b VALUES (2)")
            with mysql_session(url) as run:
                run("SET lock_wait_timeout = 0")
                for change in ("ALTER TABLE b MODIFY n text", "DROP TABLE b", "TRUNCATE b"):
                    with pytest.raises(pymysql.MySQLError, match="Lock wait timeout"):
                        run(change)
        assert counts == [1, 1]
    assert run_mysql(url, "SELECT count(*) FROM b") == [(3,)]


def test_names_are_as_they_are_written(url: str) -> None:
    named = type("Named", (Contract,), {"n": Int(read_from=("Number", "No`.%s"))})
    run_mysql(url, "CREATE TABLE `Odd ``t'` (`No``.%s` int)", "INSERT INTO `Odd ``t'` VALUES (7)")
    assert read(url, named, "Odd `t'")[0].rows() == [("7",)]
    schema = run_mysql(url, "SELECT database()")[0][0]
    run_mysql(url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (8)")
    assert read(url.replace(f"/{schema}", "/mysql"), Number, f"{schema}.t")[0].rows() == [("8",)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("root@", "nobody@"), "refuses the user or the password"),
        (("?socket", "_not_there?socket"), "there is no such database"),
        (("root@localhost", "root@127.0.0.1:1/x?#"), "there is no answer"),
    ],
)
def test_what_keeps_from_connecting_is_told_without_the_password(
    url: str, change: tuple[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_PASSWORD", "" if "nobody" not in change[1] else "a-secret")
    with pytest.raises(DatabaseFault, match=message) as fault:
        read(url.replace(*change), Number)
    assert fault.value.exit_code == 5
    assert "a-secret" not in str(fault.value)


def test_a_table_that_is_locked_and_one_that_may_not_be_read_are_told(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mysql._SETTINGS, "lock_wait_timeout", "1")
    schema = run_mysql(url, "SELECT database()")[0][0]
    run_mysql(
        url,
        "CREATE TABLE t (n int)",
        f"CREATE USER '{schema}'@'localhost'",
        f"GRANT INSERT ON t TO '{schema}'@localhost",
    )
    with mysql_session(url) as run:
        run("LOCK TABLES t WRITE")
        with pytest.raises(DatabaseFault, match="another session holds a lock"):
            read(url, Number)
        run("UNLOCK TABLES")
    with pytest.raises(DatabaseFault, match="may not read a table"):
        read(url.replace("root@", f"{schema}@"), Number)


def test_a_server_that_goes_away_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql, "_BLOCK_BYTES", 2**16)
    run_mysql(url, "CREATE TABLE t (n int)", "INSERT INTO t SELECT seq FROM seq_1_to_300000")
    with open_mysql(parse_address(url), ["t"]) as snapshot:
        table = snapshot.table("t")
        assert table
        rows = snapshot.read(snapshot.select(table, choose_columns(table, "t", Number)))
        next(rows)
        (found,) = run_mysql(url, "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT `n`%'")
        run_mysql(url, f"KILL {found[0]}")
        with pytest.raises(DatabaseFault, match="the connection broke") as fault:
            list(rows)
    assert fault.value.exit_code == 5


@pytest.fixture(scope="module")
def by_port(mariadb: str) -> Iterator[str]:
    """The URL of an empty database at the server's port, for a user who must encrypt."""
    with empty_database(mariadb) as found:
        schema = run_mysql(found, "SELECT database()")[0][0]
        run_mysql(
            found,
            "CREATE TABLE t (n int)",
            f"CREATE USER {schema} REQUIRE SSL",
            f"GRANT SELECT ON {schema}.* TO {schema}",
        )
        yield found.partition("?")[0].replace("root@", f"{schema}@")


@pytest.mark.parametrize(
    ("host", "options", "works"),
    [
        ("localhost", "", True),
        ("127.0.0.1", "?ssl_mode=required", True),
        ("127.0.0.1", "?ssl_mode=verify_ca&ssl_ca={ca}", True),
        ("localhost", "?ssl_ca={ca}", True),
        ("127.0.0.1", "?ssl_ca={ca}", False),
        ("localhost", "?ssl_mode=verify_identity", False),
        ("localhost", "?ssl_mode=verify_ca", False),
    ],
)
def test_whoever_answers_is_checked_as_the_mode_says(
    mariadb: str, by_port: str, host: str, options: str, works: bool
) -> None:
    ca = Path(mariadb.partition("socket=")[2]).with_name("ca.pem")
    url = by_port.replace("localhost", host) + options.format(ca=ca)
    if works:
        assert len(read(url, Number)[0]) == 0
    else:
        with pytest.raises(DatabaseFault, match="the encrypted connection failed"):
            read(url, Number)


def test_a_connection_without_encryption_is_one(by_port: str) -> None:
    with pytest.raises(DatabaseFault, match="refuses the user"):
        read(f"{by_port}?ssl_mode=disabled", Number)


def test_unknown_options_are_named(url: str) -> None:
    with pytest.raises(ConfigError, match="the option 'sslmode', expected one of socket, ssl_mode"):
        read(f"{url}&sslmode=require", Number)
    with pytest.raises(ConfigError, match="ssl_mode is 'yes', expected one of disabled"):
        read(f"{url}&ssl_mode=yes", Number)
    with pytest.raises(ConfigError, match="ssl_ca, ssl_cert or ssl_key cannot be read"):
        read(f"{url}&ssl_ca=/nowhere", Number)
