"""``query``: answers one SQL query over the published result as a table, CSV or JSON."""

import shutil
import sys
from functools import partial
from pathlib import Path

from cli.answer_table import as_table
from cli.answers import as_csv, as_json, as_objects
from cli.arguments import Arguments
from cli.console import Answer, say
from config import Config
from pipeline.errors import ConfigError, InputError, program_name
from pipeline.inspection.query import Found, ask, ask_database
from pipeline.storage.urls import is_url
from pipeline.versions.catalog import current_version
from utils.units import format_count

FORMATS = "table", "csv", "json"


def query_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Print the answer to stdout, and a warning to stderr where rows, columns or texts were left out.

    With ``--json`` the answer is one object with ``columns``, ``rows`` and ``cut``. Raises what ``ask`` raises.
    """
    check_format(arguments)
    job = _job_of(config.OUTPUT_DIR)
    found = ask_job(config, job, config.OUTPUT_DIR, arguments.sql) if job else ask(config, arguments.sql)
    show_found(found, arguments, answer)
    return 0


def ask_job(config: Config, folder: Path, output: str, sql: str) -> Found:
    """Ask the tables and views that the job in a folder published at ``output``; the audit notes it."""
    from cli.audit import note_query
    from pipeline.datasets.job import load_job
    from pipeline.datasets.views import open_tables, view_names

    job = load_job(str(folder))
    found = ask_database(config, sql, partial(open_tables, job, output), view_names(job, output))
    note_query(output, sql)
    return found


def _job_of(output: str) -> Path | None:
    """The folder of the job whose tables are published at ``output``; None for a result of logs. Raises InputError."""
    name = None if is_url(output) else current_version(output).record.get("job")
    if name is None:
        return None
    from pipeline.datasets.job import find_job

    try:
        return find_job(name)
    except InputError:
        raise InputError(
            f"{output} has tables of the job {name}: ask with {program_name()} job PATH/{name} query --output {output}"
        ) from None


def check_format(arguments: Arguments) -> None:
    """Raise ConfigError for a format that is not known, before the query takes its time."""
    if arguments.format not in FORMATS:
        raise ConfigError(f"--format is {arguments.format!r}: expected {', '.join(FORMATS)}.")


def show_found(found: Found, arguments: Arguments, answer: Answer) -> None:
    """Print the answer to a query in the format that was asked for."""
    if answer.as_json:
        answer.give({"columns": list(found.columns), "rows": as_objects(found), "cut": found.cut})
    elif arguments.format == "table":
        _write_table(found, arguments, answer)
    elif arguments.format == "json":
        answer.write(as_json(found, ascii_only=not answer.is_unicode))
    else:
        answer.write(as_csv(found))
    if found.cut and not arguments.quiet:
        say(
            f"{format_count(len(found.rows), 'row')} shown, there are more: --limit-rows shows more",
            level="warning",
            event="rows_cut",
            rows=len(found.rows),
        )


def _write_table(found: Found, arguments: Arguments, answer: Answer) -> None:
    shown = as_table(found, shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
    answer.write(shown.text)
    if shown.left_out and not arguments.quiet:
        say(f"note: {shown.left_out}", event="table_cut")
