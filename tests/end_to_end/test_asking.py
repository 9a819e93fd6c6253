"""query, doctor and JSON logs through the real command line, after a run over generated logs."""

import csv
import io
import json
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, Ended, environment, published, run


@pytest.fixture(scope="module")
def folder(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a published run over generated logs and a file that is refused."""
    folder = tmp_path_factory.mktemp("asking")
    (folder / "in").mkdir()
    for path in logs.glob("*.csv"):
        shutil.copy(path, folder / "in")
    (folder / "in" / "headless.csv").write_text("id-1,secret_user,2026-01-01,v,tv,203.0.113.77,1.5\n" * 3)
    (folder / "in" / "dirty.csv").write_text(f"{HEADER}id-2,secret_user,2026-01-01,v,tv,203.0.113.77,minus\n")
    return folder


@pytest.fixture(scope="module")
def logged(folder: Path) -> Ended:
    """The run, with JSON logs."""
    return run("--input", "in", "--engine", "polars", "--json", "--log-format", "json", cwd=folder)


def test_json_logs_tell_the_run_and_no_personal_data(folder: Path, logged: Ended) -> None:
    assert logged.code == 6
    events = [json.loads(line) for line in logged.err.splitlines()]
    answer = logged.answer
    assert {event["run_id"] for event in events} == {answer["run_id"]}
    assert all({"time", "level", "event"} <= set(event) for event in events)
    names = [event["event"] for event in events]
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert [event["phase"] for event in events if event["event"] == "phase_started"] == ["phase 1", "phase 2"]
    read = [event for event in events if event["event"] == "file_read"]
    assert {event["phase"] for event in read} == {"phase 1"}
    assert {event["file"] for event in read} == {f"in/{p.name}" for p in (folder / "in").iterdir()} - {
        "in/headless.csv"
    }
    assert sum(event["records"] for event in read) == answer["records_read"] == events[-1]["records_read"]
    (refused,) = (event for event in events if event["event"] == "file_refused")
    assert (refused["file"], refused["level"]) == ("in/headless.csv", "error")
    assert "no header" in refused["reason"]
    assert "secret_user" not in logged.err
    assert "203.0.113" not in logged.err
    assert "user_0" not in logged.err


def test_a_failure_is_one_json_object_too(tmp_path: Path) -> None:
    ended = run("--input", "nowhere", "--engine", "polars", "--quiet", "--log-format=json", cwd=tmp_path)
    (event,) = map(json.loads, ended.err.splitlines())
    assert (ended.code, event["exit_code"], event["level"], event["event"]) == (3, 3, "error", "failed")
    usage = command("--nonsense", cwd=tmp_path, env=environment(LOG_FORMAT="json"))
    assert json.loads(usage.err)["exit_code"] == usage.code == 2


@pytest.mark.usefixtures("logged")
def test_query_gives_what_was_published(folder: Path) -> None:
    ended = command("query", "from watch_time order by all", "--format", "csv", "--limit-rows", 10**6, cwd=folder)
    assert (ended.code, ended.err) == (0, "")
    rows = list(csv.reader(io.StringIO(ended.out)))
    assert rows[0] == ["geo_region", "user_id", "total_watch_time_min", "event_count"]
    assert [(r, u, float(m), int(n)) for r, u, m, n in rows[1:]] == published(folder)

    ended = command("query", "from user_totals order by user_id", "--format", "json", "--limit-rows", 10**6, cwd=folder)
    output = folder / "pipeline_data" / "output"
    expected = duckdb.sql(
        f"""select user_id, sum(round(total_watch_time_min * 1e6)::int64) / 1e6, sum(event_count)::int64, count(*)
            from '{output}/*/*.parquet' group by 1 order by 1"""
    ).fetchall()
    assert [tuple(row.values()) for row in json.loads(ended.out)] == expected

    ended = command(
        "query", "select user_id, event_count from user_totals order by 1", "--json", "--limit-rows", 2, cwd=folder
    )
    rows = [{"user_id": user, "event_count": count} for user, _, count, _ in expected[:2]]
    assert json.loads(ended.out) == {"columns": ["user_id", "event_count"], "rows": rows, "cut": True}


def test_query_shows_the_run_its_files_and_its_quarantine(folder: Path, logged: Ended) -> None:
    def ask(sql: str) -> list[dict]:
        ended = command("query", sql, "--format", "json", cwd=folder)
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    answer = logged.answer
    (recorded,) = ask("from runs")
    for name in ("kept", "duplicates", "conflicts", "rejected", "records_read", "users", "rejected_by_reason"):
        assert recorded[name] == answer[name]
    assert (recorded["version"], recorded["refused"], recorded["status"]) == (answer["run_id"], 1, "partial")
    assert ask("select sum(records) n from ledger") == [{"n": answer["records_read"]}]
    by_reason = "select reason, count(*) n from quarantine where line is not null group by all"
    counts = {row["reason"]: row["n"] for row in ask(by_reason)}
    assert counts == answer["rejected_by_reason"] | {"conflict": answer["conflicts"]}
    (refused,) = ask("select file, reason from quarantine where line is null")
    assert refused == answer["refused_files"][0]
    assert ask("select raw from quarantine where file = 'in/dirty.csv'") == [
        {"raw": "id-2,secret_user,2026-01-01,v,tv,203.0.113.77,minus"}
    ]


@pytest.mark.usefixtures("logged")
def test_query_says_where_it_is_cut_and_what_was_wrong(folder: Path) -> None:
    ended = command("query", "from watch_time", "--limit-rows", 2, cwd=folder)
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 4
    assert "2 rows shown, there are more" in ended.err
    for arguments, code, message in [
        (("selec",), 2, "syntax error"),
        (("from runs", "--format", "xml"), 2, "--format is 'xml': expected table, csv, json"),
        (("from runs", "--timeout", "soon"), 2, "--timeout is 'soon'"),
        (("from runs", "--output", "elsewhere"), 3, "nothing is published"),
        (("copy runs to 'x.csv'",), 2, "found COPY"),
    ]:
        ended = command("query", *arguments, cwd=folder)
        assert (ended.code, ended.out) == (code, "")
        assert message in ended.err
        assert len(ended.err.splitlines()) == 1
    assert not (folder / "x.csv").exists()


def test_a_formula_in_the_logs_is_inert_in_csv_and_raw_in_the_result(tmp_path: Path) -> None:
    users = ["=1+1", "@x", "-2", "ok"]
    rows = [f"id-{n},{user},2026-01-01T00:00:00Z,v,tv,8.8.8.8,{n}\n" for n, user in enumerate(users)]
    (tmp_path / "a.csv").write_text(HEADER + "".join(rows))
    command_json("--input", "a.csv", cwd=tmp_path)
    assert {row[1] for row in published(tmp_path)} == set(users)
    ended = command("query", "select user_id, event_count - 5 as n from watch_time", "--format", "csv", cwd=tmp_path)
    assert set(ended.out.split()) == {"user_id,n", "'=1+1,-4", "'@x,-4", "'-2,-4", "ok,-4"}


def test_doctor(tmp_path: Path) -> None:
    ended = command("doctor", "--no-spark", "--engine", "polars", cwd=tmp_path)
    assert ended.code == 0, ended.out
    assert ended.out.splitlines()[0].startswith("ok    python")
    assert list(tmp_path.iterdir()) == []

    env = environment() | {"JAVA_HOME": str(tmp_path)}
    ended = command("doctor", "--engine", "spark", "--json", cwd=tmp_path, env=env)
    assert ended.code == 5
    found = json.loads(ended.out)
    (java,) = (check for check in found["checks"] if check["name"] == "java")
    assert (found["status"], java["status"]) == ("fail", "fail")
    assert "openjdk-17" in java["fix"]
    assert [
        line[:4] for line in command("doctor", "--engine", "spark", "--quiet", cwd=tmp_path, env=env).out.splitlines()
    ] == [
        "fail",
        "    ",
    ]


def test_the_published_files_read_the_same_elsewhere(folder: Path, logged: Ended) -> None:
    frame = pl.read_parquet(folder / "pipeline_data" / "output", hive_partitioning=True)
    ended = command("query", "select sum(event_count) n from watch_time", "--format", "csv", cwd=folder)
    assert ended.out.split() == ["n", str(frame["event_count"].sum())] == ["n", str(logged.answer["kept"])]
