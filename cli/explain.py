"""``explain``: every copy of a record and whether it counts, or how the total of a user comes about."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cli.arguments import Arguments
from cli.console import Answer, printable, say
from cli.summary import first_that_fits, new_table
from cli.terminal import PipeConsole
from config import Config
from pipeline.errors import BalanceError, ConfigError
from pipeline.publish.report.plain_words import meaning_of_reason
from utils.units import format_count

if TYPE_CHECKING:
    from pipeline.inspection.explain.record import Copy, RecordAnswer
    from pipeline.inspection.explain.user import UserAnswer

INDENT = 13
"""Width of the first column, which holds the outcome of each copy."""

STYLES = {"counts": "green", "conflict": "yellow", "duplicate": "dim", "not counted": "dim"}


def explain_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answer with tables or one JSON object; returns 1 where a user's events do not add up to what is published."""
    from pipeline.inspection.explain.published import answer as ask
    from pipeline.inspection.explain.record import explain_record
    from pipeline.inspection.explain.user import explain_user

    if (arguments.log_id is None) == (arguments.user is None):
        raise ConfigError("explain takes a log_id or --user with a user_id: expected one of them.")
    console = PipeConsole()
    log_id = arguments.log_id
    if log_id is not None:
        record = ask(
            config, lambda published: explain_record(published, log_id, config.EXPLAIN_ROWS, config.PSEUDONYM_KEY_FILE)
        )
        answer.give(asdict(record))
        if not answer.as_json:
            print_record(record, console)
        return 0
    user = ask(config, lambda published: explain_user(published, config, arguments.user or ""))
    answer.give(asdict(user))
    if not answer.as_json:
        print_user(user, console)
    if not user.agrees:
        say(
            "the events do not add up to what is published: a fault in the program. Run with --full-refresh to "
            "publish anew, and report it.",
            level="error",
            event="disagrees",
        )
    return 0 if user.agrees else BalanceError.exit_code


def print_record(record: "RecordAnswer", console: PipeConsole) -> None:
    """Print the copies of a record, then the published row that has its minutes."""
    _say(console, f"log_id {record.log_id} in version {record.version} (DEDUPE_KEEP {record.keep})")
    _say(console)
    for copy in record.copies:
        _print_copy(copy, console)
    if not record.copies:
        _say(console, "no copy was handed over")
    if record.found > len(record.copies):
        _say(console, f"{len(record.copies):,} of {record.found:,} copies; --limit-rows shows more")
    for rejected in record.rejected:
        meaning = meaning_of_reason(rejected.reason)
        column = f", column {rejected.column}" if rejected.column else ""
        _say(console, f"rejected: {rejected.file} line {rejected.line:,}: {rejected.reason}{column}")
        if meaning:
            _say(console, f"  {meaning}", indent="  ")
        _show(console, f"  {rejected.raw}")
    if record.rejected_found > len(record.rejected):
        listed = f"{len(record.rejected):,} of {record.rejected_found:,} rejected records"
        _say(console, f"{listed}; --limit-rows shows more")
    if record.destination:
        row = record.destination
        _say(console)
        _say(console, f"{_minutes(row.minutes)} minutes of user {row.user_id} went to {row.partition}")
        if row.total_watch_time_min is not None:
            events = format_count(row.event_count or 0, "event")
            _say(console, f"they are part of {_minutes(row.total_watch_time_min)} minutes in {events}")
    _print_notes(console, record.notes)


def print_user(user: "UserAnswer", console: PipeConsole) -> None:
    """Print the longest events of a user, then the sums beside what is published."""
    _say(console, f"user {user.user_id} in version {user.version} (DEDUPE_KEEP {user.keep})")
    _say(console)
    for line in _events(user, console):
        _show(console, line)
    if user.event_count > len(user.events):
        _say(console, f"the longest {len(user.events):,} of {user.event_count:,} events; --limit-rows shows more")
    if user.regions:
        _say(console)
        console.print(first_that_fits(console, _sums(user)))
        _say(console)
    _say(
        console,
        f"{format_count(user.rows, 'record')} handed over by phase 1: {user.event_count:,} counted, "
        f"{format_count(user.duplicates, 'duplicate')}, {user.conflicts:,} lost a conflict",
    )
    _print_notes(console, user.notes)


def _events(user: "UserAnswer", console: PipeConsole) -> Iterator[str]:
    """Time, minutes, region, log_id and file:line of each event, points below points: on a line where there is room."""
    decimals = max((len(_minutes(event.minutes).partition(".")[2]) for event in user.events), default=0)
    rows = [
        (
            printable(event.time or "?"),
            f"{event.minutes:,.{decimals}f}",
            event.region,
            printable(event.log_id or "?"),
            f"{event.file}:{event.line}" if event.line else f"{event.file} byte {event.byte_offset:,}",
        )
        for event in user.events
    ]
    if not rows:
        return
    times, minutes, regions, ids, places = (max(map(len, column)) for column in zip(*rows, strict=True))
    room = console.width if console.is_limited else sys.maxsize
    long = times + minutes + regions + ids + places + len("  " * 4 + " min")
    between, behind = ("\n  " if long > room else "  "), ("\n  " if 2 + ids + 2 + places > room else "  ")
    for time, watched, region, log_id, where in rows:
        event = f"{time:<{times}}  {watched:>{minutes}} min  {region:<{regions}}".rstrip(" " if long > room else "")
        yield from f"{event}{between}{log_id:<{ids}}{behind}{where}".split("\n")


def _sums(user: "UserAnswer") -> Iterator[Table]:
    """The table of regions, then without what is published."""
    for columns in (("events", "minutes", "published"), ("events", "minutes")):
        sums = new_table(("region", False), *((name, True) for name in columns), ("", False))
        for region in user.regions:
            published = region.published_total_watch_time_min
            cells = {
                "events": f"{region.event_count:,}",
                "minutes": _minutes(region.total_watch_time_min),
                "published": "none" if published is None else _minutes(published),
            }
            verdict = Text("agrees", style="green") if region.agrees else Text("differs", style="bold red")
            sums.add_row(Text(printable(region.region)), *(cells[name] for name in columns), verdict)
        yield sums


def _print_copy(copy: "Copy", console: PipeConsole) -> None:
    line = "" if copy.line is None else f" line {copy.line:,}"
    content = f"{_minutes(copy.minutes)} min, user {copy.user_id}, {copy.region or 'region not known'}"
    label = Text(f"{copy.outcome:<{INDENT}}", style=STYLES[copy.outcome])
    console.print(label + Text(printable(content)), soft_wrap=True)
    _say(console, " " * INDENT + copy.reason, indent=" " * INDENT)
    for text in (f"{copy.file}{line}", copy.raw or ""):
        if text:
            _show(console, " " * INDENT + text, "dim")


def _print_notes(console: PipeConsole, notes: tuple[str, ...]) -> None:
    for note in notes:
        _say(console, f"note: {note}", "dim")


def _minutes(minutes: float) -> str:
    return f"{minutes:,.6f}".rstrip("0").rstrip(".")


def _say(console: PipeConsole, text: str = "", style: str = "", *, indent: str = "") -> None:
    """Print sentences."""
    console.say(printable(text), style, indent=indent)


def _show(console: PipeConsole, text: str, style: str = "") -> None:
    """Print one line unwrapped, so that it can be copied."""
    console.print(Text(printable(text), style=style), soft_wrap=True)
