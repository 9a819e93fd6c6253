"""SQL over a published version that is built here, file by file."""

import hashlib
import json
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config import Config
from pipeline.errors import ConfigError, InputError
from pipeline.inspection import query
from pipeline.inspection.query import ask
from pipeline.inspection.views import VIEWS, open_views
from pipeline.versions import catalog
from pipeline.versions.catalog import current_version, kept_versions

OLD, NEW = "20261101T000000Z-00000a", "20261102T030405Z-00000b"
Ask = Callable[..., query.Found]


def publish(output: Path, name: str, totals: dict[str, list[tuple[str, float, int]]], **record: object) -> Path:
    folder = output.with_name(output.name + ".versions") / name
    for region, rows in totals.items():
        users, minutes, events = zip(*rows, strict=True)
        place = folder / "data" / f"geo_region={region}"
        place.mkdir(parents=True)
        table = pa.table({"user_id": users, "total_watch_time_min": minutes, "event_count": events})
        pq.write_table(table, place / f"part-0000-{name}.parquet")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record))
    output.unlink(missing_ok=True)
    output.symlink_to(folder / "data")
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Two versions, the second current, at a path full of what a glob would take for patterns."""
    place = tmp_path / "we[1]rd *? it's"
    place.mkdir()
    output = place / "out"
    publish(output, OLD, {"Asia": [("old", 1.0, 1)]}, status="ok", users=1)
    folder = publish(
        output,
        NEW,
        {"Asia": [("u1", 0.1, 1), ("=u2", 5.0, 2)], "a%2Fb": [("u1", 0.2, 3)], "2026": [("u1", 0.3, 1)]},
        status="partial",
        users=2,
        refused_files=[{"file": "x", "reason": "y"}],
        seconds={"total": 2.5, "phase1": 1.0},
        rejected_by_reason={"nul_byte": 2},
        ledger=[{"file": "a.csv", "bytes": 9, "records": 7, "rejected_by_reason": {"nul_byte": 2, "bad_quote": 1}}],
    )
    (folder / "quarantine").mkdir()
    rejected = {"file": ["a.csv"], "line": [3], "reason": ["nul_byte"], "raw": [b"a\x00,\xff\\"]}
    pq.write_table(pa.table(rejected), folder / "quarantine" / "rejected.parquet")
    return output


@pytest.fixture
def asked(output: Path, tmp_path: Path) -> Ask:
    def asked(sql: str, **settings: object) -> query.Found:
        folders = {"INPUT_DIR": str(tmp_path / "in"), "INTERMEDIATE_DIR": str(tmp_path / "between")}
        return ask(Config(OUTPUT_DIR=str(output), **folders, **settings), sql)

    return asked


def test_watch_time_is_the_published_output(asked: Ask) -> None:
    found = asked("from watch_time order by all")
    assert found.columns == ("geo_region", "user_id", "total_watch_time_min", "event_count")
    assert found.rows == (
        ("2026", "u1", 0.3, 1),
        ("Asia", "=u2", 5.0, 2),
        ("Asia", "u1", 0.1, 1),
        ("a/b", "u1", 0.2, 3),
    )
    assert not found.cut


def test_user_totals_add_exactly_across_regions(asked: Ask) -> None:
    # As float64, 0.1 + 0.2 + 0.3 is 0.6000000000000001 in one order and 0.6 in another.
    assert asked("from user_totals order by user_id").rows == (("=u2", 5.0, 2, 1), ("u1", 0.6, 5, 3))


def test_runs_and_ledger_come_from_the_records(asked: Ask) -> None:
    columns = "version, started, is_current, status, users, refused, seconds_total, rejected_by_reason"
    assert asked(f"select {columns} from runs order by started").rows == (
        (OLD, "2026-11-01 00:00:00", False, "ok", 1, 0, None, None),
        (NEW, "2026-11-02 03:04:05", True, "partial", 2, 1, 2.5, '{"nul_byte":2}'),
    )
    found = asked("select file, records, rejected, rejected_by_reason, handed_over from ledger")
    assert found.rows == (("a.csv", 7, 3, '{"nul_byte":2,"bad_quote":1}', None),)
    assert found.nested == (False, False, False, True, False)


def test_quarantine_shows_raw_bytes_as_text(asked: Ask) -> None:
    assert asked("select file, line, raw from quarantine").rows == (("a.csv", 3, r"a\x00,\xFF\x5C"),)
    assert asked("select octet_length(raw) from quarantine").rows == ((5,),)


def test_every_view_is_there_and_no_other_table(asked: Ask) -> None:
    assert {row[0] for row in asked("select name from (show all tables)").rows} == set(VIEWS)


def test_versions_without_rows_or_quarantine_have_empty_views(output: Path, asked: Ask) -> None:
    publish(output, "20261103T000000Z-00000c", {}, status="ok")
    for view in set(VIEWS) - {"runs"}:
        found = asked(f"from {view}")
        assert found.rows == ()
        assert len(found.columns) >= 4


def test_values_that_python_does_not_know_come_as_text(asked: Ask) -> None:
    found = asked(
        "select timestamptz '2026-01-01 00:00:00+00', interval 1 day, [1, 2], {'a': date '2026-01-01'}, true, 1 a, 2 a"
    )
    assert found.rows[0][1:5] == ("1 day", "[1,2]", '{"a":"2026-01-01"}', True)
    assert found.nested == (False, False, True, True, False, False, False)
    assert len(set(found.columns)) == 7


def test_order_is_kept_and_a_pivot_works(asked: Ask) -> None:
    assert asked("select range from range(9) order by range desc", QUERY_ROWS=3).rows == ((8,), (7,), (6,))
    assert asked("pivot watch_time on geo_region using sum(event_count) group by user_id").columns[1:] == (
        "2026", "Asia", "a/b",
    )  # fmt: skip
    assert asked("select 1 -- a comment").rows == ((1,),)
    assert asked("select 1;").rows == ((1,),)


def test_rows_beyond_the_limit_are_cut(asked: Ask) -> None:
    assert asked("from range(5)", QUERY_ROWS=5).cut is False
    found = asked("from range(6)", QUERY_ROWS=5)
    assert (len(found.rows), found.cut) == (5, True)


def test_time_and_memory_are_limited(asked: Ask) -> None:
    with pytest.raises(ConfigError, match=r"within 1 s.*--timeout"):
        asked("select count(*) from range(1000000000) a, range(1000000000) b", QUERY_SECONDS=1)
    with pytest.raises(ConfigError, match=r"more than 800 MB of memory.*--memory-limit"):
        asked("select list(hash(range)) from range(400000000)", MEMORY_LIMIT=10**9, QUERY_SECONDS=60)


@pytest.mark.slow
def test_an_interrupt_is_no_fault(asked: Ask) -> None:
    """DuckDB hears no signal while it waits for its own threads, and turns one that it hears into a RuntimeError."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            asked(
                "select sum(x) from (select sum(a.range * b.range % 7) as x from range(300000) a, "
                "range(1000000) b group by a.range % 100)",
                QUERY_SECONDS=250,
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begun < 125


def test_values_that_duckdb_does_not_count_are_limited_as_well(asked: Ask) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    for sql in ("select repeat('x', 100000000) from range(1000)", "select repeat('x', 1000000) from range(5000)"):
        with pytest.raises(ConfigError, match=r"more than 800 MB of memory.*--memory-limit"):
            asked(sql, MEMORY_LIMIT=10**9, QUERY_SECONDS=60, QUERY_ROWS=10_000)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert asked("from range(5)").cut is False


@pytest.mark.parametrize(
    "sql",
    [
        "create table x (i int)",
        "insert into runs select * from runs",
        "delete from ledger",
        "drop view watch_time",
        "copy (select 1) to '{file}' (use_tmp_file false)",
        # DuckDB 2 takes both for SELECT; the second would overwrite a file that the session may open.
        "with gone as (delete from ledger returning *) from gone",
        "with gone as (copy (select 1) to '{file}' (format parquet, use_tmp_file false)) from gone",
        "explain analyze copy (select 1) to '{file}' (use_tmp_file false)",
        "select 1) to '{file}'; copy (select 2",
        "attach '{folder}/x.db'",
        "set memory_limit = '100GB'",
        "set enable_external_access = true",
        "install httpfs",
        "load httpfs",
        "pragma enable_profiling",
        "call force_checkpoint()",
        "begin transaction",
        "select 1; select 2",
        "",
    ],
)
def test_nothing_can_be_changed(sql: str, output: Path, asked: Ask) -> None:
    def everything() -> dict[str, str]:
        files = (path for path in sorted(output.parent.rglob("*")) if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = everything()
    (file,) = (output.resolve() / "geo_region=Asia").iterdir()
    quoted = str(file).replace("'", "''")
    with pytest.raises(ConfigError):
        asked(sql.format(file=quoted, folder=str(output.parent).replace("'", "''")))
    assert everything() == before


@pytest.mark.parametrize(
    "sql",
    [
        "from read_text('/etc/passwd')",
        "from read_csv('{old}')",
        "from read_parquet('{old}')",
        "from glob('{folder}/*')",
        "from 'https://example.com/x.parquet'",
        "from read_json('{folder}/run.json')",
        "select getenv('HOME')",
        "from output",  # a variable of the Python that asks
    ],
)
def test_no_other_file_can_be_read(sql: str, output: Path, asked: Ask) -> None:
    folder = output.resolve().parent
    (old,) = folder.with_name(OLD).rglob("*.parquet")
    with pytest.raises(ConfigError):
        asked(sql.format(old=str(old).replace("'", "''"), folder=str(folder).replace("'", "''")))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("from nope", r"nope does not exist.*watch_time, user_totals, runs, quarantine, ledger"),
        ("selec 1", r'syntax error at or near "selec"'),
        ("select nope from runs", r"nope"),
    ],
)
def test_wrong_sql_is_told_in_one_line(sql: str, message: str, asked: Ask) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        asked(sql)
    assert "\n" not in str(caught.value)


def test_a_publication_meanwhile_disturbs_nothing(output: Path) -> None:
    version, kept = current_version(str(output)), kept_versions(str(output))
    with open_views(version, kept, 10**9, 1) as database:
        publish(output, "20261103T000000Z-00000c", {"Asia": [("later", 1.0, 1)]}, status="ok")
        assert database.execute("select count(*) from watch_time where user_id = 'later'").fetchall() == [(0,)]
        assert database.execute("select version from runs where is_current").fetchall() == [(NEW,)]


def test_a_version_that_is_removed_while_it_is_read(output: Path, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = query.open_views

    def open_and_lose(*arguments: object) -> object:
        database = opened(*arguments)
        output.resolve().parent.rename(output.parent / "gone")
        return database

    monkeypatch.setattr(query, "open_views", open_and_lose)
    with pytest.raises(InputError, match="was removed while it was read"):
        asked("from watch_time")


def test_a_query_is_asked_again_over_the_version_that_replaced_the_removed_one(
    output: Path, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = query.open_views
    names: list[str] = []

    def open_and_replace(version: catalog.Version, *more: object) -> object:
        names.append(version.name)
        database = opened(version, *more)
        if len(names) == 1:
            publish(output, "20261103T000000Z-00000c", {"Asia": [("later", 1.0, 1)]}, status="ok")
            version.folder.rename(output.parent / "gone")
        return database

    monkeypatch.setattr(query, "open_views", open_and_replace)
    assert asked("select user_id from watch_time").rows == (("later",),)
    assert names == [NEW, "20261103T000000Z-00000c"]


def test_a_version_by_name_is_asked_whatever_is_shown(output: Path) -> None:
    config = Config(OUTPUT_DIR=str(output))
    assert ask(config, "select user_id from watch_time", OLD).rows == (("old",),)
    assert ask(config, "select version from runs where is_current", OLD).rows == ((OLD,),)
    publish(output, "20261103T000000Z-00000c", {"Asia": [("later", 1.0, 1)]}, status="ok")
    assert ask(config, "select count(*) from watch_time", NEW).rows == ((4,),)
    with pytest.raises(InputError, match="there is no version 'v9'"):
        ask(config, "from runs", "v9")


def test_nothing_published(tmp_path: Path, output: Path) -> None:
    with pytest.raises(InputError, match=r"nothing is published.*Run `\S+ run` first"):
        current_version(str(tmp_path / "nowhere"))
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="nothing is published"):
        current_version(str(tmp_path / "mine"))
    output.unlink()
    output.symlink_to(output)
    with pytest.raises(InputError, match="nothing is published"):
        current_version(str(output))


def test_a_damaged_record_is_named(output: Path, asked: Ask) -> None:
    record = output.resolve().parent.with_name(OLD) / "run.json"
    record.write_text("{")
    with pytest.raises(InputError, match=OLD):
        asked("from runs")
    record.unlink()  # being removed by a run
    assert len(asked("from runs").rows) == 1


def test_the_quarantine_of_another_user(asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(catalog.os, "access", lambda path, mode: "quarantine" not in str(path) and real(path, mode))
    assert asked("select count(*) from watch_time").rows == ((4,),)
    with pytest.raises(ConfigError, match="only the owner"):
        asked("select line from quarantine")
