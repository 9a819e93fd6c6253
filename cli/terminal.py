"""The parts that need Rich: a console, and progress bars. Loading Rich takes 40 ms, which other runs need not spend."""

import textwrap
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from cli.console import printable
from pipeline.timing import Unit
from utils.units import format_amount

WIDE = 90
"""Characters of a line. On narrower terminals tables stand below each other, and show less."""


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of at most ``width`` characters, longer where a word is longer; ``indent`` before all but the first."""
    lines = textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return lines or [""]


class PipeConsole(Console):
    """A console that prints text as it is, without markup, and ends its output quietly where its reader has gone.

    Args:
        file: where it prints to, instead of stdout or stderr.
        stderr: whether it prints to stderr.
        width: characters of a line; by default, those of the terminal.
    """

    def __init__(self, file: IO[str] | None = None, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(file=file, stderr=stderr, width=width, markup=False, highlight=False, emoji=False)
        self.is_limited = width is not None or self.is_terminal
        """Whether lines have an end that is seen; those of a pipe have none."""

    def say(self, text: str, style: str = "", *, indent: str = "") -> None:
        """Print sentences, which go on below themselves between words. Words stay whole, so that paths can be copied.

        ``indent``: what stands before all lines but the first.
        """
        for line in wrapped(text, self.width, indent) if self.is_limited else [text]:
            self.print(Text(line, style=style), soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Be quiet from then on: Rich would end the program, and the run with it."""
        self.quiet = True


class _Done(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(format_amount(task.completed, task.fields["unit"]), style="progress.download")


class _DoneOf(ProgressColumn):
    def render(self, task: Task) -> Text:
        done = format_amount(task.completed, task.fields["unit"])
        told = done if task.total is None else f"{done} of {format_amount(task.total, task.fields['unit'])}"
        return Text(told, style="progress.download")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{format_amount(speed, task.fields['unit'])}/s" if speed else "", style="cyan")


class BarProgress:
    """A bar for each phase with the amount done and the time left; on a wide terminal also the whole amount and the
    speed."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or PipeConsole(stderr=True)
        whole = Column(no_wrap=True)
        wide = console.width >= WIDE
        columns: tuple[ProgressColumn, ...] = (
            TextColumn("{task.description}", markup=False, table_column=whole),
            BarColumn(bar_width=None, complete_style="cyan", finished_style="green"),
            *((_DoneOf(whole), _Speed(whole)) if wide else (_Done(whole),)),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True, table_column=whole),
        )
        self._bars = Progress(*columns, console=console, expand=True)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Completes the last bar unless the run failed, and gives the terminal back."""
        if kind is None:
            self._end_phase()
        self._bars.stop()

    def phase(self, name: str, total: int | None, unit: Unit = "bytes") -> None:
        """Begins a bar. Of a name such as ``Phase 1: read`` a narrow terminal shows what stands before the colon."""
        self._end_phase()
        shown = name if self._bars.console.width >= WIDE else name.partition(":")[0]
        self._task = self._bars.add_task(shown, total=total, unit=unit)

    def advance(self, n: int) -> None:
        """Moves the bar."""
        if self._task is not None:
            self._bars.advance(self._task, n)

    def note(self, message: str) -> None:
        """Prints the message above the bars."""
        self._bars.console.print(Text(f"note: {printable(message)}", style="dim"))

    def event(self, name: str, level: str = "info", **facts: object) -> None:
        """Shows nothing: the summary repeats every event that a person has to know of."""

    def _end_phase(self) -> None:
        if self._task is not None:
            (task,) = (task for task in self._bars.tasks if task.id == self._task)
            whole = task.completed if task.total is None else task.total
            self._bars.update(self._task, total=whole, completed=whole)
            self._task = None
