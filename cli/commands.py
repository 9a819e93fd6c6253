"""The commands of the program: what each does, and which options it has."""

from dataclasses import dataclass

from cli import options
from cli.options import JSON, PLACES, Option


@dataclass(frozen=True)
class Command:
    """A command of the program.

    Attributes:
        group: under which heading the help of the program lists it.
        summary: what it does, in one line.
        description: the same in full, a paragraph a line. Lines that begin with blanks are a table. ``{program}`` and
            ``{install}`` stand for the commands that start the program and install what its dashboard needs.
        options: all but the common ones.
    """

    group: str
    summary: str
    description: str
    options: tuple[Option, ...]

    def describe(self, program: str, install: str) -> str:
        """The description with commands that run here when pasted."""
        return self.description.format(program=program, install=install)


DASHBOARD_PACKAGES = "requirements-dashboard.txt"

COMMANDS: dict[str, Command] = {
    "run": Command(
        "Run",
        "turn logs into watch time per user and region",
        "Activity-log CSVs to watch time per user and region. This is the command when none is named; without any "
        "input it makes test data first.",
        (*options.RUN, options.DRY_RUN, options.PROFILE),
    ),
    "plan": Command(
        "Run",
        "say how a run would go, and what it would need",
        "Says how a run with these options would divide the work, and predicts its time, peak memory and disk. It "
        "looks at some lines of the files and changes nothing.",
        (*options.RUN, options.CLUSTER, options.STORAGE, options.AS_IF),
    ),
    "generate": Command(
        "Run",
        "make test data",
        "Makes realistic activity logs, and truth.json with what a run must find in them. A folder that has other "
        "logs is refused, and so is an INPUT_DIR that you have set.",
        (*options.GENERATOR, JSON),
    ),
    "query": Command(
        "Ask",
        "ask the published result in SQL",
        "Asks the published result in SQL (DuckDB), read-only. The views:\n"
        "  watch_time    geo_region, user_id, total_watch_time_min, event_count: the published output\n"
        "  user_totals   user_id, total_watch_time_min, event_count, regions: each user across regions\n"
        "  runs          a row for each kept version: counts, times, geo database\n"
        "  quarantine    file, line, byte_offset, reason, column, value, raw: rejects and conflicts; refused files "
        "have only file and reason\n"
        "  ledger        file, bytes, records, duplicates, handed_over, rejected, ...: the input files",
        (options.SQL, options.FORMAT, JSON, *options.QUERY_LIMITS),
    ),
    "status": Command(
        "Ask",
        "list the files that count, and the versions",
        "Lists the files that are known, their states and counts, and the kept versions.",
        (*PLACES, JSON),
    ),
    "explain": Command(
        "Ask",
        "say why a record counts, or what makes up a total",
        "Shows every copy of a record that was read: file, line, content, whether it counts and by which rule, and "
        "where its minutes went; or adds up the total of a user from its events.",
        (options.LOG_ID, options.USER, options.EXPLAIN_ROWS, *PLACES, JSON),
    ),
    "path": Command(
        "Ask",
        "print the folder that readers open",
        "Prints the folder of the published result, in which nothing ever changes. Give it to what reads: the link "
        "itself shows another version as soon as a run publishes one.",
        (options.VERSION.with_help("a kept version that status lists [the current one]"), options.OUTPUT, JSON),
    ),
    "dashboard": Command(
        "Ask",
        "show the result in a browser",
        "Serves a page over the published result: regions, users, files, runs, quality, a box for SQL.\n"
        "It needs Streamlit: {install}",
        (options.OPEN, options.HOST, options.PORT, JSON, *options.QUERY_LIMITS),
    ),
    "jobs": Command(
        "Jobs",
        "list the jobs that make other tables",
        "Lists the jobs: each makes tables of its own out of files, see docs/jobs.md.",
        (JSON,),
    ),
    "job": Command(
        "Jobs",
        "run a job, or ask about it",
        "Runs a job: extracts its sources, makes its tables as far as something changed, checks them, and publishes "
        "all at once. Without --source it makes demo data first.\n"
        "  run           make the tables\n"
        "  plan          say what a run would do, and why\n"
        "  status        rows of all tables, and the kept versions\n"
        "  check         try whether buckets and the order of rows change a byte of any table\n"
        "  docs          write the data dictionary, and SQL that makes the tables in other databases\n"
        "  query SQL     ask its tables and views\n"
        "  rollback      show an earlier version again\n"
        "  forget ID...  remove people from bronze, all tables and all versions (docs/personal-data.md)\n"
        "  audit         who ran, asked or changed what; audit verify [HASH] finds lines that were changed or removed\n"
        "  backup PLACE [VERSION]   copy a version below a folder or URL, with the hash of each file\n"
        "  restore PLACE [VERSION]  bring it back, if every file is as it was\n"
        "job new NAME makes a job from a template that runs at once.",
        (options.JOB, options.JOB_ACTION, options.JOB_WHAT, *options.JOB_OPTIONS),
    ),
    "quarantine": Command(
        "Change",
        "write the rejected records to a file, to correct them",
        "Writes the rejected records of the published version to a new CSV, as they were read, under the header of "
        "their files. Correct them, delete the others, and replay the file.",
        (options.MEND_FILE, options.PUBLISHED, JSON),
    ),
    "replay": Command(
        "Change",
        "count records that were corrected",
        "A run in which corrected records count besides the input, now and in every later run over that input and "
        "output. What counted before is a duplicate. Give the options of the run itself.",
        (options.REPLAYED, *options.RUN),
    ),
    "rollback": Command(
        "Change",
        "show an earlier version again",
        "Shows an earlier version again, and lets the next run go on from it. Files that came since are then counted "
        "anew.",
        (options.VERSION, *PLACES, JSON),
    ),
    "doctor": Command(
        "Check",
        "say whether this machine is fit for a run",
        "Checks whether this machine and these settings are fit for a run: Python, memory, disks, links, open files, "
        "geo data, Java and Spark. Each line is ok, warn or fail, with what to do.",
        (
            options.INPUT.with_help("the logs that a run would read"),
            *(*PLACES, options.ENGINE, options.GEO_DB, options.NO_SPARK, JSON),
        ),
    ),
    "geo-diff": Command(
        "Check",
        "say what another geo database would move",
        "Says what another geo database would move: users, events and minutes from region to region. It reads the "
        "addresses again from the files that count, publishes nothing, and keeps nothing. Give the options of the run "
        "itself; a run with the new database then makes the new result.",
        (
            options.GEO_DB.with_help("the new MMDB file; without it, the table that is shipped"),
            options.GEO_LEVEL.with_help("region or country, as in the published result"),
            options.DRY_RUN.with_help("as ever: only a run changes regions"),
            *(*PLACES, options.WORKERS, options.MEMORY_LIMIT, JSON),
        ),
    ),
    "config": Command(
        "Check",
        "show the settings in effect",
        "Shows the settings in effect, in groups, and where each comes from: the command line, the environment, a "
        "settings file, or the default.",
        (*options.SETTINGS, JSON),
    ),
    "completion": Command(
        "Check",
        "let the shell complete commands and options",
        "Prints a script that lets a shell complete commands, options and files. For this shell alone:\n"
        '  eval "$({program} completion bash)"\n'
        "For every new one, put that line with the full path of logmill into ~/.bashrc. It works for logmill however "
        "its path is typed.",
        (options.SHELL,),
    ),
}
"""The commands by name, in the order of the help. ``./logmill NAME`` runs ``NAME_command`` of ``cli/NAME.py``, with
``_`` for a hyphen."""

OLD_NAMES = {"regeo": "geo-diff"}
"""Commands that had another name, which still works."""
