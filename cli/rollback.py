"""``rollback``: makes an earlier version the published result again."""

from cli.arguments import Arguments
from cli.console import Answer
from config import Config


def rollback_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Show an earlier version again, and answer with both versions. Raises what ``roll_back`` raises."""
    from pipeline.versions.output_link import roll_back

    before, now = roll_back(config.OUTPUT_DIR, arguments.version)
    if answer.as_json:
        answer.give({"before": before, "current": now, "output": config.OUTPUT_DIR})
    elif not arguments.quiet:
        answer.write(
            f"{config.OUTPUT_DIR} shows {now} again (until now {before}). The next run goes on from there: files that "
            "came since are counted anew.\n"
        )
    return 0
