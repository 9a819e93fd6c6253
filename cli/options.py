"""Every option and argument of the command line, and the setting that each overrides."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

from cli.settings import import_settings
from utils.units import format_size


@dataclass(frozen=True)
class Option:
    """An option or an argument of the command line.

    Attributes:
        name: as it is typed; the name of an argument has no leading ``--``.
        help: what ``--help`` and docs/commands.md say of it, without the default.
        metavar: how help names the value; a flag has none.
        setting: the setting in ``config.py`` that the option overrides.
        section: the heading of ``--help`` under which it stands.
        short: its short form, such as ``-i``.
        more: further keywords of ``argparse.ArgumentParser.add_argument``.
    """

    name: str
    help: str
    metavar: str | None = None
    setting: str | None = None
    _: KW_ONLY
    section: str = "Options"
    short: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All that may be typed for it, the short form first."""
        return (self.short, self.name) if self.short else (self.name,)

    @property
    def usage(self) -> str:
        """How the first line of ``--help`` names an argument, such as ``[ID]``; an option is not named there."""
        if self.name.startswith("-") or self.metavar is None:
            return ""
        forms = {"?": f"[{self.metavar}]", "+": f"{self.metavar} [{self.metavar} ...]"}
        return forms.get(self.more.get("nargs", ""), self.metavar)

    @property
    def full_help(self) -> str:
        """The help with the default in brackets."""
        return f"{self.help} [{self.default}]" if self.default else self.help

    @property
    def default(self) -> str:
        """What is taken without the option, as text; empty where help need not say so."""
        if self.setting is None:
            return str(self.more.get("default") or "")
        config = import_settings()
        from utils.settings import declared  # which only help with defaults needs

        about = declared(config.Config)[self.setting]
        if about.metadata["shown"]:
            return str(about.metadata["shown"])
        value = about.default
        return format_size(value) if about.metadata["unit"] == "bytes" and isinstance(value, int) else str(value)

    @property
    def keywords(self) -> dict[str, Any]:
        """Keywords of ``argparse.ArgumentParser.add_argument``; the value of a setting is stored under its name."""
        takes = {"metavar": self.metavar} if self.metavar else {"action": "store_true"}
        stored = {"dest": self.setting} if self.setting else {}
        return {"help": self.full_help.replace("%", "%%"), **takes, **stored, **self.more}

    def with_help(self, text: str) -> "Option":
        """A copy with another help text, for a command that gives the option a narrower meaning."""
        return replace(self, help=text)


ARGUMENTS, PLACES_SECTION, MACHINE, GEOGRAPHY = "Arguments", "Input and output", "Machine", "Geography"
FILES, ANSWER, LIMITS, MESSAGES = "Files that count", "Answer", "Limits", "Settings and messages"
DATA = "Test data"

CONFIG = Option(
    "--config",
    "TOML file with settings; without it logmill.toml, where it lies here",
    "FILE",
    section=MESSAGES,
    short="-c",
    more={"type": Path},
)
NO_CONFIG = Option("--no-config", "read no settings file, not even logmill.toml", section=MESSAGES)
QUIET = Option("--quiet", "no progress and no summary, errors only", section=MESSAGES, short="-q")
DEBUG = Option("--debug", "show the traceback of an error", section=MESSAGES, short="-v")
LOG_FORMAT = Option(
    "--log-format", "messages on stderr: text, or json (an object a line)", "NAME", "LOG_FORMAT", section=MESSAGES
)
NO_COLOR = Option("--no-color", "no colours on a terminal, as with NO_COLOR in the environment", section=MESSAGES)
SHOW_VERSION = Option(
    "--version",
    "show versions and commit, and do nothing else",
    section=MESSAGES,
    short="-V",
    more={"dest": "show_version"},
)
COMMON = CONFIG, NO_CONFIG, QUIET, DEBUG, LOG_FORMAT, NO_COLOR, SHOW_VERSION
"""Every command has these, as its last."""
JSON = Option("--json", "one JSON object on stdout, also on failure", section=ANSWER)

INPUT = Option("--input", "a folder, file, 'glob' or URL", "PATH", "INPUT_DIR", section=PLACES_SECTION, short="-i")
OUTPUT = Option("--output", "where the result is published", "DIR", "OUTPUT_DIR", section=PLACES_SECTION, short="-o")
INTERMEDIATE = Option(
    "--intermediate", "files between the phases; on a cluster also a URL", "DIR", "INTERMEDIATE_DIR",
    section=PLACES_SECTION,
)  # fmt: skip
PLACES = OUTPUT, INTERMEDIATE

ENGINE = Option("--engine", "auto, spark or polars", "NAME", "ENGINE", section=MACHINE)
WORKERS = Option("--workers", "worker processes", "N", "PREPROCESSING_WORKERS", section=MACHINE, short="-w")
MEMORY_LIMIT = Option("--memory-limit", "ceiling for all processes", "SIZE", "MEMORY_LIMIT", section=MACHINE)
GEO_DB = Option("--geo-db", "MMDB file instead of the table that is shipped", "FILE", "GEO_DATABASE", section=GEOGRAPHY)
GEO_LEVEL = Option("--geo-level", "region or country", "LEVEL", "GEO_LEVEL", section=GEOGRAPHY)
FULL_REFRESH = Option("--full-refresh", "start over: only the files of this input count", section=FILES)
ADD = Option("--add", "count this input besides the one before", section=FILES)
PRUNE_MISSING = Option("--prune-missing", "files that have left no longer count", section=FILES)
SETTINGS = INPUT, *PLACES, ENGINE, WORKERS, MEMORY_LIMIT, GEO_DB, GEO_LEVEL
RUN = *SETTINGS, FULL_REFRESH, ADD, PRUNE_MISSING, JSON
CLUSTER = Option("--cluster", "predict a first run on a cluster, such as 8x16", "NODESxCORES", section=MACHINE)
STORAGE = Option(
    "--storage", "where its files lie: disk (shared) or s3", "NAME", section=MACHINE, more={"default": "disk"}
)
AS_IF = Option("--as-if", "... over so many bytes of such records, in logs of 1 GB", "SIZE", section=MACHINE)
DRY_RUN = Option("--dry-run", "say what a run would do, and do nothing", section=ANSWER)
PROFILE = Option("--profile", "show the time of every stage, on stderr with --json", section=ANSWER)
REPLAYED = Option(
    "replay", "CSV of records that were corrected, with a header", "FILE", section=ARGUMENTS, more={"nargs": "+"}
)

MEND_FILE = Option(
    "--output",
    "the file to write; there must be none",
    "FILE",
    section=PLACES_SECTION,
    short="-o",
    more={"dest": "mend_file", "default": "mend.csv"},
)
PUBLISHED = Option(
    "--published",
    "where the result is published; without it pipeline_data/output",
    "DIR",
    section=PLACES_SECTION,
    more={"dest": "OUTPUT_DIR"},
)

GENERATOR = (
    Option("--files", "number of files", "N", "GENERATOR_FILES", section=DATA),
    Option("--size", "size of all files together", "SIZE", "GENERATOR_SIZE", section=DATA),
    Option("--users", "number of users", "N", "GENERATOR_USERS", section=DATA),
    Option("--duplicates", "records that repeat one of the same file", "SHARE", "GENERATOR_DUPLICATES", section=DATA),
    Option(
        "--cross-file-duplicates", "... one of another file", "SHARE", "GENERATOR_CROSS_FILE_DUPLICATES", section=DATA
    ),
    Option("--seed", "the same seed gives the same bytes", "N", "GENERATOR_SEED", section=DATA),
    Option(
        "--output",
        "the folder to fill; without it pipeline_data/input_logs",
        "DIR",
        section=PLACES_SECTION,
        short="-o",
        more={"dest": "generate_into"},
    ),
    Option("--force", "replace other test data, and write beside other logs", section=PLACES_SECTION),
)

SQL = Option("sql", "one query, such as 'FROM runs'", "SQL", section=ARGUMENTS)
FORMAT = Option("--format", "table, csv or json", "NAME", section=ANSWER, more={"default": "table"})
LIMIT_ROWS = Option("--limit-rows", "rows that are shown at most", "N", "QUERY_ROWS", section=LIMITS)
TIMEOUT = Option("--timeout", "time that a query may take", "SECONDS", "QUERY_SECONDS", section=LIMITS)
QUERY_LIMITS = (
    LIMIT_ROWS,
    TIMEOUT,
    *PLACES,
    replace(MEMORY_LIMIT, help="memory that a query may take", section=LIMITS),
)
OPEN = Option("--open", "open the page in a browser", section=ANSWER, more={"dest": "open_browser"})
HOST = Option(
    "--host",
    "address to listen at; 0.0.0.0 for other machines, and in a container",
    "ADDRESS",
    section=MACHINE,
    more={"default": "127.0.0.1"},
)
PORT = Option("--port", "port of the page; 0: any that is free", "N", "DASHBOARD_PORT", section=MACHINE)

NO_SPARK = Option(
    "--no-spark", "do not try to start Spark", section=MACHINE, more={"dest": "spark", "action": "store_false"}
)
LOG_ID = Option(
    "log_id",
    "the log_id, exactly as in the logs (LOG_ID_COLUMNS: a JSON list)",
    "ID",
    section=ARGUMENTS,
    more={"nargs": "?"},
)
EXPLAIN_ROWS = Option("--limit-rows", "copies or events that are shown at most", "N", "EXPLAIN_ROWS", section=LIMITS)
USER = Option("--user", "explain the total of this user instead", "USER_ID", section=ARGUMENTS)
VERSION = Option(
    "version",
    "a version that status lists; without it the one before",
    "VERSION",
    section=ARGUMENTS,
    more={"nargs": "?"},
)
SHELL = Option("shell", "bash, zsh, fish or tcsh", "SHELL", section=ARGUMENTS)

JOB = Option("job", "a job that jobs lists, or the path of your own", "JOB", section=ARGUMENTS)
JOB_ACTION = Option(
    "action",
    "run, plan, status, check, docs, query, rollback, load, forget, audit, backup, restore; without it run",
    "ACTION",
    section=ARGUMENTS,
    more={"nargs": "?"},
)
JOB_WHAT = Option(
    "what",
    "a query, a version, ids, a place, or a URL for docs or load",
    "WHAT",
    section=ARGUMENTS,
    more={"nargs": "*"},
)
JOB_OPTIONS = (
    Option("--source", "folder or URL of the sources; without it demo data", "PLACE", section=PLACES_SECTION),
    Option(
        "--output",
        "where the tables are published; without it pipeline_data/jobs/JOB/output",
        "DIR",
        section=PLACES_SECTION,
        short="-o",
        more={"dest": "job_output"},
    ),
    Option("--as-of", "moment of the run, such as 2026-11-30; without it now", "TIME", section=FILES),
    replace(FULL_REFRESH, help="extract and compute everything again"),
    Option(
        "--only",
        "make only these tables, and what they are made of",
        "TABLE",
        section=FILES,
        more={"nargs": "+", "default": [], "action": "extend"},
    ),
    Option("--environment", "a section [environment.NAME] of the settings file", "NAME", section=MESSAGES),
    Option(
        "--set",
        "settings of the job, such as days=30",
        "NAME=VALUE",
        section=MESSAGES,
        more={"nargs": "+", "default": [], "action": "extend", "dest": "assigned"},
    ),
    ENGINE,
    WORKERS,
    MEMORY_LIMIT,
    FORMAT,
    JSON,
)
