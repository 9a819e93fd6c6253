"""``rollback``: makes an earlier version the published result again."""

from pathlib import Path

from cli.arguments import Arguments
from cli.console import Answer, printable, say
from cli.streams import AnswerLost
from config import Config


def rollback_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Show an earlier version again, and answer with both versions. Raises what ``roll_back`` raises."""
    from pipeline.storage.urls import is_url
    from pipeline.versions.delta_table import table_folder
    from pipeline.versions.outputs import roll_back

    before, now = roll_back(config.OUTPUT_DIR, arguments.version, delta=config.TABLE_FORMAT == "delta")
    table = table_folder(Path(config.OUTPUT_DIR))
    if config.TABLE_FORMAT == "parquet" and not is_url(config.OUTPUT_DIR) and table.exists():
        say(f"the Delta table {printable(str(table))} did not follow, because TABLE_FORMAT is parquet", level="warning")
    try:
        answer.give({"before": before, "current": now, "output": config.OUTPUT_DIR})
        if not answer.as_json and not arguments.quiet:
            answer.write(
                f"{config.OUTPUT_DIR} shows {now} again (until now {before}). The next run goes on from there: files "
                "that came since are counted anew.\n"
            )
    except AnswerLost as lost:
        raise AnswerLost(f"{lost} {config.OUTPUT_DIR} shows {now} (until now {before}).") from None
    return 0
