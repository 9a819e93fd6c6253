"""The ways in which a run can fail, each with the exit code of the command line.

A message names the stage or setting, what was expected, what was found, and what to do next.
"""

GATE_EXIT_CODE = 4
"""Exit code of a run that a quality gate stopped. Such a run raises nothing: its result says which gate it was."""


class LogmillError(Exception):
    """A failure that one message explains to the user; ``exit_code`` is what the shell gets."""

    exit_code = 1


class BalanceError(LogmillError):
    """The counts of a run do not add up, which is a fault in the program. Nothing is published."""

    exit_code = 1


class ConfigError(LogmillError):
    """Wrong usage of the command line, or an invalid setting."""

    exit_code = 2


class InputError(LogmillError):
    """There is nothing to process, or an input cannot be read."""

    exit_code = 3


class FileRefused(InputError):
    """One input file is refused as a whole, while the run goes on with the others. The message is one sentence."""


class EnvironmentFault(LogmillError):
    """The machine cannot do the work: Java, disk or memory is missing, or another run holds the lock."""

    exit_code = 5


WORKERS_DIED = "worker processes were killed"
"""How the message of ``WorkerDied`` begins, also where it is the reason of a refused file."""


class WorkerDied(EnvironmentFault):
    """Worker processes were killed again and again over one task. Phase 1 refuses the file of that task."""


def note_publication(fault: BaseException, published: bool) -> None:
    """Note on what ends a run whether the run had published its result before."""
    fault.published = published  # type: ignore[attr-defined]


def was_published(fault: BaseException) -> bool:
    """Whether the run that ended with ``fault`` had published its result before."""
    return bool(getattr(fault, "published", False))
