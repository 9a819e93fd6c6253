"""The few ways a run can fail, each with the exit code that the command line promises.

Every message names the stage or setting, what was expected, what was found and what to do next.
"""


class LogmillError(Exception):
    """A failure that is explained to the user in one message; ``exit_code`` is what the shell sees."""

    exit_code = 1


class BalanceError(LogmillError):
    """The counts of a run do not add up: a fault in the program. Nothing is published."""

    exit_code = 1


class ConfigError(LogmillError):
    """Wrong usage or an invalid setting."""

    exit_code = 2


class InputError(LogmillError):
    """Nothing to process, or an input that cannot be read."""

    exit_code = 3


class FileRefused(InputError):
    """One input file is refused whole; the other files go on. ``reason`` is one sentence."""


class GateError(LogmillError):
    """A quality gate stopped publication."""

    exit_code = 4


class EnvironmentFault(LogmillError):
    """The machine is not fit: Java, disk, memory, or another run holds the lock."""

    exit_code = 5


class WorkerDied(EnvironmentFault):
    """Worker processes were killed over one task, again and again. Of a file it is a reason to refuse that file."""
