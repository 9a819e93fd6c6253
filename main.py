"""Logmill: arguments → Config → command → exit code."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence

MISSING = "the package {0} is missing. Run: pip install -r requirements.txt (or start with make run)."

try:
    from cli.arguments import parse_arguments
    from cli.console import Answer, say
    from config import load_config
    from pipeline.errors import EnvironmentFault, LogmillError
    from pipeline.results import failed_result
except ModuleNotFoundError as missing:
    print(f"error: {MISSING.format(missing.name)}", file=sys.stderr)
    sys.exit(5)

INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Runs one command line (without the program's name) and returns the exit code. Never raises but for ``--help``."""
    answer = Answer(as_json="--json" in argv)
    with answer.reserved():
        return _run_guarded(argv, answer)


def _run_guarded(argv: Sequence[str], answer: Answer) -> int:
    engine, output = None, ""
    try:
        arguments = parse_arguments(argv)
        config = load_config(arguments.settings, os.environ, arguments.config)
        engine, output = config.ENGINE, config.OUTPUT_DIR
        # Imported late: Polars and Spark take a second, which --help and a usage error need not.
        if arguments.command == "generate":
            from cli.generate import generate_command as command
        elif arguments.command == "replay":
            from cli.replay import replay_command as command
        else:
            from cli.run import run_command as command
        return command(arguments, config, answer)
    except LogmillError as error:
        code, message, trace = error.exit_code, str(error), traceback.format_exc()
    except KeyboardInterrupt:
        code, message, trace = INTERRUPTED, "interrupted: the previous output is untouched. Run it again.", ""
    except ModuleNotFoundError as error:
        code, message, trace = EnvironmentFault.exit_code, MISSING.format(error.name), traceback.format_exc()
    except Exception as error:
        code, trace = 1, traceback.format_exc()
        shown = f"{type(error).__name__}: {error}"[:1000]
        message = f"a fault in the program: {shown}. Run again with --debug to see where, and report it."
    if "--debug" in argv and trace:
        say(trace)
    say(f"error: {message}")
    answer.give(failed_result(message, engine=engine, output=output).to_json())
    return code


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # a container that is stopped ends as after Ctrl-C
    sys.exit(main(sys.argv[1:]))
