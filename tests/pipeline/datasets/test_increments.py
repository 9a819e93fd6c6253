"""Tables that are read from where the last run ended: the result is that of a run that reads everything."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from cli.progress import NullProgress
from config import Config
from pipeline.datasets import Bool, Contract, Date, Int, Text, Time, bronze_tables, increments, table
from pipeline.datasets.bronze_tables import _read_keys as read_keys
from pipeline.datasets.forget import forget_people
from pipeline.datasets.plan import plan_job
from pipeline.datasets.result import JobResult
from pipeline.datasets.run import JobOptions
from pipeline.errors import ConfigError, InputError
from tests.database_servers import empty_database, empty_schema, mysql_session, run_mysql, run_sql, session
from tests.pipeline.datasets.jobs_for_tests import read, run, write_job

JOB = """
from datetime import timedelta
from pipeline.datasets import *


class Sales(Contract):
    id = Int("order")
    part = Text("of the order")
    who = Text("customer", nullable=True, forget="value")
    cents = Int("amount")
    at = Time("when it was written")


sales = table("sales", Sales, key=("id", "part"), updated="at", OPTIONS)


@dataset(Sales, grain="one row per order", by="id", key=("id", "part"))
def orders(sales):
    \"\"\"All of them.\"\"\"
    return sales
"""
TABLE = "CREATE TABLE sales (id int, part varchar(9), who varchar(99), cents varchar(99), at timestamp NULL)"
DAY = datetime(2026, 1, 1)


class Counting(NullProgress):
    """How many rows were read."""

    def __init__(self) -> None:
        self.rows = 0

    def phase(self, name: str, *_: object) -> None:
        self.counts = name == "extract"

    def advance(self, n: int) -> None:
        self.rows += n if self.counts else 0


@pytest.fixture(params=["postgres", "mariadb"])
def database(request: pytest.FixtureRequest) -> Iterator[tuple[str, Callable[..., object]]]:
    """The URL of an empty database, and what runs statements there."""
    server = request.getfixturevalue(request.param)
    opened, execute = (empty_schema, run_sql) if request.param == "postgres" else (empty_database, run_mysql)
    with opened(server) as url:
        yield url, lambda *statements: execute(url, *statements)


def make(folder: Path, options: str = "deletions=timedelta(0)", text: str = JOB) -> object:
    return write_job(folder, text.replace("OPTIONS", options))


def published(result: JobResult) -> list[tuple[object, ...]]:
    return read(result, "orders").sort("id", "part").rows()


def rejected(result: JobResult) -> list[tuple[object, ...]]:
    files = Path(result.output).resolve().parent / "quarantine" / "sales"
    if not files.exists():
        return []
    found = pl.read_parquet(files / "*.parquet")
    return sorted(found.select("check", "column", "value", "key").rows(), key=str)


ALL_MAY_BE_REJECTED = {"max_rejected_share": 1.0}


def values(chance: random.Random, at: datetime) -> str:
    cents = chance.choice(["'1'", "'20'", "'300'", "'no'"]) if chance.random() < 0.3 else f"'{chance.randrange(999)}'"
    return f"{chance.choice(['NULL', repr('ann'), repr(''), repr('joe')])}, {cents}, '{at}'"


def change(chance: random.Random, day: int) -> list[str]:
    """Statements of a day: new, late, corrected, deleted and returned rows."""
    statements = []
    for _ in range(chance.randint(0, 12)):
        at = DAY + timedelta(days=day, minutes=chance.randint(-50, 600))  # up to 50 minutes late
        key = f"id = {chance.randrange(40)} AND part = '{chance.choice('ab')}'"
        number, part = key.split(" AND part = ")
        row = f"({number[5:]}, {part}, {values(chance, at)})"
        statements.append(f"DELETE FROM sales WHERE {key}")
        if chance.random() < 0.75:
            statements.append(f"INSERT INTO sales VALUES {row}")
    return statements


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_ten_days_of_changes_equal_reading_everything(
    database: tuple[str, Callable[..., object]], seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, execute = database
    monkeypatch.setattr(increments, "_MANY_FILES", 4)
    monkeypatch.setattr(increments, "_ROWS_OF_A_PASS", 20)
    chance, job = random.Random(seed), make(tmp_path / "job")
    execute(TABLE)
    run_again: set[str] = set()
    for day in range(10):
        execute("DO 0" if "mysql" in url else "SELECT 1", *change(chance, day))
        step = run(job, tmp_path, source=url, settings=ALL_MAY_BE_REJECTED)
        whole = run(
            job, tmp_path, source=url, output=str(tmp_path / "whole"), full_refresh=True, settings=ALL_MAY_BE_REJECTED
        )
        assert published(step) == published(whole)
        assert rejected(step) == rejected(whole)
        assert step.checks == whole.checks
        assert (step.sources["sales"].rows, step.sources["sales"].rejected) == (
            whole.sources["sales"].rows, whole.sources["sales"].rejected,
        )  # fmt: skip
        run_again.add(step.status)
    assert "ok" in run_again


def test_only_rows_after_the_last_run_are_read_and_files_without_them_stay(
    database: tuple[str, Callable[..., object]], tmp_path: Path
) -> None:
    url, execute = database
    rows = ", ".join(f"({n}, 'a', 'w{n}', '1', '{DAY + timedelta(hours=n)}')" for n in range(500))
    execute(TABLE, f"INSERT INTO sales VALUES {rows}")
    job, counting = make(tmp_path / "job", "deletions=None"), Counting()
    run(job, tmp_path, source=url)
    at = DAY + timedelta(hours=501)
    execute(f"INSERT INTO sales VALUES (1000, 'a', 'new', '5', '{at}')", "UPDATE sales SET cents = '9' WHERE id = 3")
    found = run(job, tmp_path, source=url, progress=counting)
    assert counting.rows == 3  # two of the last hour, and the new one; nobody can see the row without a newer time
    assert found.tables["orders"].recomputed == 1
    assert run(job, tmp_path, source=url).status == "nothing new"
    execute(f"UPDATE sales SET cents = '9', at = '{at}' WHERE id = 3")
    assert published(run(job, tmp_path, source=url))[3] == (3, "a", "w3", 9, at)


def test_a_key_comparison_finds_rows_that_are_gone_and_rows_that_nobody_saw(
    database: tuple[str, Callable[..., object]], tmp_path: Path
) -> None:
    url, execute = database
    job = make(tmp_path / "job")
    execute(TABLE, f"INSERT INTO sales VALUES (1, 'a', 'x', '1', '{DAY}'), (2, 'a', 'x', '1', '{DAY}')")
    run(job, tmp_path, source=url)
    execute("DELETE FROM sales WHERE id = 1")
    assert [row[0] for row in published(run(job, tmp_path, source=url))] == [2]
    execute(f"INSERT INTO sales VALUES (3, 'a', 'far too late', '1', '{DAY - timedelta(days=99)}')")
    assert [row[0] for row in published(run(job, tmp_path, source=url))] == [2, 3]


def test_deleted_rows_stay_until_keys_are_compared(database: tuple[str, Callable[..., object]], tmp_path: Path) -> None:
    url, execute = database
    job = make(tmp_path / "job", "deletions=timedelta(days=7)")
    execute(TABLE, f"INSERT INTO sales VALUES (1, 'a', 'x', '1', '{DAY}'), (2, 'a', 'x', '1', '{DAY}')")
    run(job, tmp_path, source=url)
    execute("DELETE FROM sales WHERE id = 1")
    assert run(job, tmp_path, source=url).status == "nothing new"
    assert len(published(run(job, tmp_path, source=url, full_refresh=True))) == 1


@contextmanager
def open_session(url: str) -> Iterator[Callable[[str], object]]:
    with session(url) if url.startswith("postgresql") else mysql_session(url) as execute:
        yield execute


def test_a_slow_transaction_that_commits_behind_the_watermark_is_not_lost(
    database: tuple[str, Callable[..., object]], tmp_path: Path
) -> None:
    url, execute = database
    job = make(tmp_path / "job", "overlap=timedelta(0), deletions=None")
    execute(TABLE)
    now = "now()" if url.startswith("postgresql") else "utc_timestamp()"
    with open_session(url) as slow:
        slow("BEGIN")
        slow(f"INSERT INTO sales VALUES (1, 'a', 'slow', '1', {now})")
        later = "now() + interval '2 seconds'" if "postgresql" in url else "utc_timestamp() + interval 2 second"
        execute(f"INSERT INTO sales VALUES (2, 'a', 'fast', '1', {later})")
        assert [row[0] for row in published(run(job, tmp_path, source=url))] == [2]
        slow("COMMIT")
    assert [row[0] for row in published(run(job, tmp_path, source=url))] == [1, 2]


def test_a_run_that_finds_nothing_new_notes_how_far_it_read(postgres: str, tmp_path: Path) -> None:
    """An open transaction holds the first run back, so that the second one reads its rows again, and no other does."""
    job = make(tmp_path / "job", "overlap=timedelta(0), deletions=timedelta(days=1)")
    with empty_schema(postgres) as url:
        run_sql(url, TABLE)
        with session(url) as slow:
            slow("BEGIN")
            slow("SELECT 1")
            run_sql(
                url,
                "INSERT INTO sales SELECT n, 'a', 'w', '1', now() + n * interval '1 ms' FROM generate_series(1, 9) n",
            )
            assert len(published(run(job, tmp_path, source=url))) == 9
            slow("ROLLBACK")
        run_sql(url, "SELECT pg_sleep(0.05)")
        read_rows = []
        for _ in range(2):
            counting = Counting()
            assert run(job, tmp_path, source=url, progress=counting).status == "nothing new"
            read_rows.append(counting.rows)
        assert read_rows == [9, 1]
        (step, *_) = plan_job(job, JobOptions(url, str(tmp_path / "output")))
        (latest,) = run_sql(url, "SELECT max(at)::text FROM sales")[0]
        assert (step.work, step.reason) == ("compare", f"rows since {latest}, and 0:00:00 before")


def test_keys_are_compared_no_earlier_than_declared_also_where_nothing_is_new(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make(tmp_path / "job", "deletions=timedelta(days=7)")
    compared = []
    monkeypatch.setattr(bronze_tables, "_read_keys", lambda *given: compared.append(1) or read_keys(*given))
    with empty_schema(postgres) as url:
        run_sql(url, TABLE, f"INSERT INTO sales VALUES (1, 'a', 'x', '1', '{DAY}')")
        for day in (1, 9, 10):
            monkeypatch.setattr(bronze_tables, "begin_of", lambda _, day=day: DAY + timedelta(days=day))
            run(job, tmp_path, source=url)
    assert len(compared) == 1


def test_another_database_is_read_as_a_whole(postgres: str, tmp_path: Path) -> None:
    job = make(tmp_path / "job", "deletions=None")
    for name, at in (("one", DAY), ("two", DAY - timedelta(days=9))):
        with empty_schema(postgres) as url:
            run_sql(url, TABLE, f"INSERT INTO sales VALUES (1, 'a', '{name}', '1', '{at}')")
            assert [row[2] for row in published(run(job, tmp_path, source=url))] == [name]


def test_two_rows_of_one_key_are_told(postgres: str, tmp_path: Path) -> None:
    with empty_schema(postgres) as url:
        run_sql(url, TABLE, f"INSERT INTO sales VALUES (1, 'a', 'x', '1', '{DAY}'), (1, 'a', 'y', '1', '{DAY}')")
        with pytest.raises(InputError, match=r"rows of the table .*sales have the same id, part"):
            run(make(tmp_path / "job"), tmp_path, source=url)


def test_times_without_zone_are_of_the_place_also_when_its_clocks_go_back(postgres: str, tmp_path: Path) -> None:
    text = JOB.replace('Time("when it was written")', 'Time("when", zone="Europe/Berlin")')
    job = make(tmp_path / "job", "overlap=timedelta(minutes=1), deletions=None", text)
    with empty_schema(postgres) as url:
        run_sql(url, TABLE, "INSERT INTO sales VALUES (1, 'a', 'x', '1', '2025-10-26 03:30')")
        run(job, tmp_path, source=url)
        run_sql(url, "INSERT INTO sales VALUES (2, 'a', 'x', '1', '2025-10-26 03:10')")
        assert [row[4] for row in published(run(job, tmp_path, source=url))] == [
            datetime(2025, 10, 26, 2, 30), datetime(2025, 10, 26, 2, 10),
        ]  # fmt: skip


def test_who_is_forgotten_is_in_no_file_of_bronze(postgres: str, tmp_path: Path) -> None:
    job = make(tmp_path / "job", "deletions=None")
    with empty_schema(postgres) as url:
        run_sql(url, TABLE, f"INSERT INTO sales VALUES (1, 'a', 'jane', '1', '{DAY}'), (2, 'a', 'joe', '1', '{DAY}')")
        run(job, tmp_path, source=url)
        run_sql(url, f"UPDATE sales SET who = 'anna', at = '{DAY + timedelta(days=1)}' WHERE id = 1")
        run(job, tmp_path, source=url)
        options = JobOptions(url, str(tmp_path / "output"))
        config = Config(ENGINE="polars", MEMORY_LIMIT=10**9, PREPROCESSING_WORKERS=1)
        forget_people(job, config, options, ["jane"], NullProgress())
        for file in (tmp_path / "output.bronze" / "sales").glob("*/rows-*.parquet"):
            assert "jane" not in pl.read_parquet(file)["who"].to_list()


HISTORY = """
from pipeline.datasets import *


class Buyers(Contract):
    id = Int("buyer")
    name = Text("name", sensitive="name")
    at = Time("when it was written")
    gone = Bool("whether it was deleted", optional=True)


buyers = table("buyers", Buyers, key="id", updated="at", deletions=timedelta(0), deleted="gone", snapshots=True)


class Version(Contract):
    id = Int("buyer")
    name = Text("name", sensitive="name")
    valid_from = Time("since when")
    valid_to = Time("until when", nullable=True)


@dataset(Version, grain="one row per version", by="id", key=("id", "valid_from"))
def versions(buyers):
    \"\"\"Buyers over time.\"\"\"
    found = history(buyers, key="id", tracked=["gone", "name"], valid_from="at")
    return found.filter(~pl.col("gone").fill_null(False)).drop("gone", "is_current")
"""


def test_history_ends_where_the_comparison_of_keys_finds_a_row_gone(
    database: tuple[str, Callable[..., object]], tmp_path: Path
) -> None:
    """And goes on where it returns. Of names that are hidden, the added row has the clear one, too."""
    url, execute = database
    job = write_job(tmp_path / "job", "import polars as pl\nfrom datetime import timedelta\n" + HISTORY)
    at = [DAY + timedelta(days=day) for day in range(9)]

    def found(day: int, method: str = "keep") -> list[tuple[object, ...]]:
        result = run(job, tmp_path, source=url, as_of=at[day], personal={"name": method})
        statuses.append(result.status)
        return read(result, "versions").sort("id", "valid_from").rows()

    statuses: list[str] = []
    execute("CREATE TABLE buyers (id int, name varchar(9), at timestamp NULL)")
    execute(f"INSERT INTO buyers VALUES (1, 'ann', '{at[0]}'), (2, 'bo', '{at[0]}'), (3, 'cy', '{at[0]}')")
    found(1, "hash")
    execute("DELETE FROM buyers WHERE id < 3", f"UPDATE buyers SET name = 'cyd', at = '{at[2]}'")
    hidden = found(3, "hash")
    stay = [(3, "cy", at[0], at[2]), (3, "cyd", at[2], None)]
    assert found(4) == [(1, "ann", at[0], at[3]), (2, "bo", at[0], at[3]), *stay]
    assert [row[2:] for row in hidden] == [(at[0], at[3]), (at[0], at[3]), (at[0], at[2]), (at[2], None)]
    assert found(5) == found(4)
    execute(f"INSERT INTO buyers VALUES (2, 'bob', '{at[6]}')")
    returned = [(1, "ann", at[0], at[3]), (2, "bo", at[0], at[3]), (2, "bob", at[6], None), *stay]
    assert found(7) == returned
    execute("DELETE FROM buyers WHERE id = 2")
    assert found(8)[2] == (2, "bob", at[6], at[8])
    assert statuses == ["ok", "ok", "ok", "nothing new", "nothing new", "ok", "ok"]


def test_after_reading_all_the_next_run_compares_keys(postgres: str, tmp_path: Path) -> None:
    """However long ago the last comparison is; then not before it is due."""
    text = HISTORY.replace("timedelta(0)", "timedelta(days=7)")
    job = write_job(tmp_path / "job", "import polars as pl\nfrom datetime import timedelta\n" + text)
    with empty_schema(postgres) as url:
        run_sql(url, "CREATE TABLE buyers (id int, name varchar(9), at timestamp NULL)")
        run_sql(url, f"INSERT INTO buyers SELECT n, 'ann', '{DAY}' FROM generate_series(1, 4) n")
        gone = []
        for day, (deleted, whole) in enumerate([(0, False), (1, True), (2, False), (3, False)]):
            run_sql(url, f"DELETE FROM buyers WHERE id = {deleted}")
            result = run(job, tmp_path, source=url, as_of=DAY + timedelta(days=day), full_refresh=whole)
            gone.append(read(result, "versions").filter(pl.col("valid_to").is_not_null())["id"].sort().to_list())
    assert gone == [[], [], [1, 2], [1, 2]]


@pytest.mark.parametrize("at", [DAY, DAY + timedelta(days=3)])
def test_history_goes_on_where_a_row_returns_with_its_old_time(at: datetime, postgres: str, tmp_path: Path) -> None:
    """At the as-of of the run that finds it, also where the row is within the overlap, and once."""
    job = write_job(tmp_path / "job", "import polars as pl\nfrom datetime import timedelta\n" + HISTORY)
    found = []
    with empty_schema(postgres) as url:
        run_sql(url, "CREATE TABLE buyers (id int, name varchar(9), at timestamp NULL)")
        run_sql(url, f"INSERT INTO buyers VALUES (1, 'ann', '{at}'), (2, 'zed', '{DAY + timedelta(days=3)}')")
        for day in range(4, 9):
            result = run(job, tmp_path, source=url, as_of=DAY + timedelta(days=day), full_refresh=day == 7)
            versions = read(result, "versions").filter(id=1).sort("valid_from")
            found.append(versions.select("valid_from", "valid_to").rows())
            if day == 4:
                run_sql(url, "DELETE FROM buyers WHERE id = 1")
            if day == 5:
                run_sql(url, f"INSERT INTO buyers VALUES (1, 'ann', '{at}')")
    ended, returned = DAY + timedelta(days=5), DAY + timedelta(days=6)
    assert found == [[(at, None)], [(at, ended)], *[[(at, ended), (returned, None)]] * 3]
    assert versions["name"].n_unique() == 1


def test_a_row_without_a_key_does_not_hinder_that_deleted_rows_are_found(postgres: str, tmp_path: Path) -> None:
    """Nor does it let bronze grow by the whole table in each run."""
    job = write_job(tmp_path / "job", "import polars as pl\nfrom datetime import timedelta\n" + HISTORY)
    with empty_schema(postgres) as url:
        run_sql(url, "CREATE TABLE buyers (id int, name varchar(9), at timestamp NULL)")
        run_sql(url, f"INSERT INTO buyers SELECT n, 'ann', '{DAY}' FROM generate_series(1, 40) n")
        run_sql(url, f"INSERT INTO buyers VALUES (NULL, 'nul', '{DAY}')")
        rows, ended, rejected_rows = [], [], []
        for day in range(1, 4):
            result = run(job, tmp_path, source=url, as_of=DAY + timedelta(days=day))
            rows.append(result.sources["buyers"].rows)
            rejected_rows.append(result.sources["buyers"].rejected)
            ended.append(read(result, "versions").filter(pl.col("valid_to").is_not_null())["id"].sort().to_list())
            at = DAY + timedelta(days=day)
            run_sql(
                url, f"DELETE FROM buyers WHERE id = {day}", f"INSERT INTO buyers VALUES ({50 + day}, 'new', '{at}')"
            )
    assert ended == [[], [1], [1, 2]]
    assert rows == [40, 42, 44]
    assert rejected_rows == [1, 1, 1]


@pytest.mark.parametrize("text", [JOB, HISTORY])
def test_a_row_without_a_key_that_comes_later_is_rejected_too(text: str, postgres: str, tmp_path: Path) -> None:
    name = "sales" if text == JOB else "buyers"
    job = make(tmp_path / "job", text="import polars as pl\nfrom datetime import timedelta\n" + text)
    columns = "id int, part varchar(9), who varchar(9), cents int, name varchar(9), at timestamp"
    insert = f"INSERT INTO {name} VALUES (%s, 'a', 'ann', 1, 'ann', '{DAY}')"
    with empty_schema(postgres) as url:
        run_sql(url, f"CREATE TABLE {name} ({columns})", insert % 1)
        counts = []
        for _ in range(2):
            counts.append(run(job, tmp_path, source=url).sources[name].rejected)
            run_sql(url, insert % "NULL")
    assert counts == [0, 1]


@pytest.mark.slow
def test_history_of_ten_days_is_what_each_run_could_see(postgres: str, tmp_path: Path) -> None:
    """Of rows that are new, corrected, deleted and returned by chance, told by plain Python."""
    chance = random.Random(8)
    job = write_job(tmp_path / "job", "import polars as pl\nfrom datetime import timedelta\n" + HISTORY)
    seen: dict[int, list[tuple[datetime, str | None]]] = {}
    with empty_schema(postgres) as url:
        run_sql(url, "CREATE TABLE buyers (id int, name varchar(9), at timestamp NULL)")
        for day in range(10):
            for number in chance.sample(range(12), chance.randrange(7)):
                at = DAY + timedelta(days=day, minutes=chance.randrange(600))
                row = f"({number}, '{chance.choice('ab')}', '{at}')"
                there = [f"INSERT INTO buyers VALUES {row}"] if chance.random() < 0.6 else []
                run_sql(url, f"DELETE FROM buyers WHERE id = {number}", *there)
            as_of = DAY + timedelta(days=day, hours=20)
            rows = {number: (at, name) for number, name, at in run_sql(url, "SELECT * FROM buyers")}
            for number in rows.keys() | seen.keys():
                known = seen.setdefault(number, [])
                now = rows.get(number, (as_of, None))
                known += [now] if not known or known[-1][1] is not None or now[1] is not None else []
            result = run(job, tmp_path, source=url, as_of=as_of, personal={"name": "keep"})
    found = read(result, "versions").select("id", "valid_from", "valid_to", "name").sort("id", "valid_from").rows()
    expected = [
        (number, begin, end, name) for number, known in sorted(seen.items())
        for begin, end, name in intervals(known) if name is not None
    ]  # fmt: skip
    assert found == expected
    assert sum(end is None for _, _, end, _ in expected) < len(seen)


def intervals(known: list[tuple[datetime, str | None]]) -> Iterator[tuple[datetime, datetime | None, str | None]]:
    """Since when, until when and what: values in their order, of which equal ones that follow each other are one."""
    changes = [one for place, one in enumerate(known) if not place or one[1] != known[place - 1][1]]
    for place, (begin, name) in enumerate(changes):
        yield begin, changes[place + 1][0] if place + 1 < len(changes) else None, name


class Rows(Contract):
    id = Int()
    there = Bool()
    gone = Bool(optional=True)
    note = Text(nullable=True)
    day = Date()
    at = Time()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key": "nothing"}, "key names nothing"),
        ({"key": "note"}, "key names note, which is no column of Rows without nulls"),
        ({"key": "id", "updated": "note"}, "updated names note, which is no Time or Date"),
        ({"updated": "at"}, "updated needs a key"),
        ({"key": "id", "updated": "at", "snapshots": True, "deleted": "there"}, "deleted names there, which is no opt"),
        ({"key": "id", "updated": "at", "deleted": "gone"}, "deleted needs updated and snapshots=True"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        table("t", Rows, **given)


def test_a_declared_table() -> None:
    found = table("old.t", Rows, key=("id", "day"), updated="day")
    assert (found.path, found.table, found.key) == ("t.csv", "old.t", ("id", "day"))
