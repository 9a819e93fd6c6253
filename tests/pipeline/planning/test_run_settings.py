"""Settings as a run uses them: for the parsers, for the kernels, and in the record of the run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import Config, load_config
from pipeline.errors import ConfigError
from pipeline.exchange.workspace import Workspace
from pipeline.planning.planner import Sizes
from pipeline.planning.run_settings import Library, read_settings
from pipeline.quality import Rule
from tests.harness import GEO
from utils.settings import declared

TV = Rule("tv", "warn", "device_type", allowed=("tv",))
LATE = Rule("late", "reject", "timestamp", pattern="2026.*")
SIZES = Sizes(2, 64 * 10**6, 16, 1000, 500, 10**9, 10**7, 10**8)


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_text("0123456789abcdef")
    return str(tmp_path / "key")


def test_a_record_has_every_setting_but_the_generators_and_whether_the_input_was_named() -> None:
    recorded = read_settings(load_config({"INPUT_DIR": "logs"}, {}, None)).as_record()
    assert set(recorded) == {name for name in declared(Config) if not name.startswith("GENERATOR_")} | {"INPUT_NAMED"}
    assert (recorded["INPUT_DIR"], recorded["INPUT_NAMED"]) == ("logs", True)
    assert read_settings(Config(INPUT_DIR="logs")).as_record() == recorded | {"INPUT_NAMED": False}


@pytest.mark.parametrize(
    ("changes", "roles"),
    [
        ({"DEDUPE_KEEP": "longest"}, {"log_id", "user_id", "ip_address", "watch_time"}),
        ({"DEDUPE_KEEP": "first"}, {"log_id", "user_id", "ip_address", "watch_time", "timestamp"}),
        ({"DEDUPE_KEEP": "last"}, {"log_id", "user_id", "ip_address", "watch_time", "timestamp"}),
    ],
)
def test_the_timestamp_is_read_where_it_decides(changes: dict[str, Any], roles: set[str]) -> None:
    settings = read_settings(Config(**changes))
    assert set(settings.columns) == roles
    assert set(settings.headers.required) == roles


def test_the_header_must_have_the_columns_of_rules_that_reject() -> None:
    headers = read_settings(Config(RECORD_RULES=(TV, LATE), MAX_RECORD_BYTES=12345)).headers
    required = {name for names in headers.required.values() for name in names}
    optional = {name for names in headers.optional.values() for name in names}
    assert "timestamp" in required
    assert "device_type" not in required
    assert optional == {"device_type"}
    assert (headers.max_record, headers.hide_lines) == (12345, False)


def test_pseudonyms_hide_lines_and_bytes_and_leave_the_compiled_parser_out(key: str) -> None:
    plain = read_settings(Config())
    assert (plain.compilable, plain.keep_raw, plain.pseudonyms) == (True, True, None)
    hidden = read_settings(Config(PSEUDONYMIZE_USERS=True, PSEUDONYM_KEY_FILE=key))
    assert (hidden.compilable, hidden.keep_raw, hidden.headers.hide_lines) == (False, False, True)
    assert hidden.pseudonyms
    assert hidden.pseudonyms.path == key
    assert not read_settings(Config(RECORD_RULES=(TV,))).compilable
    assert not read_settings(Config(COMPILED_PARSER=False)).compilable
    assert not read_settings(Config(QUARANTINE_RAW=False)).keep_raw


def test_a_mistake_in_a_rule_or_the_key_is_found_before_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="late"):
        read_settings(Config(RECORD_RULES=(replace(LATE, pattern="("),)))
    with pytest.raises(ConfigError, match="PSEUDONYM_KEY_FILE"):
        read_settings(Config(PSEUDONYMIZE_USERS=True, PSEUDONYM_KEY_FILE=str(tmp_path / "none")))


def test_the_kernels_get_what_the_settings_and_sizes_say(tmp_path: Path, key: str) -> None:
    config = Config(
        PSEUDONYMIZE_USERS=True, PSEUDONYM_KEY_FILE=key, DEDUPE_KEEP="first", CHUNK_BYTES=10**6, RECORD_RULES=(TV,)
    )
    settings, workspace, geo = read_settings(config), Workspace(str(tmp_path)), GEO.load()
    read = settings.read_context(workspace, SIZES, geo, Library(tmp_path / "library.so"))
    assert (read.workspace, read.keep, read.buckets, read.held_bytes) == (workspace, "first", 16, 10**9)
    assert (read.chunk_bytes, read.max_record, read.keep_raw) == (10**6, config.MAX_RECORD_BYTES, False)
    assert (read.rules, read.pseudonyms, read.geo_source) == (settings.rules, settings.pseudonyms, GEO)
    assert read.library_path == str(tmp_path / "library.so")
    add = settings.aggregate_context(workspace, SIZES, geo, Library(None, "no compiler"))
    assert (add.workspace, add.keep, add.buckets, add.bucket_rows) == (workspace, "first", 16, 1000)
    assert (add.region_names, add.library_path) == (geo.names, None)


def test_only_settings_that_decide_what_a_split_holds_make_another_fingerprint(key: str) -> None:
    geo = GEO.load()
    usual = read_settings(Config()).fingerprint(geo)
    same = [{"OUTPUT_DIR": "x"}, {"BUCKETS": 8}, {"COMPRESSION": "none"}, {"COMPILED_PARSER": False}]
    assert {read_settings(Config(**changes)).fingerprint(geo) for changes in same} == {usual}
    different: list[dict[str, Any]] = [
        {"DEDUPE_KEEP": "first"},
        {"DEDUPE_KEEP": "last"},
        {"MAX_RECORD_BYTES": 12345},
        {"QUARANTINE_RAW": False},
        {"RECORD_RULES": (TV,)},
        {"USER_ID_COLUMN": ("uid",)},
        {"PSEUDONYMIZE_USERS": True, "PSEUDONYM_KEY_FILE": key},
    ]
    prints = [read_settings(Config(**changes)).fingerprint(geo) for changes in different]
    assert len({usual, *prints}) == len(different) + 1


def test_no_library_is_looked_for_where_the_settings_want_none() -> None:
    assert read_settings(Config(COMPILED_PARSER=False)).find_library() == Library(None, "")
