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

    def phase(self, name: str, total: int | None, unit: Unit = "bytes") -> None: ...

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

    def phase(self, name: str, total: int | None, unit: Unit = "bytes") -> None:
        """Shows nothing."""

    def advance(self, n: int) -> None:
        """Shows nothing."""

    def note(self, message: str) -> None:
        """Shows nothing."""

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        """Shows nothing: the summary repeats every event that a person has to know of."""


class _PeriodicProgress(NullProgress):
    """Shows the begin and end of each phase, and how far it is every LINE_EVERY_SECONDS."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._total: int | None = 0
        self._done = 0
        self._started = self._last_line = 0.0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the phase, unless the run failed in it."""
        if kind is None:
            self._end_phase()

    def advance(self, n: int) -> None:
        """Adds to what is done, and shows it where the last time is LINE_EVERY_SECONDS ago."""
        self._done += n
        now = self._clock()
        if now - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = now
            self._show_done(now - self._started)

    def _begin_phase(self, total: int | None) -> None:
        self._total, self._done = total, 0
        self._started = self._last_line = self._clock()

    def _show_done(self, seconds: float) -> None:
        raise NotImplementedError

    def _end_phase(self) -> None:
        raise NotImplementedError


class JsonProgress(_PeriodicProgress):
    """JSON objects for a log collector, each with run id and phase; ``quiet``: only warnings and errors.

    After a failure the phase stays known, so that the error names it.
    """

    def __init__(self, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._quiet = quiet

    def phase(self, name: str, total: int | None, unit: Unit = "bytes") -> None:
        """Begins a phase."""
        self._end_phase()
        LOG.known["phase"] = name.partition(":")[0].lower()
        self._begin_phase(total)
        self.event("phase_started", total=total, unit=unit)

    def _show_done(self, _: float) -> None:
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


class LineProgress(_PeriodicProgress):
    """A line at the begin and end of each phase, and one every few seconds in between."""

    def __init__(self, write: Callable[[str], None] = say, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._write = write
        self._name = ""
        self._unit: Unit = "bytes"

    def phase(self, name: str, total: int | None, unit: Unit = "bytes") -> None:
        """Writes that a phase begins."""
        self._end_phase()
        self._name, self._unit = name, unit
        self._begin_phase(total)
        self._write(name if total is None else f"{name}: {format_amount(total, unit)}")

    def _show_done(self, seconds: float) -> None:
        if self._total == 0:
            return
        speed = self._done / seconds
        if self._total is None or self._done > self._total:  # which was an estimate
            done = format_amount(self._done, self._unit)
            self._write(f"{self._name}: {done}, {format_amount(speed, self._unit)}/s")
            return
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
