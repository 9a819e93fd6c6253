"""A table of names and their counts, no wider than the terminal."""

import shutil
import sys
from collections.abc import Sequence

_BETWEEN = 2


def counts_table(rows: Sequence[Sequence[str]], least: Sequence[str] = (), width: int | None = None) -> list[str]:
    """The lines of a table: the first row has the titles, the first column the names.

    ``least``: titles of columns that are left out, one after the other, until the table fits into ``width`` characters;
    None: those of the terminal, if there is one.
    """
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    columns = list(zip(*rows, strict=True))
    for title in least:
        if width is None or sum(map(_width, columns)) - _BETWEEN <= width:
            break
        columns = [column for column in columns if column[0] != title]
    first, *others = columns
    return [
        first[place].ljust(_width(first) - _BETWEEN) + "".join(column[place].rjust(_width(column)) for column in others)
        for place in range(len(rows))
    ]


def _width(column: Sequence[str]) -> int:
    return max(map(len, column)) + _BETWEEN
