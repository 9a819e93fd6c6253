"""The ways in which a run can fail, each with the exit code of the command line.

A message names the stage or setting, what was expected, what was found, and what to do next.
"""

import os
import shlex
import sys
import traceback
from shutil import which

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder of the program, with ``main.py`` and ``logmill``."""

GATE_EXIT_CODE = 4
"""Exit code of a run that a quality gate stopped. Such a run raises nothing: its result says which gate it was."""

PARTIAL_EXIT_CODE = 6
"""Exit code of a run that refused files and goes on with the others. Such a run raises nothing."""


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


def explain_edit(fault: Exception, file: str) -> str | None:
    """What is wrong in a file of settings that is no longer Python, or names what is not there; None where ``fault``
    came from elsewhere."""
    if isinstance(fault, SyntaxError):
        place, line = fault.filename, fault.lineno
        what = f"is not understood: {fault.msg.rstrip('?.')}"
    else:
        frames = traceback.extract_tb(fault.__traceback__)
        place, line = (frames[-1].filename, frames[-1].lineno) if frames else (None, None)
        what = f"is wrong: {fault}"
    if place is None or os.path.abspath(place) != file:
        return None
    return (
        f"line {line} of {_shown(file)} {what}. Expected NAME = value, with text in quotes, as in "
        'MEMORY_LIMIT = "8GB". Correct the line, or bring the file back: git checkout config.py'
    )


def program_name() -> str:
    """How this program is started here, for messages that name a command: pasted into the same shell, it works.

    The script ``logmill`` tells how it was typed. Whoever started ``main.py`` gets ``python main.py`` where ``python``
    is the one that runs, as in an activated environment, and otherwise the path of the Python that runs.
    """
    typed = sys._xoptions.get("logmill")
    if isinstance(typed, str):
        return shlex.quote(typed)
    main = sys.argv[0] if os.path.basename(sys.argv[0]) == "main.py" else "main.py"
    return f"{_python()} {shlex.quote(main)}"


def install_command(requirements: str) -> str:
    """The command that installs a list of requirements for this program, to be pasted into the same shell."""
    if sys.prefix == sys.base_prefix:  # many systems forbid pip to change their own Python
        return f"make -C {_shown(ROOT)} install, and start {_command(os.path.join(ROOT, 'logmill'))}"
    return f"{_python()} -m pip install -r {_shown(os.path.join(ROOT, requirements))}"


def _python() -> str:
    found = which("python")
    # Not by what they link to: the Pythons of all environments are links to one that lacks the packages.
    active = found is not None and os.path.dirname(os.path.abspath(found)) == os.path.dirname(sys.executable)
    return "python" if active else _command(sys.executable)


def _command(path: str) -> str:
    """A program for the shell, which looks for a name without a slash elsewhere."""
    shown = _shown(path)
    return shown if "/" in shown else f"./{shown}"


def _shown(path: str) -> str:
    """A path for the shell, short where it lies below the working folder."""
    here = os.getcwd() + os.sep
    return shlex.quote(path.removeprefix(here) if path != here.rstrip(os.sep) else ".")
