"""Where the program speaks: the answer on stdout, everything else on stderr."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO


def printable(text: str) -> str:
    """``text`` with control characters and lone surrogates escaped: a file name cannot garble a terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


class Log:
    """Stderr. Lines of text, or with ``as_json`` one JSON object each; ``known`` is added to every object.

    There is one for the process, as there is one stderr; workers write none.
    """

    def __init__(self) -> None:
        self.begin(as_json=False)

    def begin(self, *, as_json: bool) -> None:
        """A new command line: its format, and nothing known yet."""
        self.as_json = as_json
        self.known: dict[str, object] = {}

    def write(self, level: str, event: str, **facts: object) -> None:
        """One JSON object with time (UTC), level, event, what is known (run id, phase) and the facts."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        _print(json.dumps({"time": time, "level": level, "event": event, **self.known, **facts}))


LOG = Log()


def say(message: str, *, level: str = "info", event: str = "message", **facts: object) -> None:
    """One message on stderr: as text, after its level unless that is ``info``, or as JSON with the facts."""
    if LOG.as_json:
        LOG.write(level, event, message=message, **facts)
    else:
        _print(message if level == "info" else f"{level}: {message}")


def _print(line: str) -> None:
    """Print to stderr; a closed stderr is no reason to fail."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


class Answer:
    """Stdout. As JSON it is kept for one object: all else that is printed, also by child processes, goes to stderr."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._stdout: IO[str] = sys.stdout
        self._given = False

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        """While this lasts, prints and the output of child processes go to stderr (with ``json`` only)."""
        if not self.as_json:
            yield
            return
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(io.UnsupportedOperation, AttributeError):
                self._keep_descriptor(stack)
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            yield

    def give(self, content: Mapping[str, object]) -> None:
        """Prints the object; a second one is dropped, because a program that reads stdout expects exactly one."""
        if self.as_json and not self._given:
            self._given = True
            self.write(json.dumps(content) + "\n")

    def write(self, text: str) -> None:
        """Writes text to stdout; a reader that went away (``| head``) ends the output quietly."""
        try:
            self._stdout.write(text)
            self._stdout.flush()
        except BrokenPipeError:
            # Python flushes stdout once more at exit and would complain about it.
            with contextlib.suppress(OSError, io.UnsupportedOperation):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stdout.fileno())

    def _keep_descriptor(self, stack: contextlib.ExitStack) -> None:
        number = sys.stdout.fileno()
        error_number = sys.stderr.fileno()
        sys.stdout.flush()
        kept = os.dup(number)
        self._stdout = stack.enter_context(os.fdopen(kept, "w", encoding="utf-8", errors="backslashreplace"))
        os.dup2(error_number, number)
        stack.callback(os.dup2, kept, number)
