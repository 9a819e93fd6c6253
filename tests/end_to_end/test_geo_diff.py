"""``geo-diff`` through the real command line: what moves between two databases, by DuckDB and by maxminddb."""

import json
import random
import shutil
from pathlib import Path

import duckdb
import maxminddb
import polars as pl
import pytest

from tests.end_to_end.command import command, command_json
from tests.end_to_end.days import make_old
from tests.end_to_end.program import HEADER, environment, run, run_json
from tests.harness import run_here
from tests.pipeline.geo.test_mmdb import write_mmdb

REGION = {"JP": "Asia", "FR": "Europe", "US": "North America", "BR": "South America"}
NETWORKS = [f"{first}.0.0.0/8" for first in (11, 12, 13, 14)] + ["2a00::/16", "2a01::/16"]
OLD = ["JP", "FR", "US", None, "JP", "FR"]
NEW = ["FR", "JP", "US", "BR", "US", None]
ADDRESSES = ["11.0.0.1", "12.0.0.1", "13.1.1.1", "14.0.0.1", "2a00::1", "2a01::1", "10.0.0.1", "none", "9.9.9.9"]


def write_database(path: Path, countries: list[str | None]) -> None:
    networks = [(net, {"country_code": code}) for net, code in zip(NETWORKS, countries, strict=True) if code]
    write_mmdb(path, networks, database_type=f"Test-{countries[0]}")


def region_by(database: Path) -> dict[str, str]:
    """The region of each address, by the contract and a lookup with maxminddb."""
    found = {"10.0.0.1": "PRIVATE", "none": "INVALID"}
    with maxminddb.open_database(database) as reader:
        for address in ADDRESSES:
            record = None if address in found else reader.get(address)
            found.setdefault(address, REGION[record["country_code"]] if record else "UNKNOWN")
    return found


def write_logs(folder: Path, seed: int) -> list[Path]:
    """Files whose ids repeat with equal and other users, minutes, times and addresses in every combination."""
    dice = random.Random(seed)
    folder.mkdir()
    paths = []
    for number in range(3):
        rows = [
            f"id-{dice.randrange(900)},u{dice.randrange(12)},2026-01-01T00:00:0{dice.randrange(3)}Z,v,tv,"
            f"{dice.choice(ADDRESSES)},{dice.choice([1, 1, 2])}\n"
            for _ in range(1000)
        ]
        one_user = [row.replace(row.split(",")[1], "solo") for row in rows[::3]]
        paths.append(folder / f"{number}.csv")
        paths[-1].write_text(HEADER + "".join(rows + one_user))
        make_old(paths[-1])
    return paths


def expected_moves(logs: list[Path], keep: str, old: dict[str, str], new: dict[str, str]) -> list[tuple]:
    """(old region, new region, users, events, minutes): each id is decided by either table, and the two joined."""
    when, order = {"longest": ("min", ""), "first": ("min", "t,"), "last": ("max", "t desc,")}[keep]
    names = ", ".join(f"'{path}'" for path in logs)
    with duckdb.connect() as database:
        for name, table in (("old", old), ("new", new)):
            geo = pl.DataFrame({"ip": list(table), "region": list(table.values())})
            database.register("geo", geo.to_arrow())
            database.execute(
                f"""create table {name} as with contents as (
                      select log_id, user_id, region, "watch_time(min)"::int as amount, {when}("timestamp") t
                      from read_csv([{names}], header = true, all_varchar = true) join geo on ip = ip_address
                      group by all)
                    select * from contents qualify row_number() over
                      (partition by log_id order by {order} amount desc, user_id, region) = 1"""
            )
            database.unregister("geo")
        assert database.execute(
            "select count(*) from old join new using (log_id) "
            "where old.user_id != new.user_id or old.amount != new.amount"
        ).fetchone() == (0,)
        return database.execute(
            """select old.region, new.region, count(distinct old.user_id), count(*), sum(old.amount)::double
               from old join new using (log_id) group by all order by all"""
        ).fetchall()


def geo_diff(folder: Path, *arguments: object, code: int = 0, env: dict[str, str] | None = None) -> dict:
    ended = command("geo-diff", "--json", "--quiet", *arguments, cwd=folder, env=env)
    assert ended.code == code, ended.err
    return json.loads(ended.out)


def rows(answer: dict) -> list[tuple]:
    return sorted((m["from_region"], m["to_region"], m["users"], m["events"], m["minutes"]) for m in answer["moves"])


def totals(answer: dict, side: str) -> list[tuple]:
    found = [(r["region"], r[side]["users"], r[side]["events"], r[side]["minutes"]) for r in answer["regions"]]
    return sorted(row for row in found if row[2])


def published_totals(folder: Path) -> list[tuple]:
    return duckdb.sql(
        f"""select geo_region::varchar, count(*), sum(event_count)::bigint, sum(total_watch_time_min)
            from read_parquet('{folder}/pipeline_data/output/*/*.parquet', hive_partitioning = true)
            group by 1 order by 1"""
    ).fetchall()


@pytest.mark.parametrize(("keep", "compiled"), [("longest", 1), ("first", 1), ("last", 0)])
def test_moves_are_those_of_a_run_with_the_new_database(tmp_path: Path, keep: str, compiled: int) -> None:
    logs = write_logs(tmp_path / "in", seed=len(keep) + compiled)
    database = tmp_path / "geo.mmdb"
    write_database(database, OLD)
    old = region_by(database)
    sizes = {"BUCKETS": 16, "SPLIT_BYTES": 20_000, "CHUNK_BYTES": 4096}
    env = environment(DEDUPE_KEEP=keep, COMPILED_PARSER=compiled, **sizes)
    run_here(tmp_path, "in", GEO_DATABASE=database, DEDUPE_KEEP=keep, COMPILED_PARSER=compiled, **sizes)
    before = published_totals(tmp_path)

    write_database(database, NEW)  # in the old one's place, as updates are delivered
    new = region_by(database)
    kept = sorted(str(path) for path in tmp_path.rglob("*"))
    answer = geo_diff(tmp_path, "--geo-db", database, env=env)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == kept
    truth = expected_moves(logs, keep, old, new)
    moves = [row for row in truth if row[0] != row[1]]
    assert rows(answer) == moves
    assert len(moves) >= 6
    assert answer["moved_events"] == sum(row[3] for row in moves)
    assert answer["moved_minutes"] == sum(row[4] for row in moves)
    assert (answer["examined_files"], answer["not_examined"]) == (3, [])
    assert totals(answer, "before") == before
    assert (answer["old_build"].split()[0], answer["new_build"].split()[0]) == ("Test-JP", "Test-FR")

    result = command_json("--input", "in", "--geo-db", database, cwd=tmp_path, env=env)
    assert result["new"]["files"] == 3, "other geo data: everything is read again"
    assert totals(answer, "after") == published_totals(tmp_path)
    again = geo_diff(tmp_path, "--geo-db", database, env=env)
    assert (again["moves"], again["moved_users"]) == ([], 0)


def test_other_regions_of_one_database_are_told_apart(tmp_path: Path) -> None:
    write_logs(tmp_path / "in", seed=3)
    write_database(tmp_path / "geo.mmdb", OLD)
    regions = tmp_path / "regions.csv"
    regions.write_text("country,region\n" + "".join(f"{country},{region}\n" for country, region in REGION.items()))
    env = environment(GEO_REGIONS=regions)
    run_here(tmp_path, "in", GEO_DATABASE="geo.mmdb", GEO_REGIONS=regions)
    regions.write_text(regions.read_text().replace("FR,Europe", "FR,Gaul").replace("US,North America\n", ""))
    ended = command("geo-diff", "--geo-db", "geo.mmdb", cwd=tmp_path, env=env)
    assert ended.code == 0, ended.err
    first = ended.out.splitlines()[0]
    assert "(FR: Europe, US: North America) → " in first
    assert first.endswith("(FR: Gaul, US: UNKNOWN)")


def test_files_that_have_left_are_named_and_their_records_still_decide(tmp_path: Path) -> None:
    logs = write_logs(tmp_path / "in", seed=7)
    write_database(tmp_path / "old.mmdb", OLD)
    write_database(tmp_path / "new.mmdb", NEW)
    run_here(tmp_path, "in", GEO_DATABASE="old.mmdb", BUCKETS=4)
    before = published_totals(tmp_path)
    logs[0].unlink()
    logs[1].write_text(logs[1].read_text() + "more\n")
    ended = command("geo-diff", "--geo-db", "new.mmdb", cwd=tmp_path)
    assert ended.code == 0
    assert "not examined: in/0.csv: it is no longer there" in ended.out
    assert "not examined: in/1.csv: more was appended to it since it was read" in ended.out
    answer = geo_diff(tmp_path, "--geo-db", "new.mmdb")
    assert [entry["file"] for entry in answer["not_examined"]] == ["in/0.csv", "in/1.csv"]
    assert totals(answer, "before") == before
    after = sum(row[2] for row in totals(answer, "after"))
    assert after + answer["unknown_events"] == sum(row[2] for row in before)
    assert 0 < answer["unknown_events"] < sum(row[2] for row in before)
    assert answer["moves"]


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    write_logs(tmp_path / "in", seed=1)
    write_database(tmp_path / "old.mmdb", OLD)
    write_database(tmp_path / "new.mmdb", NEW)
    new = ("--geo-db", "new.mmdb")
    env = environment(COMPILED_PARSER=0) | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert run("geo-diff", *new, cwd=tmp_path, env=env).code == 3
    run_json("--input", "in", "--geo-db", "old.mmdb", cwd=tmp_path, env=env)
    for arguments, more, code, message in [
        (("geo-diff", *new, "--geo-level", "country"), {}, 2, "--geo-level region"),
        (("geo-diff", *new), {"LOGMILL_DEDUPE_KEEP": "last"}, 2, "other settings"),
        (("geo-diff", "--geo-db", "none.mmdb"), {}, 2, "--geo-db is 'none.mmdb'"),
        (("geo-diff", *new, "--intermediate", "x"), {}, 3, "was not made with"),
    ]:
        ended = run(*arguments, cwd=tmp_path, env=env | more)
        assert (ended.code, ended.out) == (code, ""), ended.err
        assert message in ended.err
    assert not (tmp_path / "x").exists()
    shutil.rmtree(tmp_path / "cache")  # the old database itself is still there
    assert geo_diff(tmp_path, *new, env=env)["moves"]
    shutil.rmtree(tmp_path / "cache")
    shutil.copy(tmp_path / "new.mmdb", tmp_path / "old.mmdb")
    assert "is gone from the cache" in geo_diff(tmp_path, *new, env=env, code=5)["error"]
