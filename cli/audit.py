"""Notes in the audit of a job what a command did, and shows it."""

from collections.abc import Mapping
from pathlib import Path

from cli.console import printable, say


def audit_path(output: str) -> Path:
    """The file of the audit of an output."""
    from pipeline.datasets.audit import audit_file
    from pipeline.versions.outputs import open_output

    return audit_file(open_output(output).link)


def note(output: str, what: str, facts: Mapping[str, object], run_id: str = "") -> None:
    """Add a line. ``run_id``: of the run, whose beginning is the time of the line. Raises OSError."""
    from pipeline.datasets.audit import add_entry
    from pipeline.versions.folders import begin_of

    add_entry(audit_path(output), what, facts, begin_of(run_id) if run_id else None)


def note_query(output: str, sql: str) -> None:
    """Note a query without its literals. Who may read and not write beside the output is told that it is not noted."""
    from pipeline.datasets.audit import without_literals

    try:
        note(output, "query", {"query": without_literals(sql)})
    except OSError as fault:
        say(f"the query is not in the audit: {fault.strerror}", level="warning", event="not_audited")


def show_entries(path: Path) -> tuple[dict[str, object], str]:
    """All lines, as values of JSON and for people."""
    from pipeline.datasets.audit import read_entries

    entries = read_entries(path)
    lines = [f"{one['number']:>6} {one['at']} {one['who']:<12} {one['what']:<9}{one['facts']}" for one in entries]
    return {"entries": entries}, "".join(f"{printable(line)}\n" for line in lines)


def verify_entries(path: Path, noted: str = "") -> tuple[dict[str, object], str]:
    """What is wrong with the lines, as values of JSON and for people."""
    from pipeline.datasets.audit import read_entries, verify

    wrong = verify(path, noted)
    last = "" if wrong else read_entries(path)[-1]["hash"]
    told = wrong or [f"all lines are as they were written; note the last hash elsewhere: {last}"]
    return {"wrong": wrong, "last": last}, "".join(f"{line}\n" for line in told)
