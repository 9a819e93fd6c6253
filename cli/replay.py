"""``replay``: runs the pipeline over the input and files of corrected records."""

from cli.arguments import Arguments
from cli.console import Answer
from cli.run import process, warn_of_lost_folders
from config import Config


def replay_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Run the pipeline over the input and the named files; answers and returns as ``run_command`` does."""
    warn_of_lost_folders(arguments, config)
    return process(arguments, config, answer)
