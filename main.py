"""Logmill: arguments → Config → command → exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config import Config

MISSING = "the package {0} is missing. Run: {1}"

FOLDER = os.path.dirname(os.path.abspath(__file__))
if FOLDER not in sys.path:  # PYTHONSAFEPATH, or python -P
    sys.path.insert(0, FOLDER)

if __name__ != "__mp_main__":  # workers import this file under that name, and need nothing of it
    try:
        from cli.arguments import Arguments, parse_arguments
        from cli.console import LOG, Answer, printable, say
        from cli.env_file import read_env_file
        from cli.interrupts import end_on_signals
        from cli.settings import import_settings
        from cli.streams import AnswerLost, prepare_streams
        from pipeline.errors import EnvironmentFault, LogmillError, install_command, was_published
    except ModuleNotFoundError as missing:
        from pipeline.errors import install_command

        print(f"error: {MISSING.format(missing.name, install_command('requirements.txt'))}", file=sys.stderr)
        sys.exit(5)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)

INTERRUPTED = 130
PUBLISHED = "The result of this run is published all the same."
UNTOUCHED = "interrupted: the previous output is untouched. Run it again."


def main(argv: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return the exit code. Raises SystemExit for ``--help``."""
    answer = Answer(as_json="--json" in argv)
    with answer.reserved():
        return _run_guarded(argv, answer)


def _run_guarded(argv: Sequence[str], answer: Answer) -> int:
    arguments, engine, output = None, None, ""
    origins: Mapping[str, str] = {}
    if "--no-color" in argv:
        os.environ["NO_COLOR"] = "1"  # the custom of all programs, Rich and the dashboard among them
    LOG.begin(as_json=_asks_for_json(argv))
    try:
        arguments = parse_arguments(argv)
        if arguments.show_version:
            from cli.version import show_version

            return show_version(answer)
        read_env_file(os.environ)
        settings = import_settings()
        arguments = _with_settings_file(arguments)
        section, _ = settings.read_sections(arguments.config, arguments.environment)
        config = settings.load_config(arguments.settings, os.environ, arguments.config, arguments.shorts, section)
        engine, output, origins = config.ENGINE, config.OUTPUT_DIR, config.origins
        LOG.begin(as_json=config.LOG_FORMAT == "json")
        # Imported late: Polars and Spark take a second, which --help and a usage error need not.
        name = arguments.command.replace("-", "_")
        command: Callable[[Arguments, Config, Answer], int] = getattr(import_module(f"cli.{name}"), f"{name}_command")
        code = command(arguments, config, answer)
        sys.stdout.flush()  # or the fault of a full disk would come too late to be told
        return code
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # also KeyboardInterrupt, and a panic of Polars, which is no Exception
        code, message = _explain(error)
        if origins:
            from utils.settings import as_typed  # which usage errors need not wait for

            message = as_typed(message, origins)
        published, trace = was_published(error), "" if code == INTERRUPTED else _trace(error)
    if trace and (arguments.debug if arguments else {"-v", "--debug"} & set(argv)):
        say(trace, event="traceback")
    say(message, level="error", event="failed", exit_code=code, published=published)
    from pipeline.publish.result import failed_result  # which --help need not wait for

    try:
        answer.give(failed_result(message, engine=engine, output=output, published=published).to_json())
    except AnswerLost as lost:
        say(str(lost), level="error", event="failed", exit_code=code, published=published)
    return code


def _with_settings_file(arguments: Arguments) -> Arguments:
    """The arguments with the settings file that is read, which a message names where the command line does not."""
    unasked = arguments.config or arguments.no_config or arguments.command == "completion"  # which a shell evaluates
    settings = import_settings()
    found = None if unasked else settings.find_config_file(os.environ)
    if found is None:
        return arguments
    if not arguments.quiet:
        named = f" ({settings.CONFIG_VARIABLE})" if os.environ.get(settings.CONFIG_VARIABLE) else ""
        say(f"note: settings are read from {printable(str(found))}{named}", event="settings_read", file=str(found))
    return replace(arguments, config=found)


def _explain(error: BaseException) -> tuple[int, str]:
    """The exit code and the message for what ended a command. No message that a log may keep quotes a record."""
    published = was_published(error)
    if isinstance(error, LogmillError):
        return error.exit_code, f"{error} {PUBLISHED}" if published else str(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, f"interrupted. {PUBLISHED}" if published else UNTOUCHED
    if isinstance(error, ModuleNotFoundError) and error.name:
        return EnvironmentFault.exit_code, MISSING.format(error.name, install_command("requirements.txt"))
    # Without the exception's message: those of other libraries may quote records, which a log must not keep.
    fault = f"{type(error).__name__} in {_where(error)}"
    if published:
        return EnvironmentFault.exit_code, f"what follows the publication failed ({fault}). {PUBLISHED}"
    return 1, f"a fault in the program: {fault}. Run again with --debug to see where, and report it."


def _where(error: BaseException) -> str:
    """The innermost line of this program on the way to the fault."""
    own = FOLDER + os.sep
    frames = traceback.extract_tb(error.__traceback__)
    inner = next(
        (frame for frame in reversed(frames) if frame.filename.startswith(own)), frames[-1] if frames else None
    )
    return f"{inner.filename.removeprefix(own)}:{inner.lineno}" if inner else "an unknown place"


def _trace(error: BaseException) -> str:
    """The traceback for ``--debug``; where messages are JSON and a log keeps them, without the exceptions' messages."""
    if not LOG.as_json:
        return "".join(traceback.format_exception(error))
    parts: list[str] = []
    fault: BaseException | None = error
    while fault is not None:
        parts.insert(0, "".join(traceback.format_tb(fault.__traceback__)) + type(fault).__name__)
        fault = fault.__cause__ or fault.__context__
    return "\n".join(parts)


def _asks_for_json(argv: Sequence[str]) -> bool:
    """Whether messages are JSON by the command line and the environment: reading the settings may fail."""
    asked = [value for word, value in pairwise([*argv, ""]) if word == "--log-format"]
    asked += [word.partition("=")[2] for word in argv if word.startswith("--log-format=")]
    return (asked or [os.environ.get("LOGMILL_LOG_FORMAT", "")])[-1].lower() == "json"


if __name__ == "__main__":
    os.environ["POLARS_ENGINE_AFFINITY"] = "auto"  # gpu asks for a package that nothing here needs
    prepare_streams()
    end_on_signals()
    sys.exit(main(sys.argv[1:]))
