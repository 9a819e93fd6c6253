"""Output of the program: the answer on stdout, messages on stderr."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

from cli.streams import Stream


def printable(text: str) -> str:
    """Escape control characters and lone surrogates, so that a file name cannot garble a terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


class Log:
    """Writes messages to stderr: lines of text, or with ``as_json`` one JSON object for each.

    The process has one ``LOG``, as it has one stderr; workers write no messages. ``known``: facts (run id, phase) that
    are added to every object.
    """

    def __init__(self) -> None:
        self.begin(as_json=False)

    def begin(self, *, as_json: bool) -> None:
        """Begin a new command line: set the format, and forget the facts of the one before."""
        self.as_json = as_json
        self.known: dict[str, object] = {}

    def write(self, level: str, event: str, **facts: object) -> None:
        """Write one JSON object with time (UTC), level, event, the known facts, and ``facts``."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        _print(json.dumps({"time": time, "level": level, "event": event, **self.known, **facts}))


LOG = Log()


def say(message: str, *, level: str = "info", event: str = "message", **facts: object) -> None:
    """Write one message to stderr: as text, after its level unless this is ``info``, or as JSON with the facts."""
    if LOG.as_json:
        LOG.write(level, event, message=message, **facts)
    else:
        _print(message if level == "info" else f"{_coloured(level)}: {message}")


def _coloured(level: str) -> str:
    """``error`` red and ``warning`` yellow on a terminal, unless NO_COLOR or a dumb terminal forbids it."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    colour = {"error": 31, "warning": 33}.get(level)
    return level if plain or colour is None else f"\x1b[1;{colour}m{level}\x1b[0m"


def _print(line: str) -> None:
    """Print to stderr. A closed stderr fails nothing."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


_ITEMS_TOGETHER = 1_000


class Answer:
    """Writes the answer to stdout.

    ``as_json``: stdout gets exactly one JSON object; other prints, also those of child processes, go to stderr.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._stdout = Stream(sys.stdout, needed=True)
        self._given = False

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        """Send prints and the output of child processes to stderr within the ``with`` block (with ``as_json`` only)."""
        if not self.as_json:
            yield
            return
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(io.UnsupportedOperation, AttributeError):
                self._keep_descriptor(stack)
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            yield

    def give(self, content: Mapping[str, object]) -> None:
        """Print the object. A second one is dropped, because a program that reads stdout expects exactly one.

        A value that is an iterator becomes a list that is printed while it is made: it may have very many items.
        """
        if not self.as_json or self._given:
            return
        self._given = True
        before = "{"
        for name, value in content.items():
            self._stdout.write(f"{before}{json.dumps(name)}: ")
            if isinstance(value, Iterator):
                self._give_items(value)
            else:
                self._stdout.write(json.dumps(value))
            before = ", "
        self.write("}\n" if content else "{}\n")

    def _give_items(self, items: Iterator[object]) -> None:
        before = "["
        while some := list(islice(items, _ITEMS_TOGETHER)):
            self._stdout.write(before + json.dumps(some)[1:-1])
            before = ", "
        self._stdout.write("[]" if before == "[" else "]")

    def write(self, text: str) -> None:
        """Write text to stdout. Where its reader has gone (``| head``), output ends without an error; raises AnswerLost
        where stdout cannot be written."""
        self._stdout.write(text)
        self._stdout.flush()

    @property
    def is_unicode(self) -> bool:
        """Whether stdout can show all characters; others are shown as escapes."""
        return (self._stdout.encoding or "utf-8").lower().startswith("utf")

    def _keep_descriptor(self, stack: contextlib.ExitStack) -> None:
        number = sys.stdout.fileno()
        error_number = sys.stderr.fileno()
        sys.stdout.flush()
        stdout = os.dup(number)
        kept = stack.enter_context(os.fdopen(stdout, "w", encoding="utf-8", errors="backslashreplace"))
        self._stdout = Stream(kept, needed=True)
        os.dup2(error_number, number)
        stack.callback(os.dup2, stdout, number)
