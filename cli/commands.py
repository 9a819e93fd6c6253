"""The commands of the program: what each does, and which options it has."""

from dataclasses import dataclass

from cli import options
from cli.options import JSON, PLACES, Option


@dataclass(frozen=True)
class Command:
    """A command: the first lines of its ``--help``, and its options without the common ones."""

    description: str
    options: tuple[Option, ...]


_OTHERS = {
    "plan": Command(
        "Says how a run with these options would divide the work, and predicts its time, peak memory and\n"
        "disk. It looks at some lines of the files and changes nothing.",
        options.RUN,
    ),
    "generate": Command(
        "Makes realistic activity logs, and truth.json with what a run must find in them. A folder that has\n"
        "other logs is refused, and so is an INPUT_DIR that you have set.",
        (*options.GENERATOR, JSON),
    ),
    "replay": Command(
        "A run in which mended records count besides the input, now and in every later run over that\n"
        "input and output. What counted before is a duplicate. Give the options of the run itself.",
        (options.REPLAYED, *options.RUN),
    ),
    "query": Command(
        "Asks the published result in SQL (DuckDB), read-only. The views:\n"
        "  watch_time    geo_region, user_id, total_watch_time_min, event_count: the published output\n"
        "  user_totals   user_id, total_watch_time_min, event_count, regions: each user across regions\n"
        "  runs          a row for each kept version: counts, times, geo database\n"
        "  quarantine    file, line, byte_offset, reason, column, value, raw: rejects and conflicts;\n"
        "                refused files have only file and reason\n"
        "  ledger        file, bytes, records, duplicates, handed_over, rejected, ...: the input files",
        (options.SQL, options.FORMAT, JSON, *options.QUERY_LIMITS),
    ),
    "path": Command(
        "Prints the folder of the published result, in which nothing ever changes. Give it to what reads:\n"
        "the link itself shows another version as soon as a run publishes one.",
        (options.VERSION.with_help("a kept version that status lists (the current one)"), options.OUTPUT, JSON),
    ),
    "explain": Command(
        "Shows every copy of a record that was read: file, line, content, whether it counts and by which\n"
        "rule, and where its minutes went; or adds up the total of a user from its events.",
        (options.LOG_ID, options.USER, options.EXPLAIN_ROWS, *PLACES, JSON),
    ),
    "regeo": Command(
        "Says what another geo database would move: users, events and minutes from region to region. It\n"
        "reads the addresses again from the files that count, publishes nothing, and keeps nothing. Give the\n"
        "options of the run itself; a run with the new database then makes the new result.",
        (
            options.GEO_DB.with_help("the new MMDB file; without it, the table that is shipped"),
            options.GEO_LEVEL.with_help("region or country, as in the published result"),
            options.DRY_RUN.with_help("needed: only a run changes regions"),
            *(*PLACES, options.WORKERS, options.MEMORY_LIMIT, JSON),
        ),
    ),
    "dashboard": Command(
        "Opens a page on 127.0.0.1 over the published result: regions, users, runs, quality, a box for SQL.\n"
        "It needs Streamlit: .venv/bin/pip install -r requirements-dashboard.txt",
        (options.PORT, JSON, *options.QUERY_LIMITS),
    ),
    "config": Command(
        "Shows the settings in effect, in groups, and where each comes from: the command line, the\n"
        "environment, a settings file, or the default.",
        (*options.SETTINGS, JSON),
    ),
    "doctor": Command(
        "Checks whether this machine and these settings are fit for a run: Python, memory, disks, links,\n"
        "open files, geo data, Java and Spark. Each line is ok, warn or fail, with what to do.",
        (
            options.INPUT.with_help("the logs that a run would read"),
            *(*PLACES, options.ENGINE, options.GEO_DB, options.NO_SPARK, JSON),
        ),
    ),
    "status": Command(
        "Lists the files that are known, their states and counts, and the kept versions.", (*PLACES, JSON)
    ),
    "rollback": Command(
        "Shows an earlier version again, and lets the next run go on from it. Files that came since are\n"
        "then counted anew.",
        (options.VERSION, *PLACES, JSON),
    ),
}

COMMANDS: dict[str, Command] = {
    "run": Command(
        "Activity-log CSVs to watch time per user and region. This is the command when none is named;\n"
        "without any input it makes test data first. Other commands (see query --help):\n"
        f"{', '.join(_OTHERS)}.",
        (*options.RUN, options.DRY_RUN, options.PROFILE),
    ),
    **_OTHERS,
}
"""The commands by name. ``./logmill NAME`` runs ``NAME_command`` of ``cli/NAME.py``."""
