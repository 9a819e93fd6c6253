"""Progress on stderr: bars on a terminal, plain lines elsewhere, or nothing."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from cli.console import LOG, printable, say
from pipeline.timing import Unit
from utils.units import format_amount, format_seconds

LINE_EVERY_SECONDS = 5.0


class ShownProgress(Protocol):
    """A ``pipeline.timing.Progress`` that is shown while a ``with`` block lasts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def phase(self, name: str, total: int, unit: Unit = "bytes") -> None: ...

    def advance(self, n: int) -> None: ...

    def note(self, message: str) -> None: ...

    def event(self, name: str, level: str = "info", **facts: object) -> None: ...


def open_progress(quiet: bool) -> ShownProgress:
    """Choose the progress for stderr: JSON objects, nothing, lines, or bars on a terminal."""
    if LOG.as_json:
        return JsonProgress(quiet)
    if quiet:
        return NullProgress()
    if not sys.stderr.isatty():
        return LineProgress()
    from cli.terminal import BarProgress

    return BarProgress()


class NullProgress:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Has nothing to end."""

    def phase(self, name: str, total: int, unit: Unit = "bytes") -> None:
        """Shows nothing."""

    def advance(self, n: int) -> None:
        """Shows nothing."""

    def note(self, message: str) -> None:
        """Shows nothing."""

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        """Shows nothing: the summary repeats every event that a person has to know of."""


class JsonProgress(NullProgress):
    """JSON objects for a log collector, each with run id and phase; ``quiet``: only warnings and errors."""

    def __init__(self, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._total = self._done = 0
        self._started = self._last_line = 0.0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the phase. After a failure the phase stays known, so that the error names it."""
        if kind is None:
            self._end_phase()

    def phase(self, name: str, total: int, unit: Unit = "bytes") -> None:
        """Begins a phase."""
        self._end_phase()
        LOG.known["phase"] = name.partition(":")[0].lower()
        self._total, self._done = total, 0
        self._started = self._last_line = self._clock()
        self.event("phase_started", total=total, unit=unit)

    def advance(self, n: int) -> None:
        """Adds to what is done; writes an object where the last one is LINE_EVERY_SECONDS old."""
        self._done += n
        now = self._clock()
        if now - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = now
            self.event("progress", done=self._done, total=self._total)

    def note(self, message: str) -> None:
        """Writes the message."""
        self.event("note", message=message)

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        """Writes the event."""
        if "run_id" in facts:
            LOG.known["run_id"] = facts.pop("run_id")
        if level != "info" or not self._quiet:
            LOG.write(level, name, **facts)

    def _end_phase(self) -> None:
        if "phase" in LOG.known:
            self.event("phase_finished", done=self._done, seconds=round(self._clock() - self._started, 3))
            del LOG.known["phase"]


class LineProgress(NullProgress):
    """A line at the begin and end of each phase, and one every few seconds in between."""

    def __init__(self, write: Callable[[str], None] = say, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._name = ""
        self._unit: Unit = "bytes"
        self._total = self._done = 0
        self._started = self._last_line = 0.0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the phase, unless the run failed in it."""
        if kind is None:
            self._end_phase()

    def phase(self, name: str, total: int, unit: Unit = "bytes") -> None:
        """Writes that a phase begins."""
        self._end_phase()
        self._name, self._unit, self._total, self._done = name, unit, total, 0
        self._started = self._last_line = self._clock()
        self._write(f"{name}: {format_amount(total, unit)}")

    def advance(self, n: int) -> None:
        """Adds to what is done; writes a line where the last one is LINE_EVERY_SECONDS old."""
        self._done += n
        now = self._clock()
        if now - self._last_line >= LINE_EVERY_SECONDS and self._total:
            self._last_line = now
            speed = self._done / (now - self._started)
            remaining = format_seconds(max(0, self._total - self._done) / speed if speed else 0.0)
            self._write(
                f"{self._name}: {format_amount(self._done, self._unit)} of {format_amount(self._total, self._unit)} "
                f"({self._done / self._total:.0%}), {format_amount(speed, self._unit)}/s, {remaining} left"
            )

    def note(self, message: str) -> None:
        """Writes the message."""
        self._write(f"note: {printable(message)}")

    def _end_phase(self) -> None:
        if self._name:
            self._write(f"{self._name}: done in {format_seconds(self._clock() - self._started)}")
        self._name = ""
