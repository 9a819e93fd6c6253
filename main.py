"""Logmill: arguments → Config → command → exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise

MISSING = "the package {0} is missing. Run: pip install -r requirements.txt (or start with make run)."

if __name__ != "__mp_main__":  # workers import this file under that name, and need nothing of it
    try:
        from cli.arguments import Arguments, parse_arguments
        from cli.console import LOG, Answer, say
        from config import Config, load_config
        from pipeline.errors import EnvironmentFault, LogmillError
        from pipeline.publish.result import failed_result
    except ModuleNotFoundError as missing:
        print(f"error: {MISSING.format(missing.name)}", file=sys.stderr)
        sys.exit(5)

    Command = Callable[[Arguments, Config, Answer], int]

INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return the exit code. Raises SystemExit for ``--help``."""
    answer = Answer(as_json="--json" in argv)
    with answer.reserved():
        return _run_guarded(argv, answer)


def _run_guarded(argv: Sequence[str], answer: Answer) -> int:
    engine, output = None, ""
    LOG.begin(as_json=_asks_for_json(argv))
    try:
        arguments = parse_arguments(argv)
        if arguments.show_version:
            from cli.version import show_version

            return show_version(answer)
        config = load_config(arguments.settings, os.environ, arguments.config)
        engine, output = config.ENGINE, config.OUTPUT_DIR
        LOG.begin(as_json=config.LOG_FORMAT == "json")
        # Imported late: Polars and Spark take a second, which --help and a usage error need not.
        command: Command = getattr(import_module(f"cli.{arguments.command}"), f"{arguments.command}_command")
        return command(arguments, config, answer)
    except LogmillError as error:
        code, message, trace = error.exit_code, str(error), traceback.format_exc()
    except KeyboardInterrupt:
        code, message, trace = INTERRUPTED, "interrupted: the previous output is untouched. Run it again.", ""
    except ModuleNotFoundError as error:
        code, message, trace = EnvironmentFault.exit_code, MISSING.format(error.name), traceback.format_exc()
    except Exception as error:
        code, trace = 1, traceback.format_exc()
        # Other libraries' messages may quote records, which a log must not keep.
        fault = type(error).__name__ if LOG.as_json else f"{type(error).__name__}: {error}"[:1000]
        message = f"a fault in the program: {fault}. Run again with --debug to see where, and report it."
    if "--debug" in argv and trace:
        say(trace, event="traceback")
    say(message, level="error", event="failed", exit_code=code)
    answer.give(failed_result(message, engine=engine, output=output).to_json())
    return code


def _asks_for_json(argv: Sequence[str]) -> bool:
    """Whether messages are JSON by the command line and the environment: reading the settings may fail."""
    asked = [value for word, value in pairwise([*argv, ""]) if word == "--log-format"]
    asked += [word.partition("=")[2] for word in argv if word.startswith("--log-format=")]
    return (asked or [os.environ.get("LOGMILL_LOG_FORMAT", "")])[-1].lower() == "json"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # stopping a container ends a run as Ctrl-C does
    sys.exit(main(sys.argv[1:]))
