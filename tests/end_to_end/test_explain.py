"""``explain`` through the real command line: known copies of known records, and totals that DuckDB adds up."""

import gzip
import json
from pathlib import Path

import duckdb
import polars as pl
import pytest

from config import load_config
from pipeline.inspection.explain.published import open_published
from pipeline.inspection.explain.record import explain_record
from pipeline.inspection.explain.user import explain_user
from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, environment
from tests.harness import run_here

KEY = "a key of more than sixteen bytes"
TAIL = "2026-01-01T00:00:00Z,v,tv,8.8.8.8"


def explain(folder: Path, *arguments: object, code: int = 0, env: dict[str, str] | None = None) -> dict:
    ended = command("explain", *arguments, "--json", cwd=folder, env=env)
    assert ended.code == code, ended.err
    return json.loads(ended.out)


def outcomes(answer: dict) -> list[tuple]:
    return [(Path(copy["file"]).name, copy["line"], copy["outcome"]) for copy in answer["copies"]]


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no test changes."""
    return make_run(tmp_path_factory.mktemp("explained"))


def make_run(folder: Path) -> Path:
    """One id in three files: the longest copy, equal copies in its file, in another and in an archive, a shorter one of
    another user, and a rejected one; among quoted line ends, blank lines and other records."""
    (folder / "in").mkdir()
    win, short = f"the-id,ann,{TAIL},30\n", f"the-id,bob,{TAIL},20\n"
    other = "".join(f"other-{n},user-{n % 7},{TAIL},1.5\n" for n in range(40))
    quoted = f'"with\nthe-id,inside",ann,{TAIL},1\n\n'
    again = win.replace("ann", '"ann"')
    (folder / "in" / "a.csv").write_text(f"made by hand\n{HEADER}{quoted}{other}{win}{again}")
    (folder / "in" / "b.csv").write_text(HEADER + short + win + f"the-id,ann,{TAIL},minus\n" + f"the-id,x,{TAIL}\n")
    (folder / "in" / "c.csv.gz").write_bytes(gzip.compress((HEADER + other.replace("user", "u") + short).encode()))
    run_here(folder, "in", CHUNK_BYTES=64, BUCKETS=64, MAX_RECORD_BYTES=1024)
    return folder


def test_every_copy_has_its_place_its_fate_and_its_reason(explained: Path) -> None:
    answer = explain(explained, "the-id")
    assert outcomes(answer) == [
        ("a.csv", 46, "counts"),
        ("b.csv", 2, "conflict"),
        ("a.csv", 47, "duplicate"),
        ("b.csv", 3, "duplicate"),
        ("c.csv.gz", 42, "duplicate"),
    ]
    assert answer["found"] == 5
    reasons = [copy["reason"] for copy in answer["copies"]]
    assert reasons[0] == "the longest watch time counts"
    assert reasons[1] == "20.0 min is shorter than 30.0 min"
    assert [("phase 1" in reason, "phase 2" in reason) for reason in reasons[2:]] == [
        (True, False),
        (False, True),
        (False, True),
    ]
    for copy in answer["copies"]:
        assert copy["region"] == "North America"
        assert copy["raw"].startswith("the-id,")
        assert "8.8.8.0/24" in copy["raw"]
        path = explained / copy["file"]
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert text[copy["byte_offset"] :].decode().splitlines()[0] == copy["raw"].replace("8.8.8.0/24", "8.8.8.8")
        assert text[: copy["byte_offset"]].count(b"\n") + 1 == copy["line"]
    assert [(r["file"], r["line"], r["reason"]) for r in answer["rejected"]] == [
        ("in/b.csv", 4, "watch_time_not_a_number"),
        ("in/b.csv", 5, "wrong_field_count"),
    ]
    assert "8.8.8.8" not in json.dumps(answer)
    current = (explained / "pipeline_data" / "output").resolve().parent.name
    assert answer["destination"] == {
        "user_id": "ann",
        "region": "North America",
        "minutes": 30.0,
        "partition": f"pipeline_data/output.versions/{current}/data/geo_region=North America",
        "total_watch_time_min": 31.0,
        "event_count": 2,
    }
    assert answer["notes"] == []


def test_the_table_says_the_same(explained: Path) -> None:
    ended = command("explain", "the-id", cwd=explained)
    assert ended.code == 0
    for words in ("counts", "conflict", "in/a.csv line 46", "in/b.csv line 4", "30 minutes of user ann went to"):
        assert words in ended.out
    assert "8.8.8.8" not in ended.out
    ended = command("explain", "--user", "bob", cwd=explained)
    assert "1 duplicate, 1 lost a conflict" in ended.out
    ended = command("explain", "--user", "u-1", "--limit-rows", 4, cwd=explained)
    assert "the longest 4 of 6 events; --limit-rows shows more" in ended.out
    assert ended.out.count("other-") == 4
    for limit in (1, 2):
        cut = explain(explained, "the-id", "--limit-rows", limit)
        assert (cut["found"], len(cut["copies"]), cut["copies"][0]["outcome"]) == (5, limit, "counts")
        assert (cut["rejected_found"], len(cut["rejected"])) == (2, limit)
    assert (
        "1 of 2 rejected records; --limit-rows shows more"
        in command("explain", "the-id", "--limit-rows", 1, cwd=explained).out
    )


def test_ids_and_records_stand_on_one_line_to_be_copied_whatever_they_hold(tmp_path: Path) -> None:
    name = f"{'0123456789' * 20}\nnote: forged"
    bad = f'"{name}",bob,{TAIL},minus\nre-sent,bob,{TAIL},minus\nre-sent,bob,{TAIL}\n'
    (tmp_path / "a.csv").write_text(f'{HEADER}"{name}",ann,{TAIL},1\n{bad}')
    run_here(tmp_path, "a.csv")
    on_one_line = name.replace("\n", "\\n")
    for arguments in (name,), ("--user", "ann"):
        lines = command("explain", *arguments, cwd=tmp_path).out.splitlines()
        assert sum(on_one_line in line for line in lines) >= 1, lines
        assert not [line for line in lines if line.startswith("note: forged")]
    assert [record["line"] for record in explain(tmp_path, "re-sent")["rejected"]] == [6, 7]
    assert (
        f'  "{on_one_line}",bob,2026-01-01T00:00:00Z,v,tv,8.8.8.0/24,minus'
        in command("explain", name, cwd=tmp_path).out
    )


def test_a_log_id_with_quotes_and_line_ends_is_found(tmp_path: Path) -> None:
    ids = ['say "hi"', '"', "two\nlines", 'in"side', "ü,ä"]
    rows = [f'"{name.replace(chr(34), chr(34) * 2)}",u{n},{TAIL},{n}\n' for n, name in enumerate(ids)]
    (tmp_path / "a.csv").write_text(HEADER + "".join(rows) + f'in"side,u3,{TAIL},3\n' + rows[0] + rows[1] + rows[2])
    run_here(tmp_path, "a.csv")
    config = load_config({"OUTPUT_DIR": str(tmp_path / "pipeline_data/output"),
                          "INTERMEDIATE_DIR": str(tmp_path / "pipeline_data/intermediate")}, {}, None)  # fmt: skip
    for name, copies in zip(ids, [2, 2, 2, 2, 1], strict=True):
        with open_published(config) as published:
            answer = explain_record(published, name, 10)
        assert [copy.outcome for copy in answer.copies] == ["counts", "duplicate"][:copies], name


@pytest.fixture(scope="module", params=["longest", "last"])
def generated(request: pytest.FixtureRequest, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over generated logs, in three splits of each."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "keep").write_text(request.param)
    run_here(folder, logs, DEDUPE_KEEP=request.param, SPLIT_BYTES=700_000, CHUNK_BYTES=32_768, BUCKETS=32)
    return folder


def test_ids_and_users_are_explained_as_duckdb_sees_them(generated: Path, logs: Path) -> None:
    names = ", ".join(f"'{path}'" for path in logs.glob("*.csv"))
    with duckdb.connect() as database:
        database.execute(
            f"""create table events as
                select log_id, user_id, "watch_time(min)"::decimal(30, 12) as amount, "timestamp" t
                from read_csv([{names}], header = true, all_varchar = true)"""
        )
        by_id = "select log_id, count(*), count(distinct (user_id, amount)) from events group by 1"
        ids = database.execute(
            f"select * from ({by_id} having count(distinct (user_id, amount)) > 1 order by 1 limit 15)"
            f" union all select * from ({by_id} having count(*) > 1 order by 1 limit 15)"
        ).fetchall()
        best = "t desc, amount desc" if (generated / "keep").read_text() == "last" else "amount desc"
        winner = f"select user_id, amount::double from events where log_id = ? order by {best}, user_id limit 1"
        winners = {name: database.execute(winner, [name]).fetchone() for name, *_ in ids}
    settings = {"OUTPUT_DIR": str(generated / "pipeline_data/output"),
                "INTERMEDIATE_DIR": str(generated / "pipeline_data/intermediate")}  # fmt: skip
    config = load_config(settings, {}, None)
    with open_published(config) as published:
        for name, copies, contents in ids:
            answer = explain_record(published, name, 1000)
            assert answer.found == len(answer.copies) == copies
            counts = [copy for copy in answer.copies if copy.outcome == "counts"]
            assert [(copy.user_id, copy.minutes) for copy in counts] == [winners[name]]
            losers = [copy for copy in answer.copies if copy.outcome == "conflict"]
            assert len(losers) >= contents - 1  # the region is content as well
            for copy in answer.copies:
                assert copy.raw is not None
                assert copy.raw.startswith(name)
                assert copy.minutes == float(copy.raw.rsplit(",", 1)[1].strip('"'))
        rows = pl.read_parquet(generated / "pipeline_data/output", hive_partitioning=True)
        for user in rows["user_id"].unique().sort()[::100]:
            total = explain_user(published, config, user)
            expected = rows.filter(pl.col("user_id") == user).sort("geo_region")
            assert total.agrees
            assert [r.total_watch_time_min for r in total.regions] == expected["total_watch_time_min"].to_list()
            assert total.event_count == expected["event_count"].sum()
            assert len(total.events) == min(total.event_count, config.EXPLAIN_ROWS)
            assert total.rows == total.event_count + total.duplicates + total.conflicts
            assert all(event.log_id for event in total.events)


def test_a_total_that_is_not_the_sum_of_its_events_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (part,) = folder.glob("pipeline_data/output.versions/*/data/*/*.parquet")
    pl.read_parquet(part).with_columns(pl.col("total_watch_time_min") + 1).write_parquet(part)
    answer = explain(folder, "--user", "ann", code=1)
    (region,) = answer["regions"]
    assert (answer["agrees"], region["total_watch_time_min"], region["published_total_watch_time_min"]) == (
        False,
        31,
        32,
    )
    assert "do not add up" in command("explain", "--user", "ann", cwd=folder).err


def test_what_has_left_or_changed_is_said_and_the_stored_content_shown(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "in" / "a.csv").unlink()
    changed = folder / "in" / "b.csv"
    changed.write_text(changed.read_text().replace("the-id", "no-tid"))
    answer = explain(folder, "the-id")
    assert [(c["file"], c["line"], c["raw"] is None, c["outcome"]) for c in answer["copies"]] == [
        ("in/a.csv", None, True, "counts"),
        ("in/b.csv", None, True, "conflict"),
        ("in/b.csv", None, True, "duplicate"),
        ("in/c.csv.gz", 42, False, "duplicate"),
    ]
    assert any("a.csv: it is no longer there" in note for note in answer["notes"])
    assert any("b.csv: it has changed" in note for note in answer["notes"])


def test_copies_of_files_that_no_longer_count_are_listed_as_such(tmp_path: Path) -> None:
    log = tmp_path / "in" / "a.csv"
    log.parent.mkdir()
    log.write_text(f"{HEADER}one,ann,{TAIL},30\n")
    run_here(tmp_path, "in")
    log.write_text(f"{HEADER}one,ann,{TAIL},5\ntwo,ann,{TAIL},1\n")
    command_json("--input", "in", cwd=tmp_path)
    answer = explain(tmp_path, "one")
    assert [(c["outcome"], c["minutes"], c["reason"]) for c in answer["copies"]] == [
        ("counts", 5, "nothing contradicts it"),
        ("not counted", 30, "its file counts in another version only"),
    ]
    assert explain(tmp_path, "--user", "ann")["regions"][0]["total_watch_time_min"] == 6


def test_pseudonyms_stay(tmp_path: Path) -> None:
    rows = f"one,ann,{TAIL},30\none,ann,{TAIL},30\none,bob,{TAIL},20\n"
    (tmp_path / "a.csv").write_text(HEADER + rows)
    env = environment(PSEUDONYMIZE_USERS=1, PSEUDONYM_KEY=KEY)
    command_json("--input", "a.csv", cwd=tmp_path, env=env)
    ended = command("explain", "one", "--json", cwd=tmp_path)
    assert ended.code == 0
    assert not {"ann", "bob"} & set(ended.out.replace('"', ",").split(","))
    answer = json.loads(ended.out)
    assert [copy["outcome"] for copy in answer["copies"]] == ["counts", "conflict", "duplicate"]
    name = answer["destination"]["user_id"]
    assert answer["copies"][2]["user_id"] == name
    plain = explain(tmp_path, "--user", "ann", env=env)
    assert (plain["user_id"], plain["agrees"], plain["event_count"]) == (name, True, 1)
    assert explain(tmp_path, "--user", name) == plain
    assert "the key" in explain(tmp_path, "--user", "ann", code=2)["error"]


def test_what_is_not_there_is_said(explained: Path, tmp_path: Path) -> None:
    for arguments, folder, code, message in [
        (("nowhere",), explained, 3, "no record with this log_id"),
        (("--user", "nobody"), explained, 3, "no event of this user"),
        (("the-id",), tmp_path, 3, "nothing is published"),
        (("the-id", "--intermediate", "elsewhere"), explained, 3, "was not made with the intermediate folder"),
        ((), explained, 2, "a log_id or --user"),
        (("the-id", "--user", "ann"), explained, 2, "expected one of them"),
    ]:
        ended = command("explain", *arguments, cwd=folder)
        assert (ended.code, ended.out) == (code, "")
        assert message in ended.err
    assert list(tmp_path.iterdir()) == []
