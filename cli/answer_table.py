"""Rows of a query as a table for people: rounded, aligned, and no wider than the terminal.

An answer that is too wide is shown as a block for each row where it has few rows. Otherwise long cells are cut, and
columns of the middle are left out, until the rest fits.
"""

import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.answers import is_number
from cli.console import printable
from pipeline.inspection.query import Found, Value

WIDEST = 10_000
"""Characters of a line where no terminal limits it."""
_NAMES = re.compile(r"(^|_)(id|key|year|month|day|zip)$", re.IGNORECASE)
"""Titles of columns whose numbers are names: nobody reads the year 2,026."""
MOST_BLOCKS = 5
"""Rows of a wide answer that are shown as blocks."""
LONGEST_VALUE = 1_000
"""Characters of one value in a block."""
CUTS = 60, 40, 30, 20, 15
"""Lengths to which the texts of a wide table are cut: the first one that makes it fit."""

_SEPARATOR = 3
_DROPPED = "…"
_ALL = "--format csv shows all"


@dataclass(frozen=True)
class Shown:
    """A table as text, and a sentence about what it leaves out, or nothing."""

    text: str
    left_out: str = ""


@dataclass(frozen=True)
class _Column:
    title: str
    cells: tuple[str, ...]
    numeric: bool

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.title, *self.cells)))

    def cut(self, length: int) -> "_Column":
        """The column with texts of at most ``length`` characters; numbers stay whole."""
        kept = max((cell_len(cell) for cell in self.cells), default=0) if self.numeric else 0
        limit = max(length, kept)
        return _Column(_cut(self.title, limit), tuple(_cut(cell, limit) for cell in self.cells), self.numeric)


def as_table(found: Found, width: int | None = None) -> Shown:
    """The table; ``width``: characters of a line, None for no limit."""
    columns = [_make_column(title, [row[number] for row in found.rows]) for number, title in enumerate(found.columns)]
    if width is None or _width(columns) <= width:
        return Shown(_draw(columns, width or WIDEST))
    if len(found.rows) <= MOST_BLOCKS:
        return _as_blocks(columns, len(found.rows), width)
    return _narrow(columns, width)


def _make_column(title: str, values: Sequence[Value]) -> _Column:
    numeric = bool(values) and all(is_number(value) or value is None for value in values)
    if _NAMES.search(title) and all(type(value) is int or value is None for value in values):
        cells = ["" if value is None else str(value) for value in values]
    else:
        decimals = _decimals(values)
        cells = [_as_cell(value, decimals) for value in values]
    return _Column(printable(title), tuple(cells), numeric)


def _as_cell(value: Value, decimals: int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | Decimal) and math.isfinite(value):
        text = f"{value:,.{decimals}f}"
        return f"{value:.1g}" if value and not float(text.replace(",", "")) else text
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else printable(str(value))


def _decimals(values: Sequence[Value]) -> int:
    """Decimals of a column: two, of small numbers four significant digits, and no more than its values have."""
    numbers = [value for value in values if isinstance(value, float | Decimal) and math.isfinite(value)]
    largest = max((abs(float(number)) for number in numbers), default=0.0)
    most = 2 if largest >= 10 or not largest else min(6, 3 - math.floor(math.log10(largest)))
    return max((len(f"{number:.{most}f}".rstrip("0").partition(".")[2]) for number in numbers), default=0)


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + _SEPARATOR * (len(columns) - 1)


def _cut(text: str, length: int) -> str:
    return text if cell_len(text) <= length else set_cell_size(text, length - 1).rstrip() + "…"


def _narrow(columns: Sequence[_Column], width: int) -> Shown:
    """The table with long cells cut, and without columns of the middle where that is not enough."""
    for length in CUTS:
        cut = [column.cut(length) for column in columns]
        if _width(cut) <= width:
            return Shown(_draw(cut, width), f"long texts are cut: {_ALL}")
    kept = _outer(cut, width)
    first, last = kept[: (len(kept) + 1) // 2], kept[(len(kept) + 1) // 2 :]
    gap = _Column(_DROPPED, (_DROPPED,) * len(cut[0].cells), numeric=False)
    left_out = f"{len(kept)} of {len(columns)} columns are shown, and long texts are cut: {_ALL}"
    return Shown(_draw([*first, gap, *last], width), left_out)


def _outer(columns: Sequence[_Column], width: int) -> list[_Column]:
    """As many columns as fit beside a gap, from both ends by turns; the first one always."""
    room = width - _SEPARATOR - 1
    last, kept = len(columns) - 1, [0]
    for number in (place for pair in range(1, last + 1) for place in (last - pair + 1, pair)):
        if number in kept:
            break
        if _width([columns[place] for place in (*kept, number)]) > room:
            break
        kept.append(number)
    return [columns[place] for place in sorted(kept)]


def _draw(columns: Sequence[_Column], width: int) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column.title), justify="right" if column.numeric else "left", overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, row))
    stream = io.StringIO()
    Console(file=stream, width=width, markup=False, emoji=False, color_system=None).print(table)
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


def _as_blocks(columns: Sequence[_Column], rows: int, width: int) -> Shown:
    """A block of lines for each row, a line for each column; long values go on below themselves."""
    titles = min(max(cell_len(column.title) for column in columns), max(8, width // 2))
    cut = any(len(cell) > LONGEST_VALUE for column in columns for cell in column.cells)
    blocks = ("".join(line for column in columns for line in _field(column, row, titles, width)) for row in range(rows))
    return Shown("\n".join(blocks), f"long texts are cut: {_ALL}" if cut else "")


def _field(column: _Column, row: int, titles: int, width: int) -> Iterator[str]:
    room = max(8, width - titles - 2)
    lines = Text(_cut(column.cells[row], LONGEST_VALUE)).wrap(Console(width=room), room, overflow="fold")
    for number, line in enumerate(lines or [Text()]):
        title = _cut(column.title, titles) if not number else ""
        yield f"{set_cell_size(title, titles)}  {line.plain}".rstrip() + "\n"
