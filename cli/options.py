"""Every option and argument of the command line, and the setting that each overrides."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Option:
    """An option or an argument of the command line.

    Attributes:
        name: as it is typed; the name of an argument has no leading ``--``.
        help: what ``--help`` and docs/commands.md say of it.
        metavar: how help names the value; a flag has none.
        setting: the setting in ``config.py`` that the option overrides.
        more: further keywords of ``argparse.ArgumentParser.add_argument``.
    """

    name: str
    help: str
    metavar: str | None = None
    setting: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usage(self) -> str:
        """How the first line of ``--help`` names an argument, such as ``[ID]``; an option is not named there."""
        if self.name.startswith("-") or self.metavar is None:
            return ""
        forms = {"?": f"[{self.metavar}]", "+": f"{self.metavar} [{self.metavar} ...]"}
        return forms.get(self.more.get("nargs", ""), self.metavar)

    @property
    def keywords(self) -> dict[str, Any]:
        """Keywords of ``argparse.ArgumentParser.add_argument``; the value of a setting is stored under its name."""
        takes = {"metavar": self.metavar} if self.metavar else {"action": "store_true"}
        stored = {"dest": self.setting} if self.setting else {}
        return {"help": self.help, **takes, **stored, **self.more}

    def with_help(self, text: str) -> "Option":
        """A copy with another help text, for a command that gives the option a narrower meaning."""
        return replace(self, help=text)


CONFIG = Option("--config", "TOML file with settings (logmill.toml, if it is there)", "FILE", more={"type": Path})
NO_CONFIG = Option("--no-config", "read no settings file, not even logmill.toml")
QUIET = Option("--quiet", "no progress and no summary, errors only")
DEBUG = Option("--debug", "show the traceback of an error")
LOG_FORMAT = Option("--log-format", "messages on stderr: text, or json (an object a line)", "NAME", "LOG_FORMAT")
SHOW_VERSION = Option("--version", "show versions and commit, and do nothing else", more={"dest": "show_version"})
COMMON = CONFIG, NO_CONFIG, QUIET, DEBUG, LOG_FORMAT, SHOW_VERSION
"""Every command has these, as its last."""
JSON = Option("--json", "one JSON object on stdout, also on failure")

INPUT = Option("--input", "a folder, a file or a 'glob'", "PATH", "INPUT_DIR")
OUTPUT = Option("--output", "where the result is published", "DIR", "OUTPUT_DIR")
INTERMEDIATE = Option("--intermediate", "files between the phases", "DIR", "INTERMEDIATE_DIR")
PLACES = OUTPUT, INTERMEDIATE

ENGINE = Option("--engine", "auto, spark or polars", "NAME", "ENGINE")
WORKERS = Option("--workers", "worker processes (default: the usable cores)", "N", "PREPROCESSING_WORKERS")
MEMORY_LIMIT = Option("--memory-limit", "ceiling for all processes together", "SIZE", "MEMORY_LIMIT")
GEO_DB = Option("--geo-db", "MMDB file instead of the table that is shipped", "FILE", "GEO_DATABASE")
GEO_LEVEL = Option("--geo-level", "region or country", "LEVEL", "GEO_LEVEL")
FULL_REFRESH = Option("--full-refresh", "start over: only the files of this input count")
ADD = Option("--add", "count this input besides the one before")
PRUNE_MISSING = Option("--prune-missing", "files that have left no longer count")
SETTINGS = INPUT, *PLACES, ENGINE, WORKERS, MEMORY_LIMIT, GEO_DB, GEO_LEVEL
RUN = (
    *SETTINGS,
    *(FULL_REFRESH, ADD, PRUNE_MISSING, JSON),
)
DRY_RUN = Option("--dry-run", "say what a run would do, and do nothing")
PROFILE = Option("--profile", "show the time of every stage, on stderr with --json")
REPLAYED = Option("replay", "CSV of records that were mended, with a header", "FILE", more={"nargs": "+"})

GENERATOR = (
    Option("--files", "number of files", "N", "GENERATOR_FILES"),
    Option("--size", "size of all files together", "SIZE", "GENERATOR_SIZE"),
    Option("--users", "number of users", "N", "GENERATOR_USERS"),
    Option("--duplicates", "records that repeat one of the same file (0.05)", "SHARE", "GENERATOR_DUPLICATES"),
    Option("--cross-file-duplicates", "... one of another file (0.015)", "SHARE", "GENERATOR_CROSS_FILE_DUPLICATES"),
    Option("--seed", "the same seed gives the same bytes", "N", "GENERATOR_SEED"),
    Option("--output", "the folder to fill (pipeline_data/input_logs)", "DIR", more={"dest": "generate_into"}),
    Option("--force", "replace other test data, and write beside other logs"),
)

SQL = Option("sql", "one query, such as 'FROM runs'", "SQL")
FORMAT = Option("--format", "table, csv or json", "NAME", more={"default": "table"})
LIMIT_ROWS = Option("--limit-rows", "rows that are shown at most (1000)", "N", "QUERY_ROWS")
TIMEOUT = Option("--timeout", "time that a query may take (10)", "SECONDS", "QUERY_SECONDS")
QUERY_LIMITS = LIMIT_ROWS, TIMEOUT, *PLACES, MEMORY_LIMIT.with_help("memory that a query may take")
PORT = Option("--port", "port of the page (8501); 0: any that is free", "N", "DASHBOARD_PORT")

NO_SPARK = Option("--no-spark", "do not try to start Spark", more={"dest": "spark", "action": "store_false"})
LOG_ID = Option("log_id", "the log_id, exactly as in the logs (LOG_ID_COLUMNS: a JSON list)", "ID", more={"nargs": "?"})
EXPLAIN_ROWS = Option("--limit-rows", "copies or events that are shown at most (20)", "N", "EXPLAIN_ROWS")
USER = Option("--user", "explain the total of this user instead", "USER_ID")
VERSION = Option("version", "a version that status lists (the one before)", "VERSION", more={"nargs": "?"})
