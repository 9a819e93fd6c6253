"""Change the six values below by hand; ``./logmill config`` shows what is in effect. All other settings follow them.

Of these places the first that names a setting wins: the command line (``--engine polars``, where the setting has an
option), the environment (``LOGMILL_ENGINE=polars``), a TOML file (``ENGINE = "polars"``; that of ``--config``, or of
LOGMILL_CONFIG, or ``logmill.toml`` in the working folder), and this file.
"""

WORKERS = None  # all usable cores; or a number of processes, such as 4
MEMORY_LIMIT = None  # 60 % of the memory, for all processes together; or "8GB"
ENGINE = "auto"  # Spark where there is Java and much input; "polars": no Java, fastest on one machine; "spark": insists
INPUT_DIR = "pipeline_data/input_logs"  # your logs: a folder, a file or a glob such as "/data/logs/2026-*.csv"
INTERMEDIATE_DIR = "pipeline_data/intermediate"  # about 0.6 x the input, on the fastest disk
OUTPUT_DIR = "pipeline_data/output"  # becomes a link to the newest version of the result

# machine                                          WORKERS  MEMORY_LIMIT
# laptop, 2 cores, 8 GB, used beside it            1        "3GB"
# laptop, 2 cores, 8 GB, for this alone            None     "6GB"
# server, 16 cores, 64 GB, for this alone          None     "52GB"
# shared host: what others leave you, for example  4        "8GB"
# container                                        None     None    its limits are respected

# ruff: noqa: E402, RUF009 - the values come first; setting() makes a dataclass field, not a default for all instances.

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from pipeline.errors import ConfigError
from pipeline.privacy import KEY_VARIABLE, MIN_KEY_BYTES
from pipeline.quality import Gate, Rule, gates, rules
from pipeline.reading.rotated_names import USUAL_ROTATED
from pipeline.reading.timestamp_format import timestamp_formats
from pipeline.reading.value_formats import DURATIONS, AddressFormat, WatchTimeFormat, WatchTimeUnit
from pipeline.versions.folders import check_exchange, check_folders
from utils.metrics import total_memory, usable_cores
from utils.settings import (
    Group,
    as_typed,
    choice,
    flag,
    integer,
    names,
    pattern,
    read_sources,
    read_toml,
    setting,
    setting_from,
    several_names,
    share,
    size,
    text,
)

CONFIG_FILE = "logmill.toml"
"""The settings file that is read where it lies in the working folder and no other is named."""
CONFIG_VARIABLE = "LOGMILL_CONFIG"
"""The variable of the environment that names a settings file."""
ALERT_KEY_VARIABLE = "LOGMILL_ALERT_KEY"
"""Names the variable with the key that signs the alerts of jobs."""
_NO_SETTINGS = (KEY_VARIABLE, CONFIG_VARIABLE, ALERT_KEY_VARIABLE)
"""Variables of this program that are no settings."""

SECTIONS = "ENVIRONMENT", "JOB"
"""Tables of a settings file that hold no settings of the program: see ``read_sections``."""

_SHIPPED = {
    "PREPROCESSING_WORKERS": (None, WORKERS),
    "MEMORY_LIMIT": (None, MEMORY_LIMIT),
    "ENGINE": ("auto", ENGINE),
    "INPUT_DIR": ("pipeline_data/input_logs", INPUT_DIR),
    "INTERMEDIATE_DIR": ("pipeline_data/intermediate", INTERMEDIATE_DIR),
    "OUTPUT_DIR": ("pipeline_data/output", OUTPUT_DIR),
}
"""(value as shipped, value now) of the settings at the top. One that was changed by hand is as good as any other that
the user has set: no test data is written into such an input."""

# Groups are only parts of Config: without methods of their own, --help of a command takes 15 ms less.
# fmt: off
Engine = Literal["auto", "spark", "polars"]


@dataclass(frozen=True, repr=False, eq=False)
class MachineSettings(Group):
    """Machine and engines.

    Change cores and memory where other programs need the machine, or where it is all yours: a run takes all usable
    cores and 60 % of the memory, within the limits of its container. Change ENGINE and the folders to suit the machine.
    """

    PREPROCESSING_WORKERS: int = setting_from(lambda: min(usable_cores(), 256) if WORKERS is None else WORKERS,
        integer(1, 256), unit="processes", option="--workers", also="WORKERS",
        shown="the usable cores" if WORKERS is None else str(WORKERS),
        meaning="Worker processes.", change="Other programs need some of the cores.")
    # Below 1 GB the interpreter, Polars and one worker with its chunk do not fit with room to spare. The 40 % that the
    # default leaves are for the system's file cache.
    MEMORY_LIMIT: int = setting_from(
        lambda: max(10**9, total_memory() * 6 // 10) if MEMORY_LIMIT is None else MEMORY_LIMIT,
        size(10**9), unit="bytes", option="--memory-limit",
        shown="60 % of the memory" if MEMORY_LIMIT is None else str(MEMORY_LIMIT),
        meaning="Ceiling for all processes together.",
        change="The machine is shared, or all yours.")
    ENGINE: Engine = setting(cast(Engine, ENGINE), choice(*get_args(Engine)), unit="name", option="--engine",
        meaning="auto: Spark on a cluster (SPARK_MASTER), which runs both phases; on one machine, Spark for Phase 2 "
            "where there is Java and the input has 5 GB or more; else the embedded engine.",
        change="polars starts no JVM and is faster on one machine; spark insists on Spark.")
    INPUT_DIR: str = setting(INPUT_DIR, text(), unit="path", option="--input",
        meaning="The activity logs: a folder, a file or a glob; also a URL of object storage.",
        change="Your logs lie elsewhere.")
    ROTATED_NAMES: str = setting(USUAL_ROTATED, pattern("a regular expression, or empty"), unit="pattern",
        meaning="What rotation puts between .csv (or .tsv) and the end of a name, or .gz and .zst; empty: nothing.",
        change="Your logs are rotated to other names.")
    INTERMEDIATE_DIR: str = setting(INTERMEDIATE_DIR, text(), unit="path", option="--intermediate",
        meaning="Files between the phases; on a cluster also a URL of object storage, where INPUT_DIR and OUTPUT_DIR "
            "are some, too.", change="Another disk is faster or has more room; executors share no folder.")
    OUTPUT_DIR: str = setting(OUTPUT_DIR, text(), unit="path", option="--output",
        meaning="The published result: a link to the folder of one complete version; resolve it once, then read. Also "
            "a URL of object storage, where `path` tells what to read.",
        change="Readers expect it elsewhere.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_folders(self.INPUT_DIR, self.INTERMEDIATE_DIR, self.OUTPUT_DIR)


Keep = Literal["longest", "first", "last"]
Codec = Literal["zstd", "snappy", "lz4", "gzip", "none"]
TableFormat = Literal["parquet", "delta"]


@dataclass(frozen=True, repr=False, eq=False)
class ResultSettings(Group):
    """Meaning of the result.

    Change these settings where your logs differ from the usual (corrected events, long fields), or where readers of the
    result need another compression or older versions.
    """

    DEDUPE_KEEP: Keep = setting("longest", choice(*get_args(Keep)), unit="name",
        meaning="Which content of a log_id wins: the longest watch time, the earliest or the latest timestamp.",
        change="Your players correct events rather than extend them.")
    COMPRESSION: Codec = setting("zstd", choice(*get_args(Codec)), unit="codec",
        meaning="Compression of the output's Parquet files.", change="A reader does not know zstd.")
    TABLE_FORMAT: TableFormat = setting("parquet", choice(*get_args(TableFormat)), unit="name",
        meaning="delta: the same Parquet files are a Delta table too, in OUTPUT_DIR.delta, with one commit a version "
            "(extra: requirements-delta.txt).",
        change="Your readers know Delta: whatever they open is one version, and they can go back.")
    MAX_RECORD_BYTES: int = setting(2**20, size(256, 64 * 2**20), unit="bytes",
        meaning="Longest record; a quoted field must close within it.", change="Your logs carry longer fields.")
    MAX_EXPANSION_RATIO: int = setting(100, integer(1, 1_000_000), unit="times",
        meaning="How much larger than itself a compressed input may become (16 MiB are always allowed).",
        change="Your logs repeat themselves so much that a harmless file is refused.")
    KEEP_VERSIONS: int = setting(3, integer(1, 1000), unit="versions",
        meaning="Published versions that are kept; a run that finds nothing new makes none.",
        change="You want to go back further, or need the room.")


_COLUMN = "Names under which the column is found in a header; the first is its own."
_RENAMED = "Your logs call the column something else."


@dataclass(frozen=True, repr=False, eq=False)
class ColumnSettings(Group):
    """Columns of the logs.

    Change these settings where headers of your logs have other names than Logmill's own.
    """

    LOG_ID_COLUMN: tuple[str, ...] = setting(("log_id",), names(), unit="names", meaning=_COLUMN, change=_RENAMED)
    LOG_ID_COLUMNS: tuple[str, ...] = setting((), several_names(), unit="names",
        meaning="Columns that make the id together, instead of LOG_ID_COLUMN; the name of another column setting "
            "stands for all names of it. No two ids are equal by luck. Read at half the speed.",
        change="Your logs have no id, but user, time and title are one event.")
    USER_ID_COLUMN: tuple[str, ...] = setting(("user_id",), names(), unit="names", meaning=_COLUMN, change=_RENAMED)
    TIMESTAMP_COLUMN: tuple[str, ...] = setting(("timestamp",), names(), unit="names",
        meaning=_COLUMN, change=_RENAMED)
    IP_ADDRESS_COLUMN: tuple[str, ...] = setting(("ip_address",), names(), unit="names",
        meaning=_COLUMN, change=_RENAMED)
    WATCH_TIME_COLUMN: tuple[str, ...] = setting(("watch_time(min)",), names(), unit="names",
        meaning=_COLUMN, change=_RENAMED)

    COLUMNS: tuple[str, ...] = setting((), names(optional=True), unit="names",
        meaning="Names of all columns, in their order, of logs without a header; empty: a log without one is refused. "
            "A log that has a header is read by its own.",
        change="Your logs have no header.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.LOG_ID_COLUMNS and self.LOG_ID_COLUMN != ("log_id",):
            raise ValueError(
                "LOG_ID_COLUMN and LOG_ID_COLUMNS both say what the id is: expected one of them. Remove the other."
            )
        self._check_names()
        if self.COLUMNS:
            self._check_columns()

    def _check_columns(self) -> None:
        """COLUMNS must name each column that every run reads, once."""
        for column, accepted in self.columns.items():
            found = [name for name in self.COLUMNS if name in accepted]
            if len(found) != 1 and (found or column != "timestamp"):
                of_id = column.startswith("log_id ")
                raise ValueError(
                    f"COLUMNS names {', '.join(map(repr, found)) or 'no column'} for {column}: expected one of "
                    f"{', '.join(map(repr, accepted))} ({'LOG_ID_COLUMNS' if of_id else f'{column.upper()}_COLUMN'}). "
                    "Name each column once."
                )

    def _check_names(self) -> None:
        owners: dict[str, str] = {}
        for column, accepted in self._own_columns.items():
            setting_name = f"{column.upper()}_COLUMN"
            for name in accepted:
                if name in owners:
                    raise ValueError(
                        f"{owners[name]} and {setting_name} both accept the column {name!r}: "
                        "expected different names. Remove it from one of them."
                    )
                owners[name] = setting_name

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Accepted header names by the name that the program uses for the column; an id of several columns has several
        (``pipeline/reading/log_ids.py``)."""
        columns = self._own_columns
        if not self.LOG_ID_COLUMNS:
            return columns
        del columns["log_id"]
        known = {name: accepted for accepted in columns.values() for name in accepted}
        parts = {f"log_id {n}": known.get(name, (name,)) for n, name in enumerate(self.LOG_ID_COLUMNS, start=1)}
        return parts | columns

    @property
    def _own_columns(self) -> dict[str, tuple[str, ...]]:
        return {
            "log_id": self.LOG_ID_COLUMN,
            "user_id": self.USER_ID_COLUMN,
            "timestamp": self.TIMESTAMP_COLUMN,
            "ip_address": self.IP_ADDRESS_COLUMN,
            "watch_time": self.WATCH_TIME_COLUMN,
        }


@dataclass(frozen=True, repr=False, eq=False)
class ValueSettings(Group):
    """Values of the logs.

    Change these settings where your logs write times in another unit or form. The summary and the reason of a refusal
    name the setting where values look as if it were wrong.
    """

    WATCH_TIME_UNIT: WatchTimeUnit = setting("minutes", choice(*get_args(WatchTimeUnit)), unit="name",
        meaning="Unit of a watch time that is a number; it is converted to minutes exactly, and rounded once.",
        change="Your players count in another unit.")
    WATCH_TIME_FORMAT: WatchTimeFormat = setting("number", choice(*get_args(WatchTimeFormat)), unit="name",
        meaning="number: 62.5; decimal_comma: 62,5; hh:mm:ss: 01:02:30 or 1:02:30.5; iso8601: PT1H2M30S. The last two "
            "name their units themselves, and are read at half the speed.",
        change="Watch times are rejected as watch_time_not_a_number.")
    TIMESTAMP_FORMAT: tuple[str, ...] = setting((), timestamp_formats(), unit="patterns",
        meaning="Patterns of strptime for timestamps, tried in their order before the usual forms (ISO 8601; epoch in "
            "s, ms, us or ns); used only where DEDUPE_KEEP is first or last, and then at half the speed.",
        change="The summary says that timestamps could not be read.")

    IP_ADDRESS_FORMAT: AddressFormat = setting("plain", choice(*get_args(AddressFormat)), unit="name",
        meaning="plain: 1.2.3.4; endpoint: also 1.2.3.4:443, [2001:db8::1]:443 and fe80::1%eth0; forwarded: a list of "
            "these with commas between them, as in X-Forwarded-For.",
        change="Many events have the region INVALID.")
    TRUSTED_PROXIES: int = setting(0, integer(0, 100), unit="proxies",
        meaning="Which address of a list counts: 0, the first, which clients can forge; else the one that the "
            "outermost of so many proxies of yours has added, so many places from the end.",
        change="Requests come through proxies that you trust.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.TRUSTED_PROXIES and self.IP_ADDRESS_FORMAT != "forwarded":
            raise ValueError(
                f"TRUSTED_PROXIES is {self.TRUSTED_PROXIES}, but IP_ADDRESS_FORMAT {self.IP_ADDRESS_FORMAT} is no "
                "list: expected forwarded. Change one of the two."
            )
        if self.WATCH_TIME_FORMAT in DURATIONS and self.WATCH_TIME_UNIT != "minutes":
            raise ValueError(
                f"WATCH_TIME_UNIT is {self.WATCH_TIME_UNIT!r}, but WATCH_TIME_FORMAT {self.WATCH_TIME_FORMAT} names "
                "its units itself: expected no unit beside it. Remove one of the two."
            )


GeoLevel = Literal["region", "country"]


@dataclass(frozen=True, repr=False, eq=False)
class GeographySettings(Group):
    """Geography.

    Change these settings where you report by country or by regions of your own, or where you have a better database.
    """

    GEO_DATABASE: str = setting("", text("the path of an MMDB file, or empty", allow_empty=True), unit="path",
        option="--geo-db",
        meaning="MMDB file for IP addresses; empty: the table that is shipped.",
        change="You have a newer or better database.")
    GEO_LEVEL: GeoLevel = setting("region", choice(*get_args(GeoLevel)), unit="name", option="--geo-level",
        meaning="Group by continent (or GEO_REGIONS) or by ISO country.", change="You want totals per country.")
    GEO_REGIONS: str = setting("", text("the path of a file, or empty", allow_empty=True), unit="path",
        meaning="Your own table of country to region; empty: continents.",
        change="You report by, say, EMEA, APAC and AMER.")


@dataclass(frozen=True, repr=False, eq=False)
class PrivacySettings(Group):
    """Privacy.

    Whoever answers for personal data decides on these settings, before a first run writes any.
    """

    QUARANTINE_RETENTION_DAYS: int = setting(30, integer(1, 36_500), unit="days",
        meaning="How long what stood in rejected records and conflicts is kept after their file was read; the next run "
            "removes what is older: quarantines, and in later ones value and raw. Place and reason stay.",
        change="Law or habit asks for another time.")
    QUARANTINE_RAW: bool = setting(True, flag(), unit="yes/no",
        meaning="Keep the bytes of rejected records and conflicts, which may hold personal data, in the quarantine.",
        change="Nobody may keep them; then the source file, line and byte offset still tell where they are.")
    PSEUDONYMIZE_USERS: bool = setting(False, flag(), unit="yes/no",
        meaning="Replace every user_id by its HMAC-SHA-256 under your key (PSEUDONYM_KEY_FILE or the environment "
            f"variable {KEY_VARIABLE}) before anything is written; the quarantine then has no raw records.",
        change="Whoever reads the result must not learn who watched.")
    PSEUDONYM_KEY_FILE: str = setting("", text("the path of a file, or empty", allow_empty=True), unit="path",
        meaning=f"File with the key of PSEUDONYMIZE_USERS, at least {MIN_KEY_BYTES} bytes (a line end after it is not "
            f"part of it); empty: the key is in {KEY_VARIABLE}.",
        change="Your secrets come as files.")


@dataclass(frozen=True, repr=False, eq=False)
class QualitySettings(Group):
    """Quality.

    Whoever knows the logs says what a valid record is, and from which share of bad records nothing is published. By
    default there is no rule, and no gate but one: an input with records of which none counts.
    """

    QUALITY_GATES: tuple[Gate, ...] = setting((), gates(), unit="shares by name",
        meaning="Limits for a run: above warn the summary warns, above fail nothing is published (exit code 4).",
        change="Nobody should read a result of bad logs.")
    RECORD_RULES: tuple[Rule, ...] = setting((), rules(), unit="rules by name",
        meaning="What a valid record must be besides: one that breaks a rule is counted (warn) or rejected (reject).",
        change="You know what your logs may hold.")
    ALLOW_EMPTY_RESULT: bool = setting(False, flag(), unit="yes/no",
        meaning="Publish a result without rows though the input has records or refused files, and nothing of it counts "
            "(no: exit code 4). An input without any record is always published.",
        change="Your logs may well have nothing that counts.")


SparkPlan = Literal["auto", "kernel", "sql"]
_SPARK_MASTER = "empty, local[N], spark://host:port, yarn or k8s://..."


@dataclass(frozen=True, repr=False, eq=False)
class SparkSettings(Group):
    """Spark.

    Change these settings where you have a cluster, or where Spark runs out of memory. A run with ENGINE = polars uses
    none of them.
    """

    SPARK_MASTER: str = setting("", text(_SPARK_MASTER, allow_empty=True), unit="address",
        meaning="Spark master; empty: this machine, with PREPROCESSING_WORKERS threads.",
        change="You have a cluster.")
    SPARK_DRIVER_MEMORY: int = setting(10**9, size(512 * 2**20), unit="bytes",
        meaning="Heap of the driver JVM (all of Spark when it runs on this machine).",
        change="Spark reports OutOfMemoryError.")
    SPARK_EXECUTOR_MEMORY: int = setting(10**9, size(512 * 2**20), unit="bytes",
        meaning="Heap of each executor on a cluster.", change="SPARK_PLAN is sql and its tasks spill.")
    SPARK_EXECUTORS: int = setting(0, integer(0, 100_000), unit="executors",
        meaning="Executors that a run asks of a cluster; 0: all that a standalone cluster has room for, else 2.",
        change="Others need the cluster, too; or it is YARN or Kubernetes.")
    SPARK_EXECUTOR_CORES: int = setting(2, integer(1, 256), unit="cores",
        meaning="Cores of each executor on a cluster: so many tasks run there at once.",
        change="The machines of the cluster have more cores, or fewer.")
    SPARK_PYTHON_MEMORY: int = setting(2 * 10**9, size(400_000_000), unit="bytes",
        meaning="Memory of all Python workers of an executor together, beside its heap; each core has an equal share.",
        change="The machines of the cluster have more memory for each core, or less.")
    SPARK_EXECUTOR_PYTHON: str = setting("", text("the path of a program, or empty", allow_empty=True), unit="path",
        meaning="Python of the executors, with the packages of requirements.txt; empty: the path of this Python.",
        change="Python lies elsewhere on the machines of the cluster.")
    SPARK_SHUFFLE_PARTITIONS: int = setting(0, integer(0, 100_000), unit="partitions",
        meaning="Partitions of a Spark SQL shuffle; 0: chosen.",
        change="SPARK_PLAN is sql and its tasks are too large or too many.")
    SPARK_PLAN: SparkPlan = setting("auto", choice(*get_args(SparkPlan)), unit="name",
        meaning="kernel: the same kernels on the executors; sql: Spark's own plan; auto: kernel, or sql where the rows "
            "of a bucket fit no worker's memory. Equal values.",
        change="You want Spark's spill.")
    SPARK_UI: bool = setting(False, flag(), unit="yes/no",
        meaning="Spark's web page on port 4040 while a run lasts.", change="You want to watch Spark's jobs.")

    @property
    def spark_is_local(self) -> bool:
        """Whether Spark runs on this machine, inside the driver's JVM."""
        return not self.SPARK_MASTER or self.SPARK_MASTER.startswith("local")

    def __post_init__(self) -> None:
        super().__post_init__()
        place = r"([^\s:/,\[\]]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}"
        masters = rf"local(\[[0-9*,]+\])?|yarn|spark://{place}(,{place})*|k8s://\S+"
        if self.SPARK_MASTER and not re.fullmatch(masters, self.SPARK_MASTER):
            raise ValueError(f"SPARK_MASTER is {self.SPARK_MASTER!r}: expected {_SPARK_MASTER}.")


LogFormat = Literal["text", "json"]


@dataclass(frozen=True, repr=False, eq=False)
class QuestionSettings(Group):
    """Questions and messages.

    Change these settings where answers are too short for you, or where another program takes the port or reads the
    messages. No result depends on them.
    """

    QUERY_ROWS: int = setting(1000, integer(1, 10**9), unit="rows", option="--limit-rows",
        meaning="Rows that a query shows at most.", change="You export a larger result.")
    QUERY_SECONDS: int = setting(10, integer(1, 86_400), unit="seconds", option="--timeout",
        meaning="Time that a query may take.", change="You ask much of a large result.")
    EXPLAIN_ROWS: int = setting(20, integer(1, 10**9), unit="rows", option="--limit-rows",
        meaning="Copies or events that an explanation shows at most, the longest first; it counts all.",
        change="You want to see all of them.")
    DASHBOARD_PORT: int = setting(8501, integer(0, 65_535), unit="port", option="--port",
        meaning="Port of the dashboard on 127.0.0.1; 0: any that is free.", change="Another program has it.")
    LOG_FORMAT: LogFormat = setting("text", choice(*get_args(LogFormat)), unit="name", option="--log-format",
        meaning="Messages on stderr: for people, or one JSON object a line.", change="A log collector reads them.")


@dataclass(frozen=True, repr=False, eq=False)
class GeneratorSettings(Group):
    """Generator of test data.

    Change these settings to see Logmill work on more data, or on data as clean as yours. A run on your own logs uses
    none of them.
    """

    GENERATOR_FILES: int = setting(8, integer(1, 9_999), unit="files", option="--files",
        meaning="Number of files.", change="You want more or larger files.")
    GENERATOR_SIZE: int = setting(250_000_000, size(1000), unit="bytes", option="--size",
        meaning="Size of all files together.", change="You want to see it work on more.")
    GENERATOR_USERS: int = setting(100_000, integer(1, 100_000_000), unit="users", option="--users",
        meaning="Number of users.", change="You want more rows in the result.")
    GENERATOR_DUPLICATES: float = setting(0.05, share(), unit="share", option="--duplicates",
        meaning="Records that repeat one of the same file.", change="Your logs repeat more or less.")
    GENERATOR_CROSS_FILE_DUPLICATES: float = setting(0.015, share(), unit="share", option="--cross-file-duplicates",
        meaning="Records that repeat one of another file.", change="Your logs repeat more or less.")
    GENERATOR_CONFLICTS: float = setting(0.0001, share(0.05), unit="share",
        meaning="Records that re-send a log_id with other content.", change="Your logs disagree more or less.")
    GENERATOR_MALFORMED: float = setting(0.00005, share(0.05), unit="share",
        meaning="Records that must be rejected.", change="Your logs are dirtier or cleaner.")
    GENERATOR_QUOTED: float = setting(0.01, share(), unit="share",
        meaning="Records with a quoted field.", change="Your logs quote more or less.")
    GENERATOR_IPV6: float = setting(0.30, share(), unit="share",
        meaning="Users with an IPv6 address.", change="Your users have more or fewer.")
    GENERATOR_SEED: int = setting(42, integer(0, 2**63 - 1), unit="number", option="--seed",
        meaning="The same seed gives the same bytes.", change="You want other data.")


@dataclass(frozen=True, repr=False, eq=False)
class MeasurementSettings(Group):
    """Internals.

    Change these settings only to measure: no value of a result depends on them, and what is chosen is right.
    """

    COMPILED_PARSER: bool = setting(True, flag(), unit="yes/no",
        meaning="Parse records by compiled code (built once, into the user's cache); no: Polars parses all.",
        change="Only to compare: the values are equal, reading takes twice as long, and far longer with JSON columns.")
    CHUNK_BYTES: int = setting(2 * 2**20, size(64, 2**30), unit="bytes",
        meaning="How much a worker parses at a time.",
        change="Only to measure: larger is slower and needs more memory.")
    SPLIT_BYTES: int = setting(0, size(64, 2**31, zero=True), unit="bytes",
        meaning="Length of the parts that large files are cut into; 0: chosen from memory and input.",
        change="Only to measure.")
    BUCKETS: int = setting(0, integer(0, 1024, ", a power of two, or 0", lambda number: number & (number - 1) == 0),
        unit="buckets",
        meaning="Parts of Phase 2, by user; 0: chosen from memory and input.", change="Only to measure.")
# fmt: on


@dataclass(frozen=True)
class Config(
    MachineSettings,
    ResultSettings,
    ColumnSettings,
    ValueSettings,
    GeographySettings,
    PrivacySettings,
    QualitySettings,
    SparkSettings,
    QuestionSettings,
    GeneratorSettings,
    MeasurementSettings,
):
    """The validated settings of one run. Making one with a value that is not allowed raises ConfigError."""

    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The origin of each value that is not the default, such as ``environment, LOGMILL_INPUT_DIR``."""

    def __post_init__(self) -> None:
        on_cluster = self.ENGINE != "polars" and not self.spark_is_local
        try:
            super().__post_init__()
            check_exchange(self.INTERMEDIATE_DIR, on_cluster=on_cluster, sql=self.SPARK_PLAN == "sql")
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if on_cluster:
            for name in ("INPUT_DIR", "INTERMEDIATE_DIR", "OUTPUT_DIR", "PSEUDONYM_KEY_FILE"):
                path = getattr(self, name)
                if path and "://" not in path:  # executors work in folders of their own
                    object.__setattr__(self, name, os.path.abspath(path))


def find_config_file(environ: Mapping[str, str]) -> Path | None:
    """The settings file where the command line names none: that of LOGMILL_CONFIG, or logmill.toml in this folder."""
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    return Path(CONFIG_FILE) if os.path.lexists(CONFIG_FILE) else None


def read_sections(toml_path: Path | None, environment: str | None) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """(settings of an environment, tables of jobs) of a TOML file.

    ``environment``: its name, as in ``[environment.production]``. The tables ``[job.NAME]`` are those of all
    environments with those of this one over them. Raises ConfigError where the file has no such environment.
    """
    try:
        file = read_toml(toml_path) if toml_path else {}
    except ValueError as error:
        raise ConfigError(str(error)) from None
    environments, jobs = _table(file, "ENVIRONMENT"), _table(file, "JOB")
    if environment is None:
        return {}, jobs
    if environment not in environments:
        known = ", ".join(environments) or "none"
        raise ConfigError(
            f"--environment: there is no [environment.{environment}] in {toml_path or CONFIG_FILE}. There is: {known}."
        )
    chosen = _table(environments, environment)
    own = _table(chosen, "job")
    both = {name: {**_table(jobs, name), **_table(own, name)} for name in (*jobs, *own)}
    return {(name.upper() if name.islower() else name): value for name, value in chosen.items() if name != "job"}, both


def _table(tables: Mapping[str, object], name: str) -> dict[str, object]:
    found = tables.get(name, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{name.lower()} is {found!r}, expected a table such as [{name.lower()}.NAME]")
    return found


def load_config(
    cli: Mapping[str, object],
    environ: Mapping[str, str],
    toml_path: Path | None,
    shorts: Mapping[str, str] | None = None,
    section: Mapping[str, object] | None = None,
) -> Config:
    """Settings from the command line, then the environment, then the TOML file, then the defaults above.

    Args:
        cli: raw values by setting name; None means that the option was not given.
        environ: all environment variables; those that begin with ``LOGMILL_`` are settings, but for the secret keys and
            the name of a settings file.
        shorts: short options that were typed, by setting name; messages begin with them.
        toml_path: a TOML file, or None. Paths in it are relative to the current folder, as everywhere.
        section: the settings of an environment, which win over the rest of the file.

    Raises:
        ConfigError: an unknown name, a value that is not allowed, an unreadable file; the message names where.
    """
    variables = {name: value for name, value in environ.items() if name not in _NO_SETTINGS}
    try:
        values, origins = read_sources(Config, cli, variables, "LOGMILL_", toml_path, shorts or {}, SECTIONS, section)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    by_hand = {name: "config.py" for name, (shipped, now) in _SHIPPED.items() if now != shipped}
    config = Config(**values, origins=by_hand | origins)
    for name, path in (("GEO_DATABASE", config.GEO_DATABASE), ("GEO_REGIONS", config.GEO_REGIONS)):
        if path and not Path(path).is_file():
            fault = f"{name} is {path!r}: expected an existing file, found none. Check the path."
            raise ConfigError(as_typed(fault, config.origins))
    return config


if __name__ == "__main__":
    import sys

    from utils.settings import describe

    try:
        print(describe(Config()))
    except ConfigError as fault:
        sys.exit(f"error: {fault}")
