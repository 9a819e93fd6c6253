"""``explain``: every copy of a record and whether it counts, or how the total of a user comes about."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.arguments import Arguments
from cli.console import Answer, printable, say
from cli.progress import PipeConsole
from cli.summary import new_table
from config import Config
from pipeline.errors import BalanceError, ConfigError

if TYPE_CHECKING:
    from pipeline.explain import Copy, RecordAnswer, UserAnswer

STYLES = {"counts": "green", "conflict": "yellow", "duplicate": "dim", "not counted": "dim"}


def explain_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answers with tables or one JSON object; 1 where a user's events do not add up to what is published."""
    from pipeline.explain import explain_record, explain_user, open_published

    if (arguments.log_id is None) == (arguments.user is None):
        raise ConfigError("explain takes a log_id or --user with a user_id: expected one of them.")
    console = PipeConsole(markup=False, highlight=False, emoji=False)
    with open_published(config) as published:
        if arguments.log_id is not None:
            record = explain_record(published, arguments.log_id, config.EXPLAIN_ROWS)
            answer.give(asdict(record))
            if not answer.as_json:
                print_record(record, console)
            return 0
        user = explain_user(published, config, arguments.user or "")
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


def print_record(record: "RecordAnswer", console: Console) -> None:
    """The copies, then where the minutes went."""
    _say(console, f"log_id {record.log_id} in version {record.version} (DEDUPE_KEEP {record.keep})\n")
    table = new_table(("outcome", False), ("copy", False))
    for copy in record.copies:
        table.add_row(Text(copy.outcome, style=STYLES[copy.outcome]), _describe(copy))
    _print(console, table if record.copies else Text("no copy was handed over"))
    if record.found > len(record.copies):
        _say(console, f"{len(record.copies):,} of {record.found:,} copies; --limit-rows shows more")
    for rejected in record.rejected:
        what = f"rejected: {rejected.file} line {rejected.line:,}: {rejected.reason}"
        _say(console, f"{what} {rejected.column or ''}\n  {rejected.raw}")
    if record.destination:
        went = record.destination
        _say(console, f"\n{_minutes(went.minutes)} minutes of user {went.user_id} went to {went.partition}")
        if went.total_watch_time_min is not None:
            _say(
                console,
                f"they are part of {_minutes(went.total_watch_time_min)} minutes in {went.event_count:,} events",
            )
    _print_notes(console, record.notes)


def print_user(user: "UserAnswer", console: Console) -> None:
    """The events, then the sums beside what is published."""
    _say(console, f"user {user.user_id} in version {user.version} (DEDUPE_KEEP {user.keep})\n")
    table = new_table(("minutes", True), ("region", False), ("log_id", False), ("byte", True), ("file", False))
    for event in user.events:
        what = _text(event.region), _text(event.log_id or "?")
        table.add_row(_minutes(event.minutes), *what, f"{event.byte_offset:,}", _text(event.file))
    _print(console, table)
    if user.event_count > len(user.events):
        _say(console, f"the longest {len(user.events):,} of {user.event_count:,} events; --limit-rows shows more")
    sums = new_table(("region", False), ("events", True), ("minutes", True), ("published", True), ("", False))
    for region in user.regions:
        published = region.published_total_watch_time_min
        shown = "none" if published is None else _minutes(published)
        verdict = Text("agrees", style="green") if region.agrees else Text("differs", style="bold red")
        counts = f"{region.event_count:,}", _minutes(region.total_watch_time_min), shown
        sums.add_row(_text(region.region), *counts, verdict)
    _say(console, "")
    _print(console, sums)
    _say(
        console,
        f"\n{user.rows:,} records handed over by phase 1: {user.event_count:,} count, {user.duplicates:,} duplicates, "
        f"{user.conflicts:,} lost a conflict",
    )
    _print_notes(console, user.notes)


def _print_notes(console: Console, notes: tuple[str, ...]) -> None:
    for note in notes:
        _say(console, f"note: {note}", style="dim")


def _describe(copy: "Copy") -> Text:
    line = "" if copy.line is None else f" line {copy.line:,}"
    lines = [
        (f"{_minutes(copy.minutes)} min, user {copy.user_id}, {copy.region or 'region not known'}", ""),
        (copy.reason, ""),
        (f"{copy.file}{line}", "dim"),
        *([(copy.raw, "dim")] if copy.raw else []),
    ]
    return Text("\n").join(Text(printable(text), style=style) for text, style in lines)


def _minutes(minutes: float) -> str:
    return f"{minutes:,.6f}".rstrip("0").rstrip(".")


def _text(value: str) -> Text:
    return Text(printable(value))


def _say(console: Console, text: str, style: str = "") -> None:
    """Lines as they are, unwrapped, so that they can be copied."""
    for line in text.split("\n"):
        console.print(Text(printable(line), style=style), soft_wrap=True)


def _print(console: Console, what: Table | Text) -> None:
    console.print(what)
