"""Every setting: default, documentation, allowed and refused values, precedence, and the messages of errors."""

import ast
import json
import pickle
import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

import config
from config import Config, GeographySettings, MachineSettings, MeasurementSettings, SparkSettings, load_config
from pipeline.errors import ConfigError
from pipeline.quality import Gate, Rule
from utils.settings import declared, describe, describe_group, groups

FOLDERS = {"INPUT_DIR", "INTERMEDIATE_DIR", "OUTPUT_DIR"}

VALID = {
    "QUERY_ROWS": ("5", 5),
    "EXPLAIN_ROWS": ("5", 5),
    "QUERY_SECONDS": ("60", 60),
    "LOG_FORMAT": ("JSON", "json"),
    "INPUT_DIR": ("logs", "logs"),
    "INTERMEDIATE_DIR": ("between", "between"),
    "OUTPUT_DIR": ("out", "out"),
    "PREPROCESSING_WORKERS": ("3", 3),
    "MEMORY_LIMIT": ("8GB", 8 * 10**9),
    "COMPILED_PARSER": ("no", False),
    "DASHBOARD_PORT": ("8600", 8600),
    "CHUNK_BYTES": ("64", 64),
    "SPLIT_BYTES": ("1 GiB", 2**30),
    "BUCKETS": ("64", 64),
    "ENGINE": ("Polars", "polars"),
    "SPARK_MASTER": ("spark://host:7077", "spark://host:7077"),
    "SPARK_DRIVER_MEMORY": ("2GiB", 2**31),
    "SPARK_EXECUTOR_MEMORY": ("1.5GB", 1_500_000_000),
    "SPARK_EXECUTORS": ("8", 8),
    "SPARK_EXECUTOR_CORES": ("4", 4),
    "SPARK_PYTHON_MEMORY": ("16GB", 16 * 10**9),
    "SPARK_EXECUTOR_PYTHON": ("/opt/python", "/opt/python"),
    "SPARK_SHUFFLE_PARTITIONS": ("0", 0),
    "SPARK_PLAN": ("sql", "sql"),
    "SPARK_UI": ("yes", True),
    "DEDUPE_KEEP": ("last", "last"),
    "GEO_LEVEL": ("country", "country"),
    "TABLE_FORMAT": ("delta", "delta"),
    "COMPRESSION": ("none", "none"),
    "MAX_RECORD_BYTES": ("1MiB", 2**20),
    "MAX_EXPANSION_RATIO": ("1_000", 1000),
    "ROTATED_NAMES": (r"\.[0-9]+", r"\.[0-9]+"),
    "KEEP_VERSIONS": ("1", 1),
    "QUARANTINE_RETENTION_DAYS": ("7", 7),
    "ALLOW_EMPTY_RESULT": ("yes", True),
    "QUARANTINE_RAW": ("no", False),
    "PSEUDONYMIZE_USERS": ("on", True),
    "PSEUDONYM_KEY_FILE": ("secrets/key", "secrets/key"),
    "QUALITY_GATES": (
        '{"rejected": {"warn": 0.001, "fail": 0.01}, "unknown_region": {"fail": 1}}',
        (Gate("rejected", 0.001, 0.01), Gate("unknown_region", None, 1.0)),
    ),
    "RECORD_RULES": (
        '{"day": {"max_minutes": 1440, "action": "reject"},'
        ' "tv": {"column": "device", "allowed": ["tv", ""], "action": "warn"},'
        ' "id": {"column": "video_id", "pattern": "v[0-9]+", "action": "warn"}}',
        (
            Rule("day", "reject", max_minutes=1440.0),
            Rule("tv", "warn", "device", allowed=("tv", "")),
            Rule("id", "warn", "video_id", pattern="v[0-9]+"),
        ),
    ),
    "LOG_ID_COLUMN": ("log_id, event_id", ("log_id", "event_id")),
    "LOG_ID_COLUMNS": ("user_id, timestamp,title", ("user_id", "timestamp", "title")),
    "USER_ID_COLUMN": ("uid", ("uid",)),
    "TIMESTAMP_COLUMN": ("ts", ("ts",)),
    "IP_ADDRESS_COLUMN": ("ip", ("ip",)),
    "WATCH_TIME_COLUMN": ("minutes,watch_time(min)", ("minutes", "watch_time(min)")),
    "COLUMNS": (
        "log_id,user_id,ip_address,watch_time(min)",
        ("log_id", "user_id", "ip_address", "watch_time(min)"),
    ),
    "WATCH_TIME_UNIT": ("Seconds", "seconds"),
    "IP_ADDRESS_FORMAT": ("Endpoint", "endpoint"),
    "TRUSTED_PROXIES": ("0", 0),
    "WATCH_TIME_FORMAT": ("HH:MM:SS", "hh:mm:ss"),
    "TIMESTAMP_FORMAT": ('["%d.%m.%Y %H:%M", "%b %d, %Y"]', ("%d.%m.%Y %H:%M", "%b %d, %Y")),
    "GENERATOR_FILES": ("20", 20),
    "GENERATOR_SIZE": ("1GB", 10**9),
    "GENERATOR_USERS": ("5", 5),
    "GENERATOR_DUPLICATES": ("0", 0.0),
    "GENERATOR_CROSS_FILE_DUPLICATES": ("0.5", 0.5),
    "GENERATOR_CONFLICTS": ("0.01", 0.01),
    "GENERATOR_MALFORMED": ("0.05", 0.05),
    "GENERATOR_QUOTED": ("1", 1.0),
    "GENERATOR_IPV6": ("1e-1", 0.1),
    "GENERATOR_SEED": ("0", 0),
}

INVALID = {
    "QUERY_ROWS": ["0", "many"],
    "EXPLAIN_ROWS": ["0", "all"],
    "QUERY_SECONDS": ["0", "1.5"],
    "LOG_FORMAT": ["xml", ""],
    "INPUT_DIR": ["", "  ", "a\0b", 5],
    "INTERMEDIATE_DIR": [""],
    "OUTPUT_DIR": [""],
    "PREPROCESSING_WORKERS": ["0", "257", "-1", "two", "", "1.5", 2.0, True, None, [1]],
    "MEMORY_LIMIT": ["8E", "8", "999MB", "lots", "-1GB", "1e9", "", 1.5e9, True],
    "COMPILED_PARSER": ["maybe"],
    "DASHBOARD_PORT": ["-1", "70000", "x"],
    "CHUNK_BYTES": ["63", "0", "2GiB"],
    "SPLIT_BYTES": ["63", "-1"],
    "BUCKETS": ["3", "2048", "-2"],
    "ENGINE": ["duckdb", "", 1],
    "SPARK_MASTER": ["spark", "local[", "http://host", 1],
    "SPARK_DRIVER_MEMORY": ["1x", "100MB"],
    "SPARK_EXECUTOR_MEMORY": ["1x", "100MB"],
    "SPARK_EXECUTORS": ["-1", "all"],
    "SPARK_EXECUTOR_CORES": ["0", "257"],
    "SPARK_PYTHON_MEMORY": ["1x", "100MB"],
    "SPARK_EXECUTOR_PYTHON": [1],
    "SPARK_SHUFFLE_PARTITIONS": ["-1", "many"],
    "SPARK_PLAN": ["rdd"],
    "SPARK_UI": ["maybe", "", 2],
    "DEDUPE_KEEP": ["shortest"],
    "GEO_DATABASE": ["no/such/file.mmdb", 1],
    "GEO_LEVEL": ["city"],
    "LOG_ID_COLUMNS": ["user_id", "a,a", "a,", 1, ["a", 1], '["a", 1]', '["a","b"'],
    "WATCH_TIME_UNIT": ["hours", "s", "", 1],
    "IP_ADDRESS_FORMAT": ["ipv4", ""],
    "TRUSTED_PROXIES": ["-1", "101", "all"],
    "WATCH_TIME_FORMAT": ["mm:ss", "", 1],
    "TIMESTAMP_FORMAT": ["%Q", "%H:%M", 1],
    "GEO_REGIONS": ["no/such/file.csv"],
    "TABLE_FORMAT": ["iceberg"],
    "COMPRESSION": ["zip"],
    "MAX_RECORD_BYTES": ["255", "65MiB"],
    "MAX_EXPANSION_RATIO": ["0", "1.5", "1000001"],
    "ROTATED_NAMES": ["(", "a\0b", 5],
    "KEEP_VERSIONS": ["0"],
    "QUARANTINE_RETENTION_DAYS": ["0", "soon"],
    "ALLOW_EMPTY_RESULT": ["maybe", 2],
    "QUARANTINE_RAW": ["maybe", 2],
    "PSEUDONYMIZE_USERS": ["maybe"],
    "PSEUDONYM_KEY_FILE": ["a\0b", 1],
    "QUALITY_GATES": [
        "rejected",
        "[]",
        1,
        ["rejected"],
        {"rejected": 0.1},
        {"rejected": {}},
        {"rejects": {"warn": 0.1}},
        {"rejected": {"above": 0.1}},
        {"rejected": {"warn": "0.1"}},
        {"rejected": {"warn": 1.1}},
        {"rejected": {"warn": -0.1}},
        {"rejected": {"warn": True}},
        {"rejected": {"warn": float("nan")}},
        {"rejected": {"warn": 0.2, "fail": 0.1}},
        '{"rejected": {"warn": 0.1, "warn": 0.2}}',
    ],
    "RECORD_RULES": [
        "x",
        {"a": 1},
        {"a": {"action": "warn"}},
        {"a": {"max_minutes": 1}},
        {"a": {"max_minutes": 1, "action": "fail"}},
        {"a b": {"max_minutes": 1, "action": "warn"}},
        {"a": {"max_minutes": "1", "action": "warn"}},
        {"a": {"max_minutes": 1, "column": "c", "action": "warn"}},
        {"a": {"pattern": "x", "action": "warn"}},
        {"a": {"column": "", "pattern": "x", "action": "warn"}},
        {"a": {"column": "c", "pattern": 1, "action": "warn"}},
        {"a": {"column": "c", "allowed": [], "action": "warn"}},
        {"a": {"column": "c", "allowed": "tv", "action": "warn"}},
        {"a": {"column": "c", "allowed": [1], "action": "warn"}},
        {"a": {"column": "c", "allowed": ["x"], "pattern": "x", "action": "warn"}},
        {"a": {"max_minutes": 1, "action": "warn", "colour": "c"}},
    ],
    "LOG_ID_COLUMN": ["", "a,,b", "a,a", [], [1], "a\nb", 1],
    "USER_ID_COLUMN": [""],
    "TIMESTAMP_COLUMN": [""],
    "IP_ADDRESS_COLUMN": [""],
    "WATCH_TIME_COLUMN": [""],
    "COLUMNS": ["log_id,log_id", "log_id,,user_id"],
    "GENERATOR_FILES": ["0", "10000"],
    "GENERATOR_SIZE": ["1", "big"],
    "GENERATOR_USERS": ["0"],
    "GENERATOR_DUPLICATES": ["1.1", "-0.1", "nan", "5%", True],
    "GENERATOR_CROSS_FILE_DUPLICATES": ["2"],
    "GENERATOR_CONFLICTS": ["0.06"],
    "GENERATOR_MALFORMED": ["0.06"],
    "GENERATOR_QUOTED": ["inf"],
    "GENERATOR_IPV6": ["x"],
    "GENERATOR_SEED": ["-1", "abc"],
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_documented_and_tested() -> None:
    fields = declared(Config)
    listing = describe(Config())
    for name, field in fields.items():
        assert name.isupper()
        for part in ("unit", "meaning", "change"):
            assert field.metadata[part].strip(), f"{name} has no {part}"
        assert field.metadata["kind"].expected
        assert f"{name} = " in listing
    assert set(VALID) | {"GEO_DATABASE", "GEO_REGIONS"} == set(fields)
    assert set(INVALID) == set(fields)
    assert set(Config.__dataclass_fields__) - set(fields) == {"origins"}


def test_a_reader_sees_six_values_first() -> None:
    """Whoever opens the file sees what is to be changed by hand on the first screen, as plain constants."""
    source = Path(config.__file__).read_text(encoding="utf-8")
    first, *body = ast.parse(source).body
    assert isinstance(first, ast.Expr)
    assert first.end_lineno is not None
    assert first.end_lineno <= 7
    constants = body[:6]
    assert all(isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) for node in constants)
    assert [node.targets[0].id for node in constants] == [
        *("WORKERS", "MEMORY_LIMIT", "ENGINE", "INPUT_DIR", "INTERMEDIATE_DIR", "OUTPUT_DIR"),
    ]
    assert all("  # " in source.splitlines()[node.lineno - 1] for node in constants)
    assert constants[-1].lineno <= 14
    table = source.partition("# machine ")[2].partition("\n\n")[0]
    for machine in ("laptop", "server", "shared host"):
        assert machine in table
    for limit in re.findall(r'"(\w+)"', table):
        assert Config(MEMORY_LIMIT=limit)


READING = ("find_config_file", "read_sections", "_table", "load_config")
"""What reads settings stands behind them."""


def test_internals_stand_last() -> None:
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    defined = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    assert defined == [*(group.__name__ for group in groups(Config)), "Config", *READING]
    assert (groups(Config)[0], groups(Config)[-1]) == (MachineSettings, MeasurementSettings)
    assert list(declared(Config))[:2] == ["PREPROCESSING_WORKERS", "MEMORY_LIMIT"]
    only = {name for name, field in declared(Config).items() if field.metadata["change"].startswith("Only to ")}
    assert set(declared(MeasurementSettings)) == only == {"COMPILED_PARSER", "CHUNK_BYTES", "SPLIT_BYTES", "BUCKETS"}


def test_workers_is_a_name_too(tmp_path: Path) -> None:
    """It is the constant's name in config.py, so that it is tried in a file and in the environment."""
    toml = tmp_path / "logmill.toml"
    toml.write_text("workers = 3\n")
    found = load_config({}, {}, toml)
    assert (found.PREPROCESSING_WORKERS, found.origins) == (3, {"PREPROCESSING_WORKERS": str(toml)})
    found = load_config({}, {"LOGMILL_WORKERS": "4"}, toml)
    origins = {"PREPROCESSING_WORKERS": "environment, LOGMILL_WORKERS"}
    assert (found.PREPROCESSING_WORKERS, found.origins) == (4, origins)
    toml.write_text("workers = 3\nPREPROCESSING_WORKERS = 4\n")
    with pytest.raises(ConfigError, match=r"WORKERS \(from .*\) is PREPROCESSING_WORKERS, which is set there, too"):
        load_config({}, {}, toml)
    with pytest.raises(ConfigError, match=r"PREPROCESSING_WORKERS is 'x' \(from the environment, LOGMILL_WORKERS\)"):
        load_config({}, {"LOGMILL_WORKERS": "x"}, None)


def test_every_setting_has_one_owner_who_knows_when_to_change_it() -> None:
    assert [name for group in groups(Config) for name in declared(group)] == list(declared(Config))
    assert sum(len(declared(group)) for group in groups(Config)) == len(declared(Config))
    headings = [describe_group(group) for group in groups(Config)]
    assert len({title for title, _ in headings}) == len(headings)
    for title, advice in headings:
        assert re.fullmatch(r"[A-Z][A-Za-z ]+", title), title
        assert re.fullmatch(r"(Change|Whoever) .*\.", advice), advice
        assert f"# {title}\n# {advice}\n" in describe(Config())


def test_a_group_stands_alone() -> None:
    assert isinstance(Config(), SparkSettings)
    assert SparkSettings(SPARK_UI="yes") == SparkSettings(SPARK_UI=True)
    assert list(declared(GeographySettings())) == ["GEO_DATABASE", "GEO_LEVEL", "GEO_REGIONS"]
    assert pickle.loads(pickle.dumps(GeographySettings(GEO_LEVEL="country"))).GEO_LEVEL == "country"
    for group, values, message in [
        (SparkSettings, {"SPARK_MASTER": "spark"}, "SPARK_MASTER is 'spark': expected empty"),
        (GeographySettings, {"GEO_LEVEL": "city"}, r"GEO_LEVEL is 'city' \(in config.py\)"),
        (MachineSettings, {"INPUT_DIR": "a", "OUTPUT_DIR": "a"}, "INPUT_DIR.*OUTPUT_DIR.*overlap"),
    ]:
        with pytest.raises(ValueError, match=message):
            group(**values)
        with pytest.raises(ConfigError, match=message):
            Config(**values)
    with pytest.raises(FrozenInstanceError):
        SparkSettings().SPARK_UI = True


def test_defaults_are_valid() -> None:
    config = load_config({}, {}, None)
    assert config == Config()
    assert config.origins == {}
    assert config.PREPROCESSING_WORKERS >= 1
    assert config.MEMORY_LIMIT >= 10**9


@pytest.mark.parametrize(("name", "raw", "value"), [(name, *pair) for name, pair in VALID.items()])
def test_valid_text_is_read_from_every_source(name: str, raw: str, value: object, tmp_path: Path) -> None:
    toml = tmp_path / "logmill.toml"
    toml.write_text(f"{name.lower()} = '{raw}'\n")
    assert getattr(load_config({name: raw}, {}, None), name) == value
    assert getattr(load_config({}, {f"LOGMILL_{name}": raw}, None), name) == value
    assert getattr(load_config({}, {}, toml), name) == value


@pytest.mark.parametrize(("name", "raw"), [(name, raw) for name, raws in INVALID.items() for raw in raws])
def test_an_invalid_value_is_refused_by_name(name: str, raw: object) -> None:
    option = declared(Config)[name].metadata["option"]
    with pytest.raises(ConfigError, match=rf"^{option} |\b{name}\b") as wrong:
        load_config({name: raw if raw is not None else ()}, {}, None)
    assert option is None or "command line" not in str(wrong.value), "whoever typed it knows where"


@pytest.mark.parametrize("name", ["GEO_DATABASE", "GEO_REGIONS"])
def test_a_named_file_must_exist(name: str, tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.touch()
    assert getattr(load_config({name: str(path)}, {}, None), name) == str(path)
    assert getattr(load_config({}, {f"LOGMILL_{name}": ""}, None), name) == ""


def test_the_nearer_source_wins(tmp_path: Path) -> None:
    toml = tmp_path / "logmill.toml"
    toml.write_text("KEEP_VERSIONS = 7\nengine = 'spark'\nPREPROCESSING_WORKERS = 9\n")
    config = load_config(
        {"PREPROCESSING_WORKERS": "5", "ENGINE": None},
        {"LOGMILL_ENGINE": "polars", "LOGMILL_PREPROCESSING_WORKERS": "6", "HOME": "x"},
        toml,
    )
    assert (config.PREPROCESSING_WORKERS, config.ENGINE, config.KEEP_VERSIONS) == (5, "polars", 7)


def test_where_each_value_came_from(tmp_path: Path) -> None:
    toml = tmp_path / "logmill.toml"
    toml.write_text("input_dir = 'logs'\nKEEP_VERSIONS = 7\nBUCKETS = 4\n")
    environ = {"LOGMILL_INPUT_DIR": "logs", "LOGMILL_BUCKETS": "8"}
    cli = {"INPUT_DIR": "logs", "SPARK_UI": "yes", "ENGINE": None}
    assert load_config({}, {}, toml).origins == dict.fromkeys(("INPUT_DIR", "KEEP_VERSIONS", "BUCKETS"), str(toml))
    config = load_config(cli, environ, toml)
    assert config.origins == {
        "INPUT_DIR": "command line, --input",
        "SPARK_UI": "command line",
        "BUCKETS": "environment, LOGMILL_BUCKETS",
        "KEEP_VERSIONS": str(toml),
    }
    assert load_config({}, environ, None).origins["INPUT_DIR"] == "environment, LOGMILL_INPUT_DIR"


def test_origins_travel_with_a_config_and_make_no_difference() -> None:
    config = load_config({"INPUT_DIR": "logs"}, {}, None)
    copy = pickle.loads(pickle.dumps(replace(config, BUCKETS=8)))
    assert copy.origins == config.origins
    assert (config, hash(config)) == (Config(INPUT_DIR="logs"), hash(Config(INPUT_DIR="logs")))


def test_errors_name_where_the_value_came_from(tmp_path: Path) -> None:
    toml = tmp_path / "logmill.toml"
    toml.write_text("SPARK_UI = 'maybe'\n")
    for cli, environ, path, origin in [
        ({"PREPROCESSING_WORKERS": "x"}, {}, None, r"^--workers is 'x'"),
        ({"SPARK_UI": "x"}, {}, None, r"\(from the command line\)"),
        ({}, {"LOGMILL_BUCKETS": "x"}, None, r"\(from the environment, LOGMILL_BUCKETS\)"),
        ({}, {}, toml, r"\(from /.*logmill.toml\)"),
    ]:
        with pytest.raises(ConfigError, match=origin):
            load_config(cli, environ, path)
    with pytest.raises(ConfigError, match=r"ENGINE is 'x' \(in config.py\)"):
        Config(ENGINE="x")


@pytest.mark.parametrize(
    ("environ", "toml", "message"),
    [
        ({"LOGMILL_ENGIN": "spark"}, "", "'ENGIN'.*LOGMILL_ENGIN.*did you mean ENGINE"),
        ({"LOGMILL_": "spark"}, "", "unknown setting ''"),
        ({"LOGMILL_ORIGINS": "1"}, "", "unknown setting 'ORIGINS'"),
        ({"LOGMILL_INPUT_NAMED": "1"}, "", "unknown setting 'INPUT_NAMED'"),
        ({}, "work_ers = 3", "unknown setting 'WORK_ERS'.*logmill.toml"),
        ({}, "Engine = 'spark'", "unknown setting 'Engine'.*did you mean"),
        ({}, "[spark]\nUI = true", "unknown setting 'SPARK'"),
        ({}, "ENGINE = 'spark'\nengine = 'spark'", "ENGINE is set twice"),
        ({}, "ENGINE = ", "not valid TOML"),
        ({}, "MEMORY_LIMIT = 1.5", "MEMORY_LIMIT is 1.5"),
    ],
)
def test_unknown_names_and_broken_files(environ: dict[str, str], toml: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "logmill.toml"
    path.write_text(toml)
    with pytest.raises(ConfigError, match=message):
        load_config({}, environ, path)


def test_a_missing_or_undecodable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config({}, {}, tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_bytes(b"ENGINE = '\xff'")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config({}, {}, tmp_path / "bad.toml")


def test_toml_values_of_their_own_types(tmp_path: Path) -> None:
    path = tmp_path / "logmill.toml"
    path.write_text(
        "SPARK_UI = true\nMEMORY_LIMIT = 2000000000\nUSER_ID_COLUMN = ['user', 'uid']\ngenerator_ipv6 = 0\n"
    )
    config = load_config({}, {}, path)
    assert (config.SPARK_UI, config.MEMORY_LIMIT, config.GENERATOR_IPV6) == (True, 2 * 10**9, 0)
    assert config.columns["user_id"] == ("user", "uid")


def test_gates_and_rules_as_tables(tmp_path: Path) -> None:
    path = tmp_path / "logmill.toml"
    path.write_text(
        """
        [quality_gates]
        rejected = { warn = 0.001, fail = 0.01 }
        unknown_region = { fail = 1 }

        [record_rules]
        day = { max_minutes = 1440, action = "reject" }
        tv = { column = "device", allowed = ["tv", ""], action = "warn" }

        [record_rules.id]
        column = "video_id"
        pattern = 'v[0-9]+'
        action = "warn"
        """
    )
    config = load_config({}, {}, path)
    assert VALID["QUALITY_GATES"][1] == config.QUALITY_GATES
    assert VALID["RECORD_RULES"][1] == config.RECORD_RULES
    assert (Gate("rejected", None, 0.5),) == Config(QUALITY_GATES={"rejected": {"fail": 0.5}}).QUALITY_GATES


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("QUALITY_GATES", '{"rejecte": {"warn": 1}}', "no gate 'rejecte', expected rejected, duplicates"),
        ("QUALITY_GATES", '{"rejected": {"above": 1}}', "'above', expected only warn, fail"),
        ("QUALITY_GATES", '{"rejected": ', "no valid JSON"),
        ("RECORD_RULES", '{"a":' * 100_000, "nested too deeply"),
        ("RECORD_RULES", '{"a": {"colum": "c", "action": "warn"}}', "rule 'a' has 'colum'"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} \(from the environment, LOGMILL_{name}\): .*{message}"):
        load_config({}, {f"LOGMILL_{name}": text}, None)


def test_the_secret_key_is_no_setting() -> None:
    assert "sixteen bytes or" not in repr(load_config({}, {"LOGMILL_PSEUDONYM_KEY": "sixteen bytes or more"}, None))


def test_two_columns_may_not_share_a_name() -> None:
    with pytest.raises(ConfigError, match=r"LOG_ID_COLUMN and USER_ID_COLUMN.*'id'"):
        Config(LOG_ID_COLUMN=("id",), USER_ID_COLUMN=("uid", "id"))


@pytest.mark.parametrize(
    ("source", "intermediate", "output", "names"),
    [
        ("data", "data/between", "out", "INPUT_DIR.*INTERMEDIATE_DIR"),
        ("data/out", "between", "data", "INPUT_DIR.*OUTPUT_DIR"),
        ("out.versions/v1", "between", "out", "INPUT_DIR.*OUTPUT_DIR"),
        ("between/*.csv", "between", "out", "INPUT_DIR.*INTERMEDIATE_DIR"),
        ("**/*.csv", "between", "out", "INPUT_DIR.*INTERMEDIATE_DIR"),
        ("data", "out/between", "out", "INTERMEDIATE_DIR.*OUTPUT_DIR"),
        ("data", "out.versions", "out", "INTERMEDIATE_DIR.*OUTPUT_DIR"),
        ("data", "same", "./x/../same", "INTERMEDIATE_DIR.*OUTPUT_DIR"),
        ("data", "between", "/", "OUTPUT_DIR"),
        ("data", "between", "..", "OUTPUT_DIR"),
    ],
)
def test_folders_must_lie_apart(source: str, intermediate: str, output: str, names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        Config(INPUT_DIR=source, INTERMEDIATE_DIR=intermediate, OUTPUT_DIR=output)


def test_an_output_that_is_already_a_link_stays_apart(tmp_path: Path) -> None:
    (tmp_path / "out.versions/v1/data").mkdir(parents=True)
    (tmp_path / "out").symlink_to("out.versions/v1/data")
    assert Config(INPUT_DIR="logs", OUTPUT_DIR="out", INTERMEDIATE_DIR="between").OUTPUT_DIR == "out"
    with pytest.raises(ConfigError, match=r"INPUT_DIR.*OUTPUT_DIR"):
        Config(INPUT_DIR="out", OUTPUT_DIR="out", INTERMEDIATE_DIR="between")


def test_a_file_or_a_flat_glob_may_lie_beside_the_output() -> None:
    for source in ("*.csv", "data/*.csv", "data/a.csv"):
        Config(INPUT_DIR=source, OUTPUT_DIR="data/out", INTERMEDIATE_DIR="data/between")


@pytest.mark.parametrize("master", ["", "local[2]", "local[*]", "local", "yarn", "k8s://https://host:443"])
def test_spark_masters(master: str) -> None:
    config = Config(SPARK_MASTER=master)
    assert master == config.SPARK_MASTER


@pytest.mark.parametrize("place", ["host", "host:", "host:port", "host/7077", "http://host:7077", "a:1,b", "a:1,"])
def test_a_master_of_spark_needs_host_and_port(place: str) -> None:
    with pytest.raises(ConfigError, match=r"^SPARK_MASTER is .*expected empty, local\[N\], spark://host:port, yarn"):
        Config(SPARK_MASTER=f"spark://{place}")


@pytest.mark.parametrize("place", ["host:7077", "10.0.0.7:1", "[::1]:7077", "a.example.org:7077,b-2:7077"])
def test_masters_of_spark_may_be_several(place: str) -> None:
    assert f"spark://{place}" == Config(SPARK_MASTER=f"spark://{place}").SPARK_MASTER


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"TRUSTED_PROXIES": 1}, "TRUSTED_PROXIES is 1, but IP_ADDRESS_FORMAT plain is no list: expected forwarded"),
        ({"LOG_ID_COLUMN": ("id",), "LOG_ID_COLUMNS": ("a", "b")}, "both say what the id is: expected one of them"),
        ({"WATCH_TIME_FORMAT": "hh:mm:ss", "WATCH_TIME_UNIT": "seconds"}, "names its units itself: expected no unit"),
    ],
)
def test_settings_of_values_that_contradict_each_other_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)


def test_columns_of_logs_without_a_header() -> None:
    names = ["log_id", "user_id", "video", "ip_address", "watch_time(min)"]
    assert Config().COLUMNS == ()
    assert tuple(names) == load_config({}, {"LOGMILL_COLUMNS": ",".join(names)}, None).COLUMNS
    assert tuple(names) == load_config({}, {"LOGMILL_COLUMNS": json.dumps(names)}, None).COLUMNS
    assert load_config({}, {"LOGMILL_COLUMNS": ""}, None).COLUMNS == ()
    assert Config(COLUMNS=("id", *names[1:]), LOG_ID_COLUMN=("log_id", "id")).COLUMNS[0] == "id"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("log_id", "user_id", "ip_address"),
            r"COLUMNS names no column for watch_time: expected one of 'watch_time\(min\)'",
        ),
        (("id", "log_id", "user_id", "ip_address", "watch_time(min)"), "COLUMNS names 'id', 'log_id' for log_id"),
    ],
)
def test_columns_that_lack_one_or_name_it_twice_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(COLUMNS=names, LOG_ID_COLUMN=("id", "log_id"))


STORED = {"INPUT_DIR": "s3://b/in", "INTERMEDIATE_DIR": "s3://b/between", "OUTPUT_DIR": "s3://b/out"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "only executors of a cluster (SPARK_MASTER) exchange files over object storage"),
        ({"SPARK_MASTER": "local[2]"}, "only executors of a cluster"),
        ({"SPARK_MASTER": "yarn", "ENGINE": "polars"}, "only executors of a cluster"),
        ({"SPARK_MASTER": "yarn", "SPARK_PLAN": "sql"}, "Spark's own plan exchanges its files in a folder"),
    ],
)
def test_files_between_the_phases_lie_on_a_storage_for_executors_alone(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as raised:
        Config(**STORED, **settings)
    assert "\n" not in str(raised.value)
    assert Config(**STORED, SPARK_MASTER="yarn").INTERMEDIATE_DIR == "s3://b/between"


def test_on_a_cluster_paths_mean_the_same_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cluster = Config(INPUT_DIR="logs/*.csv", SPARK_MASTER="yarn")
    assert (f"{tmp_path}/logs/*.csv", f"{tmp_path}/pipeline_data/output") == (cluster.INPUT_DIR, cluster.OUTPUT_DIR)
    assert Config(INPUT_DIR="logs", SPARK_MASTER="yarn", ENGINE="polars").INPUT_DIR == "logs"
    assert Config(INPUT_DIR="logs", SPARK_MASTER="local[2]").INPUT_DIR == "logs"
