"""``replay``: a run in which mended records count besides the input."""

from cli.arguments import Arguments
from cli.console import Answer
from cli.progress import open_progress
from cli.run import answer_result, process
from config import Config


def replay_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Runs the pipeline over the input and the named files; answers and returns as ``run_command`` does."""
    with open_progress(arguments.quiet) as progress:
        result = process(config, progress, arguments.request)
    return answer_result(arguments, config, answer, result)
