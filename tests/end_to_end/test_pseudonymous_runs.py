"""Pseudonyms from the command line: no file holds a plain user id, none holds the key, and no value but ids changes."""

import gzip
import hmac
import json
import re
import subprocess
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, environment, finish, published, read_result, run, run_json, start, wait_for
from tests.needs import needs_java

KEY = "f3b2c1-a key that nobody may see"
USERS = [f"person-{number:03d}@example.org" for number in range(40)]
RULES = {"user": {"column": "user_id", "pattern": "person-.*", "action": "reject"}}


def pseudonym(user: str) -> str:
    return hmac.new(KEY.encode(), user.encode(), "sha256").hexdigest()


def hidden(**settings: object) -> dict[str, str]:
    return environment(PSEUDONYMIZE_USERS="true", PSEUDONYM_KEY=KEY, **settings)


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """Copies, conflicts between users and within one, quoted fields, and rejects that hold users."""
    good, bad = [], []
    for n in range(400):
        user, minutes = USERS[n % 40], n % 7 + 0.5
        line = f"{n},{user},2026-01-01T00:00:00Z,v,tv,8.8.8.{n % 9},{minutes}\n"
        good += [line, line] if n % 10 == 0 else [line]
        if n % 20 == 3:
            good.append(line.replace(user, USERS[(n + 1) % 40]).replace(f"{minutes}\n", f"{minutes - 0.25}\n"))
        if n % 25 == 4:
            good.append(line.replace(f"{minutes}\n", f"{minutes + 1}\n"))
    bad += [f"x,{USERS[0]},2026-01-01T00:00:00Z,v,tv,8.8.8.8,abc\n", f"{USERS[1]},too,few\n", f'y,"{USERS[2]},open\n']
    bad += [f",{USERS[3]},2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n", "z,Person-xyz,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(HEADER + "".join(good[::2] + bad))
    (tmp_path / "in" / "b.csv").write_text(HEADER + "".join(good[1::2]).replace(USERS[5], f'"{USERS[5]}"'))
    return tmp_path


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def decoded(path: Path) -> bytes:
    """A file's bytes, and what a Parquet file says when its pages are decompressed."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        data += str(pl.read_parquet(path, glob=False, hive_partitioning=False).rows()).encode()
    return data


def assert_hidden(folder: Path) -> None:
    files = files_below(folder)
    assert {"run.json", "rejected.parquet", "conflicts.parquet"} <= {path.name for path in files}
    assert any(path.parent.name == "rows" for path in files)
    for path in files:
        data = decoded(path)
        assert not re.search(rb"(?i)person-\w|example\.org", data), path
        assert KEY.encode() not in data, path


def test_no_file_holds_a_user_or_the_key_and_sums_stay(watched: Path) -> None:
    rules = json.dumps(RULES)
    plain = command_json("--input", "in", "--output", "plain", "--intermediate", "between", cwd=watched,
                     env=environment(RECORD_RULES=rules, BUCKETS=16))  # fmt: skip
    ended = command(
        "--input", "in", "--engine", "polars", "--json", cwd=watched, env=hidden(RECORD_RULES=rules, BUCKETS=8)
    )
    assert ended.code == 0, ended.err
    assert_hidden(watched / "pipeline_data")
    for name in ("records_read", "kept", "duplicates", "conflicts", "rejected", "rejected_by_reason", "users"):
        assert ended.answer[name] == plain[name], name
    assert plain["conflicts"] > 20
    assert plain["rejected_by_reason"]["rule:user"] == 1
    expected = [(region, pseudonym(user), minutes, count) for region, user, minutes, count in
                read_result(watched / "plain")]  # fmt: skip
    assert published(watched) == sorted(expected)

    quarantine = f"{watched}/pipeline_data/output.versions/*/quarantine"
    with duckdb.connect() as database:
        rejected = database.execute(
            f"select line, reason, \"column\", value, raw from '{quarantine}/rejected.parquet' order by line"
        ).fetchall()
        assert database.execute(f"select count(raw), count(*) from '{quarantine}/conflicts.parquet'").fetchone() == (
            0,
            plain["conflicts"],
        )
    lines = (watched / "in" / "a.csv").read_text().splitlines()
    assert [lines[line - 1][0] for line, *_ in rejected] == ["x", "p", "y", ",", "z"]
    assert rejected[0][1:] == ("watch_time_not_a_number", "watch_time(min)", None, None)
    assert rejected[-1][1:] == ("rule:user", "user_id", pseudonym("Person-xyz"), None)
    for printed in (ended.out, ended.err):
        assert KEY not in printed
        assert "person" not in printed.lower()


def test_the_key_is_in_no_command_line_and_no_message(watched: Path) -> None:
    program = start("--input", "in", "--engine", "polars", "--debug", cwd=watched, env=hidden(CHUNK_BYTES=64))
    work = watched / "pipeline_data" / "intermediate"
    wait_for(lambda: any(work.glob("store/rows/*")))
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "main.py" in commands
    assert KEY not in commands
    ended = finish(program)
    assert ended.code == 0
    assert KEY not in ended.out + ended.err


def test_a_key_from_a_file_gives_the_same_pseudonyms(watched: Path) -> None:
    (watched / "key").write_text(KEY + "\n")
    env = environment(PSEUDONYMIZE_USERS=1, PSEUDONYM_KEY_FILE="key")
    command_json("--input", "in", cwd=watched, env=env)
    assert {user for _, user, _, _ in published(watched)} >= {pseudonym(user) for user in USERS}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "found none"),
        ({"PSEUDONYM_KEY": "too short a key"}, "15 bytes"),
        ({"PSEUDONYM_KEY_FILE": KEY}, "could not be read"),
        ({"PSEUDONYM_KEY_FILE": KEY, "PSEUDONYM_KEY": KEY}, "two keys"),
        ({"PSEUDONYM_KEYS": KEY}, "unknown setting 'PSEUDONYM_KEYS'"),
    ],
)
def test_without_a_good_key_there_is_no_run(settings: dict[str, str], message: str, watched: Path) -> None:
    ended = command("--input", "in", cwd=watched, env=environment(PSEUDONYMIZE_USERS=1, **settings))
    assert ended.code == 2
    assert message in ended.err
    assert not re.search(f"{KEY}|too short a key", ended.out + ended.err)
    assert not (watched / "pipeline_data").exists()


@needs_java
@pytest.mark.parametrize("plan", ["kernel", "sql"])
def test_spark_sees_pseudonyms_alone(plan: str, watched: Path) -> None:
    run_json("--input", "in", "--output", "local", "--intermediate", "between", cwd=watched, env=hidden())
    ended = run("--input", "in", "--engine", "spark", "--json", cwd=watched, env=hidden(SPARK_PLAN=plan))
    assert ended.code == 0, ended.err
    assert_hidden(watched / "pipeline_data")
    assert published(watched) == read_result(watched / "local")


def test_packed_and_headless_files_and_stopped_runs_leave_no_user(watched: Path) -> None:
    for path in (watched / "in").glob("*.csv"):
        (watched / "in" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    like_a_column = "person-user_id"
    (watched / "in" / "headless.csv").write_text(f"1,{like_a_column},2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n")
    env = hidden(QUALITY_GATES='{"rejected": {"fail": 0}}', BUCKETS=8)
    for limits, code in ((env, 4), (hidden(BUCKETS=8), 6)):
        ended = command("--input", "in", "--engine", "polars", "--json", cwd=watched, env=limits)
        assert ended.code == code, ended.err
        (refused,) = ended.answer["refused_files"]
        assert "under every delimiter of , ; TAB | SPACE." in refused["reason"]
        assert "person" not in (ended.out + ended.err).lower()
        assert_hidden(watched / "pipeline_data")
    planned = command("plan", "--input", "in", "--engine", "polars", cwd=watched, env=hidden())
    assert "would be refused: in/headless.csv" in " ".join(planned.out.split())
    assert "person" not in planned.out + planned.err
    (watched / "in" / "b.csv.gz").unlink()
    (watched / "in" / "a.csv.gz").unlink()
    assert command_json("--input", "in", "--full-refresh", cwd=watched, env=hidden(), code=3)["status"] == "failed"
    for path in files_below(watched / "pipeline_data"):
        assert b"person" not in decoded(path).lower(), path
