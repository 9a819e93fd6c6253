"""Values as logs really write them, by settings, on both parsers; and the notes that name the settings."""

import hmac
import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import xxhash

from config import load_config
from pipeline.errors import InputError
from pipeline.inspection.explain.published import open_published
from pipeline.inspection.explain.record import explain_record
from pipeline.inspection.explain.user import explain_user
from pipeline.publish.result import RunResult
from tests.end_to_end.program import read_result
from tests.harness import run_here

HEADER = "log_id;user_id;timestamp;video_id;device_type;ip_address;watch_time(min)\n"
PARSERS = pytest.mark.parametrize("compiled", [True, False])


def write(folder: Path, *records: str, name: str = "a.csv") -> None:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / name).write_text(HEADER + "".join(f"{record}\n" for record in records))


def ran(folder: Path, *records: str, **settings: Any) -> RunResult:
    write(folder, *records)
    return run_here(folder, **settings)


def minutes(folder: Path) -> dict[str, float]:
    """Published minutes by user."""
    return {user: total for _, user, total, _ in read_result(folder / "pipeline_data" / "output")}


TIMES = {
    "us": ("1795903200000001", "1795903200000002"),
    "ns": ("1795903200000000001", "1795903200000000002"),
    "iso ns": ("2026-11-28T22:00:00.000000001Z", "2026-11-28T22:00:00.000000002Z"),
    "utc": ("2026-11-28 22:00:00 UTC", "2026-11-28 22:00:01 UTC"),
    "offset": ("2026-11-28 23:00:00.1 +0100", "2026-11-28 22:00:00.2 UTC"),
    "mixed": ("1795903200000", "2026-11-28 22:00:00.000000001 UTC"),
    "old": ("1601-01-01T00:00:00Z", "1970-01-01"),
    "far": ("2026-11-28", "9999-12-31T23:59:59Z"),
}


@PARSERS
@pytest.mark.parametrize("form", TIMES)
@pytest.mark.parametrize("order", [1, -1])
def test_the_latest_counts_in_every_usual_form(tmp_path: Path, form: str, order: int, compiled: bool) -> None:
    early, late = TIMES[form]
    records = [f"a;ann;{early};v;tv;8.8.8.8;9", f"a;ann;{late};v;tv;8.8.8.8;5"][::order]
    result = ran(tmp_path, *records, DEDUPE_KEEP="last", COMPILED_PARSER=compiled)
    assert minutes(tmp_path) == {"ann": 5.0}
    assert (result.conflicts, result.unreadable_timestamps) == (1, 0)
    run_here(tmp_path, DEDUPE_KEEP="first", COMPILED_PARSER=compiled)
    assert minutes(tmp_path) == {"ann": 9.0}


AMERICAN = ["a;ann;11/28/2026 10:00 PM;v;tv;8.8.8.8;5", "a;ann;11/28/2026 09:59 AM;v;tv;8.8.8.8;9"]
GERMAN = ["b;bob;28.11.2026 22:00;v;tv;8.8.8.8;5", "b;bob;28.11.2026 21:59;v;tv;8.8.8.8;9"]


def test_patterns_decide_where_the_usual_forms_do_not(tmp_path: Path) -> None:
    first = ran(tmp_path, *AMERICAN, *GERMAN, "c;cay;2026-11-28;v;tv;8.8.8.8;1", DEDUPE_KEEP="last")
    assert minutes(tmp_path) == {"ann": 9.0, "bob": 9.0, "cay": 1.0}
    assert first.unreadable_timestamps == 4
    assert [note for note in first.notes if "TIMESTAMP_FORMAT" in note] == [
        "4 of 5 records have no timestamp that can be read; they lose where DEDUPE_KEEP = last compares timestamps. "
        "TIMESTAMP_FORMAT says how they are written; most of them are in logs/a.csv"
    ]
    patterns = json.dumps(["%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M"])
    second = run_here(tmp_path, DEDUPE_KEEP="last", TIMESTAMP_FORMAT=patterns)
    assert minutes(tmp_path) == {"ann": 5.0, "bob": 5.0, "cay": 1.0}
    assert second.unreadable_timestamps == 0
    assert not [note for note in second.notes if "TIMESTAMP_FORMAT" in note]


@PARSERS
def test_unreadable_timestamps_are_counted_everywhere_and_can_stop_a_run(tmp_path: Path, compiled: bool) -> None:
    """Rejected records do not count, duplicates do."""
    good = [f"i{n};ann;2026-11-28T22:00:0{n}Z;v;tv;8.8.8.8;1" for n in range(6)]
    odd = [
        "x;ann;soon;v;tv;8.8.8.8;1",
        "x;ann;soon;v;tv;8.8.8.8;1",
        "y;ann;;v;tv;8.8.8.8;1",
        "z;ann;soon;v;tv;8.8.8.8;-1",
    ]
    result = ran(tmp_path, *good, *odd, DEDUPE_KEEP="first", COMPILED_PARSER=compiled)
    assert (result.unreadable_timestamps, result.to_json()["unreadable_timestamps"]) == (3, 3)
    record = json.loads(next((tmp_path / "pipeline_data").glob("output.versions/*/run.json")).read_text())
    assert (record["unreadable_timestamps"], record["ledger"][0]["unreadable_timestamps"]) == (3, 3)
    gate = json.dumps({"unreadable_timestamps": {"fail": 0.3}})
    stopped = run_here(tmp_path, DEDUPE_KEEP="first", QUALITY_GATES=gate)
    assert stopped.stopped_by_gate
    assert "unreadable_timestamps: 3 of 9 records (33.3333%), limit 30.0000%" in (stopped.error or "")
    longest = run_here(tmp_path, QUALITY_GATES=gate, OUTPUT_DIR="other", INTERMEDIATE_DIR="between")
    assert (longest.status, longest.unreadable_timestamps) == ("ok", 0)


WATCHED = {
    "seconds": ({"WATCH_TIME_UNIT": "seconds"}, "3723", 62.05),
    "milliseconds": ({"WATCH_TIME_UNIT": "milliseconds"}, "3723000", 62.05),
    "microseconds": ({"WATCH_TIME_UNIT": "microseconds"}, "3723000000", 62.05),
    "rounded": ({"WATCH_TIME_UNIT": "seconds"}, "0.00009", 0.000002),
    "clock": ({"WATCH_TIME_FORMAT": "HH:MM:SS"}, "01:02:03", 62.05),
    "iso": ({"WATCH_TIME_FORMAT": "iso8601"}, "PT1H2M3S", 62.05),
    "comma": ({"WATCH_TIME_FORMAT": "decimal_comma"}, "62,05", 62.05),
    "comma and unit": ({"WATCH_TIME_FORMAT": "decimal_comma", "WATCH_TIME_UNIT": "seconds"}, "3723,0", 62.05),
}


@PARSERS
@pytest.mark.parametrize("form", WATCHED)
def test_watch_times_become_minutes(tmp_path: Path, form: str, compiled: bool) -> None:
    settings, text, expected = WATCHED[form]
    result = ran(tmp_path, f"a;ann;;v;tv;8.8.8.8;{text}", COMPILED_PARSER=compiled, **settings)
    assert minutes(tmp_path) == {"ann": expected}
    assert (result.rejected, [note for note in result.notes if "WATCH_TIME" in note]) == (0, [])


@pytest.mark.parametrize(
    ("text", "setting"),
    [("01:02:03", "hh:mm:ss"), ("PT1H2M3S", "iso8601"), ("62,05", "decimal_comma")],
)
def test_a_note_names_the_format_that_rejected_watch_times_look_like(tmp_path: Path, text: str, setting: str) -> None:
    records = [f"i{n};ann;;v;tv;8.8.8.8;{text}" for n in range(9)] + ["x;ann;;v;tv;8.8.8.8;1"]
    result = ran(tmp_path, *records)
    assert result.rejected_by_reason == {"watch_time_not_a_number": 9}
    expected = f"9 rejected watch times look as if WATCH_TIME_FORMAT = {setting} were right, in logs/a.csv"
    assert [note for note in result.notes if "WATCH_TIME" in note] == [expected]
    assert not any(text in note for note in result.notes)


def test_a_few_odd_watch_times_are_damage(tmp_path: Path) -> None:
    result = ran(tmp_path, *(f"i{n};ann;;v;tv;8.8.8.8;1" for n in range(20)), "x;ann;;v;tv;8.8.8.8;1,5")
    assert [note for note in result.notes if "WATCH_TIME" in note] == []


@PARSERS
def test_a_median_of_more_than_a_day_is_doubted(tmp_path: Path, compiled: bool) -> None:
    """1,440 minutes are a day: not more. The median of a file, also beside files that are right."""
    write(tmp_path, *(f"a{n};ann;;v;tv;8.8.8.8;{time}" for n, time in enumerate([1, 2, 1441])))
    write(tmp_path, *(f"b{n};ann;;v;tv;8.8.8.8;{time}" for n, time in enumerate([1, 1440, 1441, 1500])), name="b.csv")
    write(tmp_path, *(f"c{n};ann;;v;tv;8.8.8.8;{time}" for n, time in enumerate([1, 1441, 1500])), name="c.csv")
    notes = run_here(tmp_path, COMPILED_PARSER=compiled).notes
    assert [note for note in notes if "WATCH_TIME_UNIT" in note] == [
        "the median watch time is more than a day, which is much for one event: is WATCH_TIME_UNIT = minutes right? In "
        "logs/c.csv"
    ]


def test_another_unit_reads_the_logs_again(tmp_path: Path) -> None:
    ran(tmp_path, "a;ann;;v;tv;8.8.8.8;120")
    assert minutes(tmp_path) == {"ann": 120.0}
    result = run_here(tmp_path, WATCH_TIME_UNIT="seconds")
    assert minutes(tmp_path) == {"ann": 2.0}
    assert any("read again, because settings" in note for note in result.notes)


def test_explain_reads_records_by_the_settings_of_the_version(tmp_path: Path) -> None:
    """A copy that Phase 1 dropped is found again in the log, where its watch time is in seconds."""
    write(tmp_path, "a;ann;;v;tv;8.8.8.8;0:02:00", "a;ann;;v;tv;8.8.8.8;0:02:00", "a;bob;;v;tv;8.8.8.8;0:01:00")
    run_here(tmp_path, WATCH_TIME_FORMAT="hh:mm:ss")
    with chdir(tmp_path), open_published(load_config({}, {}, None)) as published:
        answer = explain_record(published, "a", 20)
    assert [(copy.outcome, copy.line, copy.user_id, copy.minutes) for copy in answer.copies] == [
        ("counts", 2, "ann", 2.0),
        ("conflict", 4, "bob", 1.0),
        ("duplicate", 3, "ann", 2.0),
    ]


PORTS = [
    "1.0.16.1:443",
    "[2001:200::1]:443",
    "2001:200::1%eth0",
    "[2001:200::1]",
    "1.0.16.1",
]  # all of them are in Asia
FORWARDED = ["1.0.16.1, 10.0.0.1", " 1.0.16.1:80 ,8.8.8.8", "1.0.16.1,unknown", ",1.0.16.1", "1.0.16.1"]
TRUSTED = ["8.8.8.8, 1.0.16.1, 10.0.0.1", "unknown, 1.0.16.1:1, 9.9.9.9", "1.0.16.1,10.0.0.1,"]


def regions(folder: Path) -> dict[str, int]:
    """Published events by region."""
    found: dict[str, int] = {}
    for region, _, _, events in read_result(folder / "pipeline_data" / "output"):
        found[region] = found.get(region, 0) + events
    return found


@PARSERS
@pytest.mark.parametrize(
    ("addresses", "settings"),
    [
        (PORTS, {"IP_ADDRESS_FORMAT": "endpoint"}),
        (PORTS, {"IP_ADDRESS_FORMAT": "forwarded"}),
        (FORWARDED, {"IP_ADDRESS_FORMAT": "forwarded"}),
        (TRUSTED, {"IP_ADDRESS_FORMAT": "forwarded", "TRUSTED_PROXIES": 2}),
    ],
)
def test_addresses_of_endpoints_and_lists_have_regions(
    tmp_path: Path, addresses: list[str], settings: dict[str, Any], compiled: bool
) -> None:
    records = [f"i{number};ann;;v;tv;{address};1" for number, address in enumerate(addresses)]
    result = ran(tmp_path, *records, COMPILED_PARSER=compiled, **settings)
    assert regions(tmp_path) == {"Asia": len(addresses)}
    assert not [note for note in result.notes if "IP_ADDRESS" in note]


@PARSERS
@pytest.mark.parametrize(("addresses", "form"), [(PORTS[:4], "endpoint"), (FORWARDED[:4], "forwarded")])
def test_a_note_names_the_format_of_addresses(tmp_path: Path, addresses: list[str], form: str, compiled: bool) -> None:
    records = [f"i{number};ann;;v;tv;{address};1" for number, address in enumerate(addresses)]
    result = ran(tmp_path, *records, COMPILED_PARSER=compiled)
    assert regions(tmp_path) == {"INVALID": 4}
    assert [note for note in result.notes if "IP_ADDRESS" in note] == [
        f"about 4 addresses without a region look as if IP_ADDRESS_FORMAT = {form} were right, in logs/a.csv"
    ]


def test_texts_that_are_no_addresses_at_all_name_no_format(tmp_path: Path) -> None:
    result = ran(tmp_path, *(f"i{number};ann;;v;tv;none;1" for number in range(9)))
    assert (regions(tmp_path), result.notes) == ({"INVALID": 9}, ())


def test_addresses_of_a_list_are_masked(tmp_path: Path) -> None:
    """A rejected value is shown with its addresses cut, whatever stands around them."""
    rule = json.dumps({"one": {"column": "ip_address", "pattern": "[0-9.]+", "action": "reject"}})
    listed = "203.0.113.77:4711, [2001:db8:1:2::3]:443,fe80::1:2:3:4%eth0,198.51.100.9"
    ran(tmp_path, "a;ann;;v;tv;1.0.16.1;1", f"b;ann;;v;tv;{listed};1", RECORD_RULES=rule, IP_ADDRESS_FORMAT="forwarded")
    quarantine = next((tmp_path / "pipeline_data").glob("output.versions/*/quarantine"))
    (value,) = pl.read_parquet(quarantine / "rejected.parquet")["value"].to_list()
    assert value == "203.0.113.0/24:4711, [2001:db8:1::/48]:443,fe80::/48%eth0,198.51.100.0/24"


IDS = {"LOG_ID_COLUMNS": "user_id,timestamp,video_id"}
NO_ID = "user_id;timestamp;video_id;device_type;ip_address;watch_time(min)\n"


def write_without_ids(folder: Path, *records: str) -> None:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "a.csv").write_text(NO_ID + "".join(f"{record}\n" for record in records))


@PARSERS
@pytest.mark.parametrize("keep", ["longest", "last"])
def test_an_id_of_several_columns(tmp_path: Path, keep: str, compiled: bool) -> None:
    """Values that are equal when they are put behind each other are different ids; DuckDB groups by the columns."""
    records = [
        *("ann;1;v1;tv;8.8.8.8;1", "ann;1;v1;tv;8.8.8.8;1", "ann;1;v1;tv;8.8.8.8;2"),  # a duplicate and a conflict
        *("ann;11;v;tv;8.8.8.8;4", "ann1;1;v1;tv;8.8.8.8;8", "an;n1;v1;tv;8.8.8.8;16"),
        *('"a:1";1;v;tv;8.8.8.8;1', '"a";":11";v;tv;8.8.8.8;2', "ann;1;V1;tv;8.8.8.8;32"),
    ]
    write_without_ids(tmp_path, *records)
    result = run_here(tmp_path, DEDUPE_KEEP=keep, COMPILED_PARSER=compiled, **IDS)
    assert (result.kept, result.duplicates, result.conflicts, result.rejected) == (7, 1, 1, 0)
    query = """select user_id, sum(minutes) from (select user_id, max("watch_time(min)"::double) as minutes
        from read_csv(?, all_varchar = true) group by user_id, timestamp, video_id) group by user_id"""
    assert minutes(tmp_path) == dict(duckdb.execute(query, [str(tmp_path / "logs" / "a.csv")]).fetchall())


def test_an_id_with_a_blank_value_is_blank(tmp_path: Path) -> None:
    """Otherwise all events of a user without a title would be one."""
    write_without_ids(
        tmp_path, "ann;1;v;tv;8.8.8.8;1", "ann;2;;tv;8.8.8.8;1", "ann; ;v;tv;8.8.8.8;1", ";4;v;tv;8.8.8.8;1"
    )
    result = run_here(tmp_path, **IDS)
    assert (result.kept, result.rejected_by_reason) == (1, {"blank_log_id": 3})
    quarantine = next((tmp_path / "pipeline_data").glob("output.versions/*/quarantine"))
    rejected = pl.read_parquet(quarantine / "rejected.parquet")
    assert rejected.sort("line")["column"].to_list() == ["video_id", "timestamp", "user_id"]


def test_a_column_of_the_id_that_is_missing_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text("user;timestamp;videoid;ip_address;watch_time(min)\n")
    result = run_here(tmp_path, **IDS)
    (refused,) = result.refused_files
    assert "missing 'user_id', 'video_id' under" in refused.reason
    assert "Is 'user' the 'user_id'? Then add it to USER_ID_COLUMN." in refused.reason
    assert "Is 'videoid' the 'video_id'? Then add it to LOG_ID_COLUMNS." in refused.reason


@pytest.mark.parametrize("text", ["3:ann1:12:v1", '["ann", "1", "v1"]'])
def test_explain_finds_an_id_of_several_columns(tmp_path: Path, text: str) -> None:
    rejected = "ann;1;v1;tv;8.8.8.8;soon"
    write_without_ids(tmp_path, "ann;1;v1;tv;8.8.8.8;2", "ann;1;v1;tv;8.8.8.8;2", rejected, "ann;11;v1;tv;8.8.8.8;9")
    run_here(tmp_path, **IDS)
    with chdir(tmp_path), open_published(load_config({}, {}, None)) as published:
        answer = explain_record(published, text, 20)
        events = explain_user(published, load_config({}, {}, None), "ann").events
        with pytest.raises(InputError, match="an id has 3 values"):
            explain_record(published, "ann", 20)
    assert answer.log_id == "3:ann1:12:v1"
    assert [(copy.outcome, copy.line) for copy in answer.copies] == [("counts", 2), ("duplicate", 3)]
    assert [(copy.line, copy.reason) for copy in answer.rejected] == [(4, "watch_time_not_a_number")]
    assert [event.log_id for event in events] == ["3:ann2:112:v1", "3:ann1:12:v1"]


def test_ids_with_users_are_hidden_with_the_users(tmp_path: Path) -> None:
    """The hash of an id that holds a user could be tried out; under the key it cannot."""
    key = tmp_path / "key"
    key.write_text("a key of more than sixteen bytes")
    write_without_ids(tmp_path, "ann;1;v1;tv;8.8.8.8;2", "ann;1;v1;tv;8.8.8.8;2", "ann;1;v1;tv;8.8.8.8;5")
    result = run_here(tmp_path, PSEUDONYMIZE_USERS=True, PSEUDONYM_KEY_FILE=key, **IDS)
    assert (result.kept, result.duplicates, result.conflicts) == (1, 1, 1)
    plain = xxhash.xxh3_128_intdigest(b"3:ann1:12:v1")
    pseudonym = hmac.digest(key.read_bytes(), b"3:ann1:12:v1", "sha256").hex()
    (rows,) = (pl.read_parquet(path) for path in (tmp_path / "pipeline_data").glob("intermediate/store/rows/*"))
    ids = {(high % 2**64) << 64 | low % 2**64 for high, low in rows.select("id_hi", "id_lo").rows()}
    assert ids == {xxhash.xxh3_128_intdigest(pseudonym.encode())}
    assert plain not in ids
    settings = load_config({}, {"LOGMILL_PSEUDONYM_KEY_FILE": str(key)}, None)
    with chdir(tmp_path), open_published(settings) as published:
        answer = explain_record(published, "3:ann1:12:v1", 20, str(key))
        events = explain_user(published, settings, "ann").events
    assert [copy.outcome for copy in answer.copies] == ["counts", "conflict", "duplicate"]
    assert [event.log_id for event in events] == [None]


def test_a_run_that_keeps_nothing_names_the_format(tmp_path: Path) -> None:
    result = ran(tmp_path, *(f"i{n};ann;;v;tv;8.8.8.8;0:01:0{n}" for n in range(9)))
    assert result.stopped_by_gate
    assert "all watch_time_not_a_number, see WATCH_TIME_FORMAT = hh:mm:ss" in (result.error or "")
    again = run_here(tmp_path, WATCH_TIME_FORMAT="iso8601")
    assert "all watch_time_wrong_format, see WATCH_TIME_FORMAT = hh:mm:ss" in (again.error or "")
    assert run_here(tmp_path, WATCH_TIME_FORMAT="hh:mm:ss").status == "ok"
