"""``jobs``: lists the jobs that this program has."""

from cli.arguments import Arguments
from cli.console import Answer
from config import Config
from pipeline.errors import program_name


def jobs_command(_arguments: Arguments, _config: Config, answer: Answer) -> int:
    """Answer with the names of the jobs and what they make. Loads none of them."""
    from pipeline.datasets.job import list_jobs

    jobs = list_jobs()
    answer.give({"jobs": [{"name": name, "description": text} for name, text in jobs.items()]})
    if not answer.as_json:
        width = max(map(len, jobs), default=0) + 2
        lines = [f"{name:<{width}}{text}" for name, text in jobs.items()]
        answer.write("\n".join([*lines, "", f"{program_name()} job NAME runs one; job new NAME makes another.", ""]))
    return 0
