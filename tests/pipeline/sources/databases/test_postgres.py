"""Tables of a real PostgreSQL: every type comes out exactly, from one snapshot, whatever happens meanwhile."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal as Exact

import polars as pl
import pytest

from pipeline.datasets import Contract, Date, Decimal, Float, Int, Money, Text, Time
from pipeline.errors import InputError
from pipeline.sources.databases import postgres
from pipeline.sources.databases.address import parse_address
from pipeline.sources.databases.catalog import choose_columns
from pipeline.sources.databases.faults import DatabaseFault
from pipeline.sources.databases.postgres import open_postgres
from pipeline.sources.typed_rows import type_rows
from tests.database_servers import empty_schema, run_sql, session

TEXTS = [
    ("numeric", "12345678901234567890123456789012345.123456789", None),
    ("numeric", "NaN", None),
    ("numeric", "-Infinity", None),
    ("numeric(40,2)", "0.10", None),
    ("money", "1234.50", None),
    ("bigint", "-9223372036854775808", None),
    ("double precision", "0.30000000000000004", None),
    ("real", "NaN", None),
    ("boolean", "true", None),
    ("date", "infinity", None),
    ("date", "0044-03-15 BC", None),
    ("timestamp", "infinity", None),
    ("timestamp", "2026-11-30 10:00:00.000001", None),
    ("timestamptz", "2026-11-30 10:00:00.5+05:30", "2026-11-30 04:30:00.5+00"),
    ("timestamptz", "-infinity", None),
    ("time", "24:00:00", None),
    ("timetz", "10:00:00+02", None),
    ("interval", "1 year 2 mons -3 days 25:00:00.000001", "1 year 2 mons -3 days +25:00:00.000001"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
    ("json", '{"n": 12345678901234567890.10, "n": 1}', None),
    ("jsonb", '{"n": 12345678901234567890.10}', None),
    ("integer[]", "{1,NULL,3}", None),
    ("text[]", '{"a,b","\\"",NULL,"NULL"}', None),
    ("bytea", "\\x00ff", None),
    ("bit(4)", "1010", None),
    ("char(5)", "ab", None),
    ("varchar", "", None),
    ("text", "  🐘 \t\n", None),
    ("inet", "::1/64", None),
    ("int4range", "[1,5)", None),
    ("point", "(1,2.5)", None),
    ("tsvector", "'a' 'b'", None),
    ("mood", "so so", None),
    ("cents", "7", None),
]


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    with empty_schema(postgres) as found:
        run_sql(
            found, "CREATE TYPE mood AS ENUM ('good', 'so so')", "CREATE DOMAIN cents AS numeric CHECK (value >= 0)"
        )
        yield found


def read(url: str, contract: type[Contract], name: str = "t") -> pl.DataFrame:
    with open_postgres(parse_address(url), [name]) as snapshot:
        table = snapshot.table(name)
        assert table
        query = snapshot.select(table, choose_columns(table, name, contract))
        frames = list(snapshot.read(query))
        return pl.concat(frames) if frames else pl.DataFrame()


def test_every_type_becomes_the_text_that_the_server_shows(url: str) -> None:
    columns = ", ".join(f"c{at} {kind}" for at, (kind, _, _) in enumerate(TEXTS))
    values = ", ".join(f"$${given}$$" for _, given, _ in TEXTS)
    run_sql(url, f"CREATE TABLE t ({columns})", f"INSERT INTO t VALUES ({values})", "INSERT INTO t DEFAULT VALUES")
    contract = type("All", (Contract,), {f"c{at}": Text(nullable=True) for at in range(len(TEXTS))})
    found = read(url, contract)
    assert set(found.dtypes) == {pl.String()}
    assert list(found.row(0)) == [shown or given for _, given, shown in TEXTS]
    assert set(found.row(1)) == {None}


class Typed(Contract):
    whole = Int()
    small = Int()
    cents = Money(currency="EUR")
    exact = Decimal(scale=20)
    real = Float()
    day = Date()
    moment = Time(zone="Europe/Berlin")
    zoned = Time()
    from_day = Time()
    empty = Text()


def test_values_become_those_of_the_contract(url: str) -> None:
    run_sql(
        url,
        "CREATE TABLE t (whole int8, small int2, cents money, exact numeric, real float4, day date, moment timestamp,"
        " zoned timestamptz, from_day date, empty varchar)",
        "INSERT INTO t VALUES (9223372036854775807, -1, '12.34', 123456789012345678.12345678901234567890, 0.25,"
        " '2026-02-28', '2026-07-01 12:00', '2026-07-01 12:00:00.000001-07', '2026-07-01', '')",
    )
    rows, rejected = type_rows(read(url, Typed), Typed)
    assert rejected is None
    assert rows.row(0) == (
        2**63 - 1, -1, 1234, Exact("123456789012345678.12345678901234567890"), 0.25, date(2026, 2, 28),
        datetime(2026, 7, 1, 10), datetime(2026, 7, 1, 19, 0, 0, 1), datetime(2026, 7, 1), "",
    )  # fmt: skip


class Wild(Contract):
    n = Int()
    day = Date(nullable=True)
    moment = Time(nullable=True)
    zoned = Time(nullable=True)
    amount = Money(currency="EUR", nullable=True)
    real = Float(nullable=True)


@pytest.mark.parametrize(
    ("column", "given", "shown"),
    [
        ("day", "infinity", "infinity"),
        ("day", "-infinity", "-infinity"),
        ("day", "0044-03-15 BC", "a year before 1 or after 9999"),
        ("moment", "infinity", "infinity"),
        ("moment", "-infinity", "-infinity"),
        ("zoned", "infinity", "infinity"),
        ("zoned", "294276-12-31", "a year before 1 or after 9999"),
        ("amount", "NaN", "NaN"),
        ("amount", "1.001", "1.001"),
        ("real", "NaN", "nan"),
    ],
)
def test_what_is_no_value_of_the_contract_is_rejected_with_what_it_was(
    url: str, column: str, given: str, shown: str
) -> None:
    run_sql(
        url,
        "CREATE TABLE t (n int, day date, moment timestamp, zoned timestamptz, amount numeric, real float8)",
        f"INSERT INTO t (n, {column}) VALUES (1, '{given}')",
        "INSERT INTO t VALUES (2, '2026-01-01', '2026-01-01 10:00', '2026-01-01 10:00+00', 1.10, 0.5)",
        "INSERT INTO t (n) VALUES (3)",
    )
    rows, rejected = type_rows(read(url, Wild), Wild)
    assert rejected
    assert rejected.reasons.select("column", "value").rows() == [(column, shown)]
    assert rows.rows() == [
        (2, date(2026, 1, 1), datetime(2026, 1, 1, 10), datetime(2026, 1, 1, 10), 110, 0.5),
        (3, None, None, None, None, None),
    ]


class Named(Contract):
    n = Int(read_from=("Number", "No."))


def test_names_are_as_they_are_written(url: str) -> None:
    run_sql(url, 'CREATE TABLE "Odd ""t" ("No." int)', 'INSERT INTO "Odd ""t" VALUES (7)')
    assert read(url, Named, 'Odd "t').rows() == [(7,)]


def test_a_schema_stands_before_the_name(url: str) -> None:
    run_sql(url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (7)")
    schema = run_sql(url, "SELECT current_schema()")[0][0]
    elsewhere = url.partition("&options")[0]
    assert read(elsewhere, Wrong.of(n=Int()), f"{schema}.t").rows() == [(7,)]


class Wrong:
    @staticmethod
    def of(**columns: object) -> type[Contract]:
        return type("Wrong", (Contract,), columns)


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        (Wrong.of(n=Int(), m=Int()), "lacks m. It has n, at. Say in the contract"),
        (Wrong.of(n=Date()), "the column n of the table .*t is integer, and Wrong declares Date"),
        (Wrong.of(at=Int()), "the column at of the table .*t is timestamp without time zone, and Wrong declares Int"),
    ],
)
def test_columns_that_are_missing_or_of_another_type_are_named(
    url: str, contract: type[Contract], message: str
) -> None:
    run_sql(url, "CREATE TABLE t (n int, at timestamp)")
    with pytest.raises(InputError, match=message):
        read(url, contract)


class Number(Contract):
    n = Int()


def count(snapshot: postgres.PostgresSnapshot, name: str) -> int:
    table = snapshot.table(name)
    assert table
    return sum(len(rows) for rows in snapshot.read(snapshot.select(table, choose_columns(table, name, Number))))


def test_all_tables_are_of_one_moment_and_keep_their_columns(url: str) -> None:
    run_sql(url, "CREATE TABLE a AS SELECT 1 AS n", "CREATE TABLE b AS SELECT 1 AS n")
    with open_postgres(parse_address(url), ["a", "b"]) as snapshot:
        assert count(snapshot, "a") == 1
        run_sql(url, "INSERT INTO a VALUES (2)", "INSERT INTO b VALUES (2)", "DELETE FROM b WHERE n = 1")
        with session(url) as run:
            run("SET lock_timeout = '50ms'")
            for change in ("ALTER TABLE b ALTER n TYPE text", "DROP TABLE b", "TRUNCATE b"):
                with pytest.raises(Exception, match="lock timeout"):
                    run(change)
        assert count(snapshot, "b") == 1
    assert run_sql(url, "SELECT n FROM b") == [(2,)]


def test_a_view_is_read_as_a_table_is(url: str) -> None:
    run_sql(url, "CREATE TABLE a AS SELECT generate_series(1, 3) AS n", "CREATE VIEW v AS SELECT n FROM a WHERE n > 1")
    run_sql(url, "CREATE MATERIALIZED VIEW m AS SELECT n FROM a")
    assert read(url, Number, "v").rows() == [(2,), (3,)]
    assert len(read(url, Number, "m")) == 3


def test_a_table_that_is_locked_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres._SETTINGS, "lock_timeout", "50ms")
    run_sql(url, "CREATE TABLE a (n int)")
    with session(url) as run:
        run("BEGIN")
        run("LOCK TABLE a IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseFault, match="another session holds a lock"):
            read(url, Number, "a")
        run("ROLLBACK")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("postgres@/", "nobody@/"), "refuses the user or the password"),
        (("@/postgres?", "@/nowhere?"), "there is no such database"),
        (("host=", "port=1&host="), "there is no answer. Check host and port"),
        (("host=", "sslmode=require&port=1&hostaddr=127.0.0.1&host="), "there is no answer"),
    ],
)
def test_what_keeps_from_connecting_is_told_without_the_password(
    url: str, change: tuple[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "a-secret")
    with pytest.raises(DatabaseFault, match=message) as fault:
        read(url.replace(*change), Number)
    assert fault.value.exit_code == 5
    assert "a-secret" not in str(fault.value)


def test_tables_that_the_user_may_not_read_are_told(url: str) -> None:
    schema = run_sql(url, "SELECT current_schema()")[0][0]
    role = f"reader_{schema}"
    run_sql(url, "CREATE TABLE t (n int)", f"CREATE ROLE {role} LOGIN", f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    theirs = url.replace("postgres@/", f"{role}@/")
    try:
        with pytest.raises(DatabaseFault, match="may not read a table that the job needs"):
            read(theirs, Number)
        run_sql(url, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
        assert len(read(theirs, Number)) == 0
    finally:
        run_sql(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_servers_that_read_the_whole_table_for_a_range_are_asked_by_one_reader(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_RANGE_PAGES", 1)
    run_sql(url, "CREATE TABLE large AS SELECT repeat('x', 1000) AS text FROM generate_series(1, 50)")
    counts = []
    for since in (postgres._RANGES_SINCE, 10**6):
        monkeypatch.setattr(postgres, "_RANGES_SINCE", since)
        with open_postgres(parse_address(url), ["large"]) as snapshot:
            table = snapshot.table("large")
            assert table
            counts.append(len(table.ranges))
    assert counts == [8, 0]
