"""The command line: which command, which settings, how to answer. Values are checked by ``config.py``, not here."""

import argparse
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pipeline.errors import ConfigError
from pipeline.request import NOTHING_SPECIAL, Request

EXIT_CODES = """\
exit codes: 0 done · 1 fault in the program, nothing published · 2 usage or configuration
  3 input: nothing to process, or a file was refused (the others are published) · 4 a quality
  gate stopped publication · 5 environment: Java, disk, memory, another run · 130 interrupted"""

EPILOG = f"""\
sizes: 8GB (10^9 bytes each), 512MiB (2^20 each) or bytes
settings: every other tunable is in config.py; also LOGMILL_<NAME>=... or the TOML file of --config
{EXIT_CODES}"""

SETTINGS = {
    "input": "INPUT_DIR",
    "output": "OUTPUT_DIR",
    "intermediate": "INTERMEDIATE_DIR",
    "engine": "ENGINE",
    "workers": "PREPROCESSING_WORKERS",
    "memory_limit": "MEMORY_LIMIT",
    "geo_db": "GEO_DATABASE",
    "geo_level": "GEO_LEVEL",
    "files": "GENERATOR_FILES",
    "size": "GENERATOR_SIZE",
    "users": "GENERATOR_USERS",
    "duplicates": "GENERATOR_DUPLICATES",
    "cross_file_duplicates": "GENERATOR_CROSS_FILE_DUPLICATES",
    "seed": "GENERATOR_SEED",
    "limit_rows": "QUERY_ROWS",
    "timeout": "QUERY_SECONDS",
    "port": "DASHBOARD_PORT",
    "log_format": "LOG_FORMAT",
}
"""The setting that each option overrides, by the option's name in ``argparse``."""


@dataclass(frozen=True)
class Arguments:
    """A parsed command line. ``settings`` holds raw text by setting name, only for options that were given."""

    command: str
    settings: dict[str, str]
    config: Path | None = None
    json: bool = False
    quiet: bool = False
    debug: bool = False
    generate_into: str | None = None
    request: Request = NOTHING_SPECIAL
    dry_run: bool = False
    profile: bool = False
    version: str | None = None
    sql: str = ""
    format: str = "table"
    spark: bool = True
    log_id: str | None = None
    user: str | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. See: python main.py {self.prog.split()[-1]} --help")


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Reads the command line without the program's name; ``run`` is the command when none is named.

    Raises:
        ConfigError: an unknown command or option, or an option without its value.
        SystemExit: with 0, after ``--help`` was printed.
    """
    command, rest = ("run", argv) if not argv or argv[0].startswith("-") else (argv[0], argv[1:])
    if command not in PARSERS:
        close = difflib.get_close_matches(command, PARSERS, n=1)
        hint = f"Did you mean {close[0]}?" if close else "See: python main.py --help"
        raise ConfigError(f"unknown command {command!r}: expected {' or '.join(PARSERS)}. {hint}")
    given = vars(PARSERS[command]().parse_args(rest))
    into = given.pop("output") if command == "generate" else None
    settings = {SETTINGS[name]: value for name, value in given.items() if name in SETTINGS and value is not None}
    return Arguments(
        command=command,
        settings=settings,
        config=Path(given["config"]) if given["config"] is not None else None,
        json=given.get("json", False),
        quiet=given["quiet"],
        debug=given["debug"],
        generate_into=into,
        request=Request(
            replay=tuple(given.get("replay", ())),
            full_refresh=given.get("full_refresh", False),
            add=given.get("add", False),
            prune_missing=given.get("prune_missing", False),
        ),
        dry_run=given.get("dry_run", False),
        profile=given.get("profile", False),
        version=given.get("version"),
        sql=given.get("sql", ""),
        format=given.get("format", "table"),
        spark=not given.get("no_spark", False),
        log_id=given.get("log_id"),
        user=given.get("user"),
    )


def _new_parser(command: str, description: str) -> _Parser:
    return _Parser(
        prog=f"python main.py {command}",
        description=description,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary, errors only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--log-format", metavar="NAME", help="messages on stderr: text, or json (an object a line)")


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="DIR", help="where the result is published")
    parser.add_argument("--intermediate", metavar="DIR", help="files between the phases")


def run_parser() -> argparse.ArgumentParser:
    """Options of ``run``."""
    parser = _new_parser(
        "run",
        "Activity-log CSVs to watch time per user and region. This is the command when none is named;\n"
        "without any input it makes test data first. Other commands:\n"
        "plan, generate, replay, status, rollback, query, explain, regeo, dashboard, doctor\n"
        "(see query --help).",
    )
    _add_run_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what a run would do, and do nothing")
    parser.add_argument("--profile", action="store_true", help="show the time of every stage, on stderr with --json")
    return parser


def replay_parser() -> argparse.ArgumentParser:
    """Options of ``replay``: those of ``run``, and the files."""
    parser = _new_parser(
        "replay",
        "A run in which mended records count besides the input, now and in every later run over that\n"
        "input and output. What counted before is a duplicate. Give the options of the run itself.",
    )
    parser.add_argument("replay", metavar="FILE", nargs="+", help="CSV of records that were mended, with a header")
    _add_run_options(parser)
    return parser


def plan_parser() -> argparse.ArgumentParser:
    """Options of ``plan``: those of ``run``."""
    parser = _new_parser(
        "plan",
        "Says how a run with these options would divide the work, and predicts its time, peak memory and\n"
        "disk. It looks at some lines of the files and changes nothing.",
    )
    _add_run_options(parser)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", metavar="PATH", help="a folder, a file or a 'glob'")
    _add_places(parser)
    parser.add_argument("--engine", metavar="NAME", help="auto, spark or polars")
    parser.add_argument("--workers", metavar="N", help="worker processes (default: the usable cores)")
    parser.add_argument("--memory-limit", metavar="SIZE", help="ceiling for all processes together")
    parser.add_argument("--geo-db", metavar="FILE", help="MMDB file instead of the table that is shipped")
    parser.add_argument("--geo-level", metavar="LEVEL", help="region or country")
    parser.add_argument("--full-refresh", action="store_true", help="start over: only the files of this input count")
    parser.add_argument("--add", action="store_true", help="count this input besides the one before")
    parser.add_argument("--prune-missing", action="store_true", help="files that have left no longer count")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, also on failure")
    _add_common(parser)


def generate_parser() -> argparse.ArgumentParser:
    """Options of ``generate``."""
    parser = _new_parser("generate", "Makes realistic activity logs, and truth.json with what a run must find in them.")
    parser.add_argument("--files", metavar="N", help="number of files")
    parser.add_argument("--size", metavar="SIZE", help="size of all files together")
    parser.add_argument("--users", metavar="N", help="number of users")
    parser.add_argument("--duplicates", metavar="SHARE", help="records that repeat one of the same file (0.05)")
    parser.add_argument("--cross-file-duplicates", metavar="SHARE", help="... one of another file (0.015)")
    parser.add_argument("--seed", metavar="N", help="the same seed gives the same bytes")
    parser.add_argument("--output", metavar="DIR", help="the folder to fill (default: INPUT_DIR)")
    _add_common(parser)
    return parser


def query_parser() -> argparse.ArgumentParser:
    """Options of ``query``."""
    parser = _new_parser(
        "query",
        "Asks the published result in SQL (DuckDB), read-only. The views:\n"
        "  watch_time    geo_region, user_id, total_watch_time_min, event_count: the published output\n"
        "  user_totals   user_id, total_watch_time_min, event_count, regions: each user across regions\n"
        "  runs          a row for each kept version: counts, times, geo database\n"
        "  quarantine    file, line, byte_offset, reason, column, value, raw: rejects and conflicts;\n"
        "                refused files have only file and reason\n"
        "  ledger        file, bytes, records, duplicates, handed_over, rejected, ...: the input files",
    )
    parser.add_argument("sql", metavar="SQL", help="one query, such as 'FROM runs'")
    parser.add_argument("--format", metavar="NAME", default="table", help="table, csv or json")
    parser.add_argument("--limit-rows", metavar="N", help="rows that are shown at most (1000)")
    parser.add_argument("--timeout", metavar="SECONDS", help="time that the query may take (10)")
    _add_places(parser)
    parser.add_argument("--memory-limit", metavar="SIZE", help="memory that the query may take")
    _add_common(parser)
    return parser


def dashboard_parser() -> argparse.ArgumentParser:
    """Options of ``dashboard``."""
    parser = _new_parser(
        "dashboard",
        "Opens a page on 127.0.0.1 over the published result: regions, users, runs, quality, a box for SQL.\n"
        "It needs Streamlit: pip install -r requirements-dashboard.txt",
    )
    parser.add_argument("--port", metavar="N", help="port of the page (8501); 0: any that is free")
    parser.add_argument("--limit-rows", metavar="N", help="rows that a query shows at most (1000)")
    parser.add_argument("--timeout", metavar="SECONDS", help="time that a query may take (10)")
    _add_places(parser)
    parser.add_argument("--memory-limit", metavar="SIZE", help="memory that a query may take")
    _add_common(parser)
    return parser


def doctor_parser() -> argparse.ArgumentParser:
    """Options of ``doctor``."""
    parser = _new_parser(
        "doctor",
        "Checks whether this machine and these settings are fit for a run: Python, memory, disks, links,\n"
        "open files, geo data, Java and Spark. Each line is ok, warn or fail, with what to do.",
    )
    parser.add_argument("--input", metavar="PATH", help="the logs that a run would read")
    _add_places(parser)
    parser.add_argument("--engine", metavar="NAME", help="auto, spark or polars")
    parser.add_argument("--geo-db", metavar="FILE", help="MMDB file instead of the table that is shipped")
    parser.add_argument("--no-spark", action="store_true", help="do not try to start Spark")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    _add_common(parser)
    return parser


def explain_parser() -> argparse.ArgumentParser:
    """Options of ``explain``."""
    parser = _new_parser(
        "explain",
        "Shows every copy of a record that was read: file, line, content, whether it counts and by which\n"
        "rule, and where its minutes went; or adds up the total of a user from its events.",
    )
    parser.add_argument("log_id", metavar="ID", nargs="?", help="the log_id, exactly as in the logs")
    parser.add_argument("--user", metavar="USER_ID", help="explain the total of this user instead")
    parser.add_argument("--limit-rows", metavar="N", help="copies or events that are shown at most (1000)")
    _add_places(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    _add_common(parser)
    return parser


def regeo_parser() -> argparse.ArgumentParser:
    """Options of ``regeo``."""
    parser = _new_parser(
        "regeo",
        "Says what another geo database would move: users, events and minutes from region to region. It\n"
        "reads the addresses again from the files that count, publishes nothing, and keeps nothing. Give the\n"
        "options of the run itself; a run with the new database then makes the new result.",
    )
    parser.add_argument("--geo-db", metavar="FILE", help="the new MMDB file; without it, the table that is shipped")
    parser.add_argument("--geo-level", metavar="LEVEL", help="region or country, as in the published result")
    parser.add_argument("--dry-run", action="store_true", help="needed: only a run changes regions")
    _add_places(parser)
    parser.add_argument("--workers", metavar="N", help="worker processes (default: the usable cores)")
    parser.add_argument("--memory-limit", metavar="SIZE", help="ceiling for all processes together")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    _add_common(parser)
    return parser


def status_parser() -> argparse.ArgumentParser:
    """Options of ``status``."""
    parser = _new_parser("status", "Lists the files that are known, their states and counts, and the kept versions.")
    _add_places(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    _add_common(parser)
    return parser


def rollback_parser() -> argparse.ArgumentParser:
    """Options of ``rollback``."""
    parser = _new_parser(
        "rollback",
        "Shows an earlier version again, and lets the next run go on from it. Files that came since are\n"
        "then counted anew.",
    )
    parser.add_argument("version", metavar="VERSION", nargs="?", help="a version that status lists (the one before)")
    _add_places(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    _add_common(parser)
    return parser


PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "run": run_parser,
    "plan": plan_parser,
    "generate": generate_parser,
    "replay": replay_parser,
    "query": query_parser,
    "explain": explain_parser,
    "regeo": regeo_parser,
    "dashboard": dashboard_parser,
    "doctor": doctor_parser,
    "status": status_parser,
    "rollback": rollback_parser,
}
"""The commands, each with its options. ``python main.py NAME`` runs ``NAME_command`` of ``cli/NAME.py``."""
