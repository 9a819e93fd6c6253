"""The three standard streams, whatever the shell, a scheduler or a closed terminal has made of them.

A message that cannot be written to stderr is dropped. An answer that cannot be written to stdout is an error of its own
(``AnswerLost``), except where its reader has gone (``| head``). Characters that the encoding of a stream lacks are
written as escapes.
"""

import errno
import os
import sys
from contextlib import suppress
from typing import IO, Any

from pipeline.errors import EnvironmentFault


class AnswerLost(EnvironmentFault):
    """The answer cannot be written to stdout: the disk behind it is full, or it is closed."""


class Stream:
    """A text stream whose first fault is its last: what is written after it is dropped.

    ``needed``: whether the fault raises AnswerLost. A reader that has gone raises nothing.
    """

    def __init__(self, stream: IO[str], *, needed: bool) -> None:
        self._stream, self._needed = stream, needed
        self._open = True

    def write(self, text: str) -> int:
        """Write text. Raises AnswerLost where that fails and the stream is needed."""
        if self._open:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as fault:
                self._lose(fault)
        return len(text)

    def flush(self) -> None:
        """Bring what was written to its place. Raises AnswerLost where that fails and the stream is needed."""
        if self._open:
            try:
                self._stream.flush()
            except (OSError, ValueError) as fault:
                self._lose(fault)

    def _lose(self, fault: OSError | ValueError) -> None:
        self._open = False
        # What is left in its buffer goes nowhere: Python flushes it once more at exit, and would complain.
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if self._needed and not isinstance(fault, BrokenPipeError):
            closed = not isinstance(fault, OSError) or fault.errno == errno.EBADF
            reason = "it is closed" if closed else os.strerror(getattr(fault, "errno", None) or errno.EIO)
            raise AnswerLost(f"the answer cannot be written to stdout: {reason}. Send it to another place.") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def prepare_streams() -> None:
    """Give this process three usable streams.

    A descriptor that is closed gets the null device: otherwise the next file that is opened, such as the manifest,
    would have its number, and get what a library or a child process prints. Writing to a stdout that was closed fails.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # the lowest number that is free: this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - it stays open
    out, err = (given or open(number, "w", closefd=False) for number, given in ((1, sys.stdout), (2, sys.stderr)))  # noqa: SIM115
    for stream in (out, err):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout, sys.stderr = Stream(out, needed=True), Stream(err, needed=False)
